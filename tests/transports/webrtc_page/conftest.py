"""A browser for this package's tests, a fake server for each of them, and pages of its own."""

from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser

from tests import speech
from tests.browser import CHROMIUM, RATE_HZ, chromium, connected
from tests.transports.webrtc_page.fake_server import FakeServer

QUESTION = "are you open on sunday"
GAP_MS = 600


@pytest.fixture(scope="session")
def devtools() -> Iterator[str]:
    """One Chromium for all tests; its microphone asks a question, is quiet for a moment, and asks again."""
    if not CHROMIUM:
        pytest.skip("needs Debian's chromium")
    spoken = speech.speech(QUESTION, RATE_HZ, mu_law_roundtrip=False)
    with chromium(spoken + speech.silence(GAP_MS, RATE_HZ)) as address:
        yield address


@pytest.fixture
async def browser(devtools: str) -> AsyncIterator[Browser]:
    async with connected(devtools) as browser:
        yield browser


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    server = FakeServer()
    await server.start()
    yield server
    await server.close()
