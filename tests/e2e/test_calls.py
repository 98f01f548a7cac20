"""The real server, called for real: every transport, by a caller that speaks, listens and interrupts.

Slow (real time): about a minute in all.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.clock import LoopClock
from loadtest.callers.caller import CallObserver
from loadtest.callers.errors import CallNotMade, CallRefused
from loadtest.callers.local_server import LocalServer
from loadtest.callers.media_phone import MediaPhone
from loadtest.callers.result import CallResult
from loadtest.callers.session import Session, make_call
from loadtest.callers.side import ServerTurn, SidePort, server_turns
from loadtest.callers.utterance import HangUp, Pause, Say, Step, Utterance, utterance
from loadtest.callers.webhook import Exchange, Secrets, Via
from loadtest.demo import Demo, server_settings
from loadtest.speech import CallerVoice, embedded_voice
from tests.e2e.hearing import likeness

pytestmark = pytest.mark.e2e

HOURS = "Are you open on Sunday?"
CARD = "Is there parking?"
ADDRESS = "Where are you?"
GOODBYE = "Goodbye."
ANSWERS = {
    HOURS: "We are open from Monday to Friday, from eight in the morning to six in the evening, "
    "and on the first Saturday of every month until noon.",
    CARD: "You can pay by card or in cash.",
    ADDRESS: "You find us in Mill Street number twelve.",
}
MAX_BARGE_IN_MS = 400.0
PATIENCE_S = 15.0
"""For anything that is sure to happen: other processes share a test machine."""
SAME_SOUND = 0.85
"""`likeness` from which a sentence counts as heard well; the wrong G.711 law gives 0.7, other words 0.5,
every fifth frame lost 0.55."""
AGENT_VOICE = "en-us"
"""As in `agent.yaml`."""
MEDIA = (Via.TWILIO, Via.TELNYX)


@asynccontextmanager
async def serving(via: Via, **settings: str) -> AsyncIterator[LocalServer]:
    agent_file = str(Path(__file__).with_name("agent.yaml"))
    async with LocalServer(
        LoopClock(), os.environ, PARLEY_AGENT_FILE=agent_file, **server_settings(via), **settings
    ) as server:
        yield server


async def call(
    server: LocalServer,
    via: Via,
    *script: Step,
    secrets: Secrets | None = None,
    observer: CallObserver | None = None,
) -> Session:
    exchange = Exchange(via, server.url, LoopClock(), secrets)
    try:
        return await make_call(exchange, script, LoopClock(), observer=observer)
    finally:
        await exchange.close()


async def record_of(server: LocalServer, call_id: str) -> dict[str, Any]:
    side = SidePort(server.side_url)
    try:
        record = await side.call(call_id)
    finally:
        await side.close()
    assert record is not None, f"/calls has no {call_id}"
    return record


async def draining(server: LocalServer) -> None:
    """Wait until it has taken notice of its SIGTERM."""
    side = SidePort(server.side_url)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while await side.ready():  # noqa: ASYNC110  another process's state
                await asyncio.sleep(0.02)
    finally:
        await side.close()


def voice(name: str | None = None) -> CallerVoice:
    return embedded_voice(LoopClock(), os.environ, voice=name)


async def spoken(via: Via, *sentences: str) -> list[Utterance]:
    if via is Via.TWILIO_RELAY:
        return [Utterance(sentence) for sentence in sentences]
    caller = voice()
    try:
        return [utterance(sentence, await caller.say(sentence)) for sentence in sentences]
    finally:
        await caller.close()


def words(text: str) -> list[str]:
    return "".join(letter for letter in text.lower() if letter.isalpha() or letter == " ").split()


def caller_turns(record: dict[str, Any]) -> list[ServerTurn]:
    return [turn for turn in server_turns(record) if turn.kind == "speech"]


@pytest.mark.parametrize("via", list(Via))
async def test_a_conversation_with_a_barge_in_and_a_goodbye(via: Via) -> None:
    hours, price, goodbye = await spoken(via, HOURS, CARD, GOODBYE)
    async with serving(via) as server:
        session = await call(server, via, Say(hours), Say(price, barge_in_after_ms=1500), Say(goodbye))
        record = await record_of(server, session.result.call_id)
    result = session.result
    assert result.problems == []
    assert [turn.answered for turn in result.turns] == [True, True, True]
    assert result.greeting_ms is not None
    assert result.ended_by == "agent", "the agent hangs up after a goodbye"

    cut, whole, _ = caller_turns(record)
    assert words(cut.caller) == words(HOURS)
    assert cut.interrupted
    heard = words(cut.agent)
    assert 0 < len(heard) < len(words(ANSWERS[HOURS]))
    assert heard == words(ANSWERS[HOURS])[: len(heard)], "history keeps the beginning that was heard"
    assert words(whole.caller) == words(CARD)
    assert words(whole.agent) == words(ANSWERS[CARD])
    assert not whole.interrupted

    barge_in = result.turns[1]
    assert barge_in.interrupts
    if via in MEDIA:
        assert barge_in.barge_in_stop_ms is not None
        assert barge_in.barge_in_stop_ms <= MAX_BARGE_IN_MS
    else:
        assert words(result.turns[1].agent_text or "") == words(ANSWERS[CARD])


@pytest.mark.parametrize("via", MEDIA)
async def test_the_caller_hears_the_answer_as_it_should_sound(via: Via) -> None:
    questions = await spoken(via, CARD, ADDRESS)
    async with serving(via) as server:
        session = await call(server, via, *(Say(question) for question in questions))
    phone = session.phone
    assert isinstance(phone, MediaPhone)
    agent = embedded_voice(LoopClock(), os.environ, voice=AGENT_VOICE)
    try:
        first, second = session.result.turns
        for sentence, begin_ms, end_ms in (
            (CARD, first.at_ms, second.at_ms), (ADDRESS, second.at_ms, None),
        ):  # fmt: skip
            heard = heard_between(phone, begin_ms, end_ms)
            alike = {asked: likeness(heard, await agent.say(text)) for asked, text in ANSWERS.items()}
            assert max(alike, key=lambda asked: alike[asked]) == sentence, alike
            assert alike[sentence] > SAME_SOUND
    finally:
        await agent.close()


async def test_a_caller_who_hangs_up_in_the_middle_frees_the_slot() -> None:
    via = Via.TWILIO
    (hours,) = await spoken(via, HOURS)
    async with serving(via, PARLEY_MAX_CALLS="1") as server:
        greeted = Greeted()
        script = (Say(hours), Pause(1500), HangUp())
        first = asyncio.create_task(call(server, via, *script, observer=greeted))
        await greeted.wait()
        with pytest.raises(CallRefused, match="busy"):
            await call(server, via, HangUp())
        session = await first
        assert session.result.turns[0].answered
        async with asyncio.timeout(PATIENCE_S):
            while (await record_of(server, session.result.call_id))["state"] != "ended":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        again = await call(server, via, HangUp(after_ms=500))
        assert again.result.greeting_ms is not None


async def test_sigterm_lets_the_live_call_finish_and_refuses_new_ones() -> None:
    via = Via.TWILIO
    card, address = await spoken(via, CARD, ADDRESS)
    async with serving(via) as server:
        greeted = Greeted()
        live = asyncio.create_task(call(server, via, Say(card), Say(address), observer=greeted))
        await greeted.wait()
        server.terminate()
        await draining(server)
        with pytest.raises(CallNotMade):
            await call(server, via, HangUp())
        session = await live
        assert session.result.unanswered == []
        assert await server.wait() == 0


async def test_with_a_secret_only_signed_calls_are_taken() -> None:
    via, token = Via.TWILIO, "0123456789abcdef0123456789abcdef"
    async with serving(via, TWILIO_AUTH_TOKEN=token) as server:
        with pytest.raises(CallRefused, match="403"):
            await call(server, via, HangUp(after_ms=200))
        with pytest.raises(CallRefused, match="403"):
            await call(server, via, HangUp(after_ms=200), secrets=Secrets(auth_token="another"))
        session = await call(server, via, HangUp(after_ms=200), secrets=Secrets(auth_token=token))
        assert session.result.greeting_ms is not None


async def test_the_demo_shows_a_call_and_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    parser_args = type("Args", (), {"via": Via.TWILIO.value})()
    assert await asyncio.to_thread(Demo().run, parser_args) == 0
    shown = capsys.readouterr().out
    assert "opening hours" in shown
    assert "latency per turn" in shown


class Greeted(CallObserver):
    """Sets an event when the greeting is over: then the call is live for certain."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def greeted(self, result: CallResult) -> None:
        self._event.set()

    async def wait(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self._event.wait()


def heard_between(phone: MediaPhone, begin_ms: float | None, end_ms: float | None) -> bytes:
    """What was heard from a moment of the call to another, or to its end."""
    assert begin_ms is not None
    end = None if end_ms is None else int(end_ms // 20) * 320
    return bytes(phone.heard[int(begin_ms // 20) * 320 : end])
