"""A server for telephones carries nothing of WebRTC until somebody opens the page."""

import subprocess
import sys

import pytest
from aiohttp import web

from agent.clock import LoopClock
from agent.plugins import TransportContext
from agent.settings import Settings
from agent.ticker import Ticker
from tests.transports.webrtc.fakes import BrowserHost, agent_file
from transports.webrtc import WebRTC


def webrtc(**environ: str) -> WebRTC:
    clock = LoopClock()
    settings = Settings(environ={"PARLEY_WEBRTC_HOSTS": "127.0.0.1", **environ})
    return WebRTC(TransportContext(BrowserHost(), settings, agent_file(), clock, Ticker(clock)))


def test_its_libraries_are_not_loaded_at_start() -> None:
    check = (
        "import sys, transports.webrtc; "
        "sys.exit(', '.join(name for name in ('aiortc', 'aioice', 'av') if name in sys.modules) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


async def test_two_requests_load_it_once() -> None:
    transport = webrtc()
    first, second = await transport.ready(), await transport.ready()
    assert first is second
    await transport.close()


async def test_closing_what_was_never_loaded_is_nothing() -> None:
    transport = webrtc()
    assert list(transport.networks) == []
    await transport.close()


async def test_the_page_can_be_left_out() -> None:
    paths = [
        route.path for route in webrtc(PARLEY_WEBRTC_PAGE="off").routes() if isinstance(route, web.RouteDef)
    ]
    assert "/webrtc" in paths
    assert "/" not in paths


async def test_a_broken_installation_is_one_clear_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(name: str) -> None:
        raise ImportError(f"no {name}")

    monkeypatch.setattr("transports.webrtc.transport.importlib.import_module", broken)
    transport = webrtc()
    answer = await transport._later("config")(None)  # type: ignore[arg-type]  # never looked at
    assert isinstance(answer, web.Response)
    assert answer.status == 503
    assert "browsers cannot be answered" in caplog.text
    await transport.close()
