"""A browser for the dashboard's tests."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browser import CHROMIUM, chromium, connected, share_one_loop, without_contexts


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The connection to the browser lives on one loop."""
    share_one_loop(items, Path(__file__).parent)


@pytest.fixture(scope="session")
def devtools() -> Iterator[str]:
    """One Chromium for all tests here; its microphone is silent."""
    if not CHROMIUM:
        pytest.skip("needs Debian's chromium")
    with chromium(bytes(96_000)) as address:
        yield address


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def connection(devtools: str) -> AsyncIterator[Browser]:
    """Playwright starts once."""
    async with connected(devtools) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def browser(connection: Browser) -> AsyncIterator[Browser]:
    yield connection
    await without_contexts(connection)
