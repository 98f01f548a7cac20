"""A browser for the dashboard's tests."""

from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser

from tests.browser import CHROMIUM, chromium, connected


@pytest.fixture(scope="session")
def devtools() -> Iterator[str]:
    """One Chromium for all tests here; its microphone is silent."""
    if not CHROMIUM:
        pytest.skip("needs Debian's chromium")
    with chromium(bytes(96_000)) as address:
        yield address


@pytest.fixture
async def browser(devtools: str) -> AsyncIterator[Browser]:
    async with connected(devtools) as browser:
        yield browser
