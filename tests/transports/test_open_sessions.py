"""The sockets of a transport when the process stops: each takes its way down, and is waited for."""

import asyncio
import logging

import aiohttp
import pytest

from agent.clock import LoopClock
from tests.transports.fakes import eventually
from tests.transports.twilio.fakes import serving
from tests.transports.twilio.phone import Phone
from transports import open_sessions
from transports.open_sessions import OpenSessions


class Session:
    """One whose way down takes some time, or never ends, or fails."""

    def __init__(self, sessions: OpenSessions, takes_s: float = 0.0, error: Exception | None = None) -> None:
        self._sessions = sessions
        self._takes_s = takes_s
        self._error = error
        self.down = False
        self.cuts = 0
        sessions.add(self)

    def cut(self) -> None:
        self.cuts += 1
        self._sessions.ending(self, self._way_down())

    async def _way_down(self) -> None:
        await asyncio.sleep(self._takes_s)
        if self._error is not None:
            raise self._error
        self.down = True


async def test_closing_cuts_what_is_open_and_waits_for_it() -> None:
    sessions = OpenSessions(LoopClock())
    both = [Session(sessions, 0.02), Session(sessions)]
    assert len(sessions) == 2
    await sessions.close()
    assert [session.down for session in both] == [True, True]
    assert len(sessions) == 0
    await sessions.close()
    assert [session.cuts for session in both] == [1, 1]


async def test_one_that_has_ended_is_forgotten() -> None:
    sessions = OpenSessions(LoopClock())
    session = Session(sessions)
    session.cut()
    await eventually(lambda: len(sessions) == 0)
    await sessions.close()
    assert session.cuts == 1


async def test_one_that_never_ends_is_waited_for_no_longer_than_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(open_sessions, "STOP_S", 0.05)
    sessions = OpenSessions(LoopClock())
    session = Session(sessions, 3_600.0)
    async with asyncio.timeout(3):
        await sessions.close()
    assert not session.down
    assert len(sessions) == 0


async def test_a_way_down_that_fails_is_logged_and_hurts_no_other(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    sessions = OpenSessions(LoopClock())
    Session(sessions, error=RuntimeError("a bug"))
    other = Session(sessions, 0.01)
    await sessions.close()
    assert other.down
    assert caplog.text.count("closing a socket failed") == 1


async def test_a_transport_that_stops_closes_its_sockets_and_tells_their_calls() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        waiting = Phone(await client.ws_connect(served.ws + "/twilio/relay"))
        phone = Phone(await client.ws_connect(served.ws + "/twilio/relay"))
        await phone.send({"type": "setup", "sessionId": "VX1", "callSid": "CA1"})
        call = await served.call()
        closing = asyncio.create_task(served.twilio.close())
        assert await phone.closed() == 1000
        assert await waiting.closed() == 1000
        await closing
        assert call.events == [("lost",)]
        assert served.host.bad == {}
