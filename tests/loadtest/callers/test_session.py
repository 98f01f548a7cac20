"""Whole calls over real sockets, in real time, against a small server of the test's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agent.clock import LoopClock
from agent.errors import ConfigError
from loadtest.callers.errors import CallRefused, Unreachable
from loadtest.callers.local_server import free_ports
from loadtest.callers.session import Session, make_call
from loadtest.callers.utterance import HangUp, Say, Utterance
from loadtest.callers.webhook import Exchange, Secrets, Via, telnyx_key
from tests.loadtest.fakes import sentence
from tests.loadtest.server import TICKET, SmallServer, serving

TOKEN = "0123456789abcdef0123456789abcdef"
SEED = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
"""Its public key is in the Telnyx sheet, 5.1."""


@asynccontextmanager
async def exchange(server: SmallServer, via: Via, secrets: Secrets | None = None) -> AsyncIterator[Exchange]:
    found = Exchange(via, server.url, LoopClock(), secrets)
    try:
        yield found
    finally:
        await found.close()


async def call(via: Via, secrets: Secrets | None = None, **options: Any) -> tuple[SmallServer, Session]:
    said = Utterance("hello") if via is Via.TWILIO_RELAY else sentence(duration_ms=200)
    async with serving(SmallServer(**options)) as server, exchange(server, via, secrets) as platform:
        session = await make_call(platform, [Say(said)], LoopClock(), timeout_ms=10_000)
    return server, session


async def test_a_signed_call_over_each_transport() -> None:
    key = telnyx_key(SEED)
    twilio, telnyx, relay = await asyncio.gather(
        call(Via.TWILIO, Secrets(auth_token=TOKEN), auth_token=TOKEN),
        call(Via.TELNYX, Secrets(telnyx_key=key), telnyx_key=key.public_key()),
        call(Via.TWILIO_RELAY, relay=True),
    )
    for server, session in (twilio, telnyx, relay):
        result = session.result
        assert result.problems == []
        (turn,) = result.turns
        assert turn.answered
        assert result.ended_by == "caller"
        assert server.requests[0]["CallSid"] == result.call_id
        assert server.actions[0]["CallSid"] == result.call_id
        assert server.actions[0]["CallStatus"] == "completed"
    for _, session in (twilio, telnyx):
        # The small server answers after ten silent frames, 200 ms; a busy machine adds to that.
        assert 170 <= (session.result.turns[0].response_ms or 0) < 10_000
    assert 20 <= (relay[1].result.turns[0].response_ms or 0) < 10_000
    assert twilio[0].starts[0]["start"]["customParameters"] == {"ticket": TICKET}
    assert twilio[0].starts[0]["start"]["callSid"] == twilio[1].result.call_id
    assert telnyx[0].starts[0]["start"]["custom_parameters"] == {"ticket": TICKET}
    assert telnyx[0].starts[0]["start"]["call_control_id"] == telnyx[1].result.call_id
    assert relay[0].starts[0]["customParameters"] == {"ticket": TICKET}
    assert relay[0].actions[0]["SessionStatus"] == "completed"


async def refusal(via: Via, secrets: Secrets | None = None, **options: Any) -> str:
    with pytest.raises(CallRefused) as caught:
        await call(via, secrets, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("via", "options", "complaint"),
    [
        (
            Via.TWILIO,
            {"markup": '<Response><Reject reason="busy"/></Response>'},
            "does not take the call: busy",
        ),
        (Via.TWILIO, {"status": 503}, "full, overloaded or draining"),
        (Via.TWILIO, {"auth_token": TOKEN}, "pass --auth-token"),
        (Via.TWILIO, {"status": 404}, "answered HTTP 404"),
        (Via.TWILIO, {"markup": "hello"}, "not XML"),
        (Via.TWILIO, {"relay": True}, "call it --via twilio-relay"),
        (Via.TWILIO_RELAY, {}, "call it --via twilio,"),
        (Via.TELNYX, {"telnyx_attributes": ""}, "Telnyx would expect MP3 files"),
        (Via.TELNYX, {"telnyx_attributes": 'bidirectionalMode="rtp" codec="OPUS"'}, "cannot speak OPUS"),
    ],
)
async def test_a_refusal_is_one_clear_line(via: Via, options: dict[str, Any], complaint: str) -> None:
    said = await refusal(via, **options)
    assert complaint in said
    assert "\n" not in said


async def test_a_refused_upgrade_is_a_refusal() -> None:
    async with serving(SmallServer()) as server, exchange(server, Via.TWILIO) as platform:
        server.markup = f'<Response><Connect><Stream url="ws{server.url[4:]}/nowhere"/></Connect></Response>'
        with pytest.raises(CallRefused, match="refused with HTTP 404"):
            await make_call(platform, [HangUp()], LoopClock())


async def test_nobody_there_is_told_apart_from_a_refusal() -> None:
    (port,) = free_ports(1)
    async with exchange(SmallServer(url=f"http://127.0.0.1:{port}"), Via.TWILIO) as platform:
        with pytest.raises(Unreachable, match=f"nothing listens at http://127.0.0.1:{port}: start it with"):
            await platform.place()
    async with serving(SmallServer()) as server, exchange(server, Via.TWILIO) as platform:
        server.markup = f'<Response><Connect><Stream url="ws://127.0.0.1:{port}/m"/></Connect></Response>'
        with pytest.raises(Unreachable, match="cannot open the WebSocket"):
            await make_call(platform, [HangUp()], LoopClock())


async def test_the_telnyx_signature_is_that_of_the_sheet() -> None:
    public = telnyx_key(SEED).public_key().public_bytes_raw()
    assert public.hex() == "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
    with pytest.raises(ConfigError, match="32-byte ed25519 seed"):
        telnyx_key("abc")
