"""A whole call through the first three vendors, each over real sockets: Deepgram, OpenAI, Cartesia.

The vendors are simulated in this process at their published speeds; the server is one of its own.
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from agent.clock import LoopClock
from loadtest.callers.local_server import LocalServer
from loadtest.callers.session import make_call
from loadtest.callers.side import SidePort, server_turns
from loadtest.callers.utterance import Say, Utterance, utterance
from loadtest.callers.webhook import Exchange, Via
from loadtest.demo import server_settings
from loadtest.simulators.audio_fingerprint import Fingerprints
from loadtest.simulators.cartesia import CartesiaSimulator
from loadtest.simulators.deepgram_live import DeepgramLiveSimulator
from loadtest.simulators.openai_chat import OpenAIChatSimulator
from loadtest.simulators.openai_chunks import Answer
from loadtest.speech import embedded_voice

pytestmark = pytest.mark.e2e

HOURS, VISIT = "What are your opening hours?", "How much is a first visit?"
ANSWERS = {
    HOURS: "We are open from eight in the morning to six in the evening. On Sundays we are closed.",
    VISIT: "The first visit is free of charge.",
}
AGENT = """
name: Vendor desk
languages: [en-US]
greeting: Hello, how can I help you?
instructions: You are a reception.
unknown: I do not know that.
providers:
  stt: [deepgram]
  llm: [{provider: openai, model: gpt-4.1}]
  tts: [cartesia]
"""


def answer(body: Mapping[str, Any]) -> Answer:
    return Answer(ANSWERS.get(body["messages"][-1]["content"], "Pardon?"))


@pytest.fixture
async def questions() -> dict[str, Utterance]:
    voice = embedded_voice(LoopClock(), os.environ)
    try:
        return {text: utterance(text, await voice.say(text)) for text in ANSWERS}
    finally:
        await voice.close()


@pytest.fixture
async def vendors(
    questions: dict[str, Utterance],
) -> AsyncIterator[tuple[DeepgramLiveSimulator, OpenAIChatSimulator, CartesiaSimulator]]:
    clock = LoopClock()
    known = Fingerprints({text: b"".join(said.frames) for text, said in questions.items()})
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(DeepgramLiveSimulator(clock, known, api_key="dg")),
            await stack.enter_async_context(OpenAIChatSimulator(clock, answer, api_key="oa")),
            await stack.enter_async_context(CartesiaSimulator(clock, api_key="ca")),
        )


@pytest.mark.parametrize("via", [Via.TWILIO, Via.TELNYX])
async def test_a_caller_is_heard_and_answered_through_the_vendors(
    via: Via,
    questions: dict[str, Utterance],
    vendors: tuple[DeepgramLiveSimulator, OpenAIChatSimulator, CartesiaSimulator],
    tmp_path: Path,
) -> None:
    deepgram, openai, cartesia = vendors
    agent_file = tmp_path / "agent.yaml"
    agent_file.write_text(AGENT)
    settings = {
        "PARLEY_AGENT_FILE": str(agent_file),
        "DEEPGRAM_BASE_URL": deepgram.url,
        "DEEPGRAM_API_KEY": "dg",
        "OPENAI_BASE_URL": openai.url,
        "OPENAI_API_KEY": "oa",
        "CARTESIA_BASE_URL": cartesia.url,
        "CARTESIA_API_KEY": "ca",
    }
    async with LocalServer(LoopClock(), os.environ, **settings, **server_settings(via)) as server:
        exchange = Exchange(via, server.url, LoopClock(), None)
        session = await make_call(exchange, [Say(said) for said in questions.values()], LoopClock())
        await exchange.close()
        side = SidePort(server.side_url)
        record = await side.call(session.result.call_id)
        await side.close()
    assert record is not None
    turns = [turn for turn in server_turns(record) if turn.kind == "speech"]
    assert [turn.caller for turn in turns] == list(ANSWERS)
    assert [turn.agent for turn in turns] == list(ANSWERS.values())
    assert session.result.problems == []
    assert all(turn.answered for turn in session.result.turns)
    assert list(deepgram.heard) == list(ANSWERS)
    assert cartesia.counts.connections == 1
    assert not cartesia.counts.errors
    assert not deepgram.counts.refused
