"""The real server with a model that stalls: what the caller hears instead, and where an operator sees it."""

import asyncio
from pathlib import Path

import pytest

from tests.e2e.inside import AGENT, Inside, inside
from tests.e2e.peers import Peer, Platform, call, question

pytestmark = pytest.mark.e2e

ANSWER = "From eight to six."
FILLER = "One moment, please."
QUICK = 'llm: [{provider: stub, inprocess: true, tokens: 4, reply: "From eight to six."}]'
STALLING = QUICK.replace("tokens: 4", "tokens: 4, first_token_ms: 3000")
FILLED = (
    AGENT.replace(QUICK, STALLING)
    + "budgets: {response: {ms: 900, action: filler}, fillers: ['One moment, please.']}\n"
)
OVERTAKEN = (
    AGENT.replace(
        QUICK, STALLING.replace("}]", ', note: slow}, {provider: stub, inprocess: true, reply: "Nine."}]')
    )
    + "budgets: {llm_first_token: {ms: 200, action: next_provider}}\n"
)


async def asked(served: Inside, peer: Peer) -> dict[str, object]:
    """The record of a turn, from the question to the end of its answer."""
    speaking = asyncio.create_task(peer.speak(await question() + b"\xff" * 8 * 10_000))
    playing = asyncio.create_task(hear_out(peer))
    try:
        record = await served.when(
            peer.call_id,
            lambda told: len(told["turns"]) > 1 and told["turns"][1]["agent"] and told["state"] == "idle",
        )
    finally:
        for task in (speaking, playing):
            task.cancel()
        await asyncio.gather(speaking, playing, return_exceptions=True)
    turn: dict[str, object] = record["turns"][1]
    return turn


async def test_the_caller_hears_a_filler_and_then_the_answer(tmp_path: Path) -> None:
    async with inside(tmp_path, agent=FILLED) as served, call(served, Platform.TWILIO) as peer:
        turn = await asked(served, peer)
        assert turn["agent"] == f"{FILLER} {ANSWER}"
        assert turn["blown"] == {"response": "filler"}
        stages = turn["stages"]
        assert isinstance(stages, dict)
        # After its budget, and before there was an answer.
        assert 900 <= stages["response"] < stages["llm_first_token"]
        assert stages["llm_first_token"] >= 2_950
        labels = {"stage": "response", "action": "filler", "transport": "twilio-media"}
        assert await served.counted("parley_budget_blown_total", **labels) == 1


async def test_the_next_model_answers_in_the_slow_ones_stead(tmp_path: Path) -> None:
    async with inside(tmp_path, agent=OVERTAKEN) as served, call(served, Platform.TELNYX) as peer:
        turn = await asked(served, peer)
        assert turn["agent"] == "Nine."
        assert turn["blown"] == {"llm_first_token": "next_provider"}
        providers = turn["providers"]
        assert isinstance(providers, dict)
        assert providers["llm"] == "stub#2"


async def hear_out(peer: Peer) -> None:
    """The platform plays what it is sent and says so."""
    while True:
        await peer.hear_out()
        await asyncio.sleep(0.05)
