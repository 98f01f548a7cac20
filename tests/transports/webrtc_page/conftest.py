"""A browser for this package's tests, a fake server for each of them, and pages of its own."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests import speech
from tests.browser import CHROMIUM, RATE_HZ, chromium, connected, share_one_loop, without_contexts
from tests.transports.webrtc_page.fake_server import FakeServer

QUESTION = "are you open on sunday"
GAP_MS = 600


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The connection to the browser lives on one loop."""
    share_one_loop(items, Path(__file__).parent)


@pytest.fixture(scope="session")
def devtools() -> Iterator[str]:
    """One Chromium for all tests; its microphone asks a question, is quiet for a moment, and asks again."""
    if not CHROMIUM:
        pytest.skip("needs Debian's chromium")
    spoken = speech.speech(QUESTION, RATE_HZ, mu_law_roundtrip=False)
    with chromium(spoken + speech.silence(GAP_MS, RATE_HZ)) as address:
        yield address


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def connection(devtools: str) -> AsyncIterator[Browser]:
    """A Playwright takes a second to start, which a hundred tests need not all wait for."""
    async with connected(devtools) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def browser(connection: Browser) -> AsyncIterator[Browser]:
    yield connection
    await without_contexts(connection)


@pytest_asyncio.fixture(loop_scope="session")
async def server() -> AsyncIterator[FakeServer]:
    server = FakeServer()
    await server.start()
    yield server
    await server.close()
