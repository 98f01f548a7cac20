"""A call whose budgets were blown replays too: its timers and its rivals are on the tape."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.agentfile import load_agent
from agent.agentfile.schema import Budgets
from agent.chains import LLMChain
from agent.providers import ChatRequest, LLMEvent, TextDelta
from agent.replay.player import play_virtually
from agent.replay.record import RecordingRegistry
from agent.stored import stored_replies
from tests import speech
from tests.agent.replay.scene import Scene
from tests.agent.replay.test_player import in_thread, virtually

ASKED = "what are your opening hours"


class Stalling:
    """A model that answers after so long."""

    def __init__(self, stage: Scene, wait_ms: float, text: str) -> None:
        self.name = f"after-{wait_ms:.0f}"
        self._clock = stage.clock
        self._wait_ms = wait_ms
        self._text = text

    async def warm(self) -> None: ...

    async def close(self) -> None: ...

    async def reply(self, request: ChatRequest) -> AsyncIterator[LLMEvent]:
        await self._clock.sleep(self._wait_ms)
        for word in self._text.split():
            await self._clock.sleep(5.0)
            yield TextDelta(f"{word} ")


def budgeted(stage: Scene, budgets: dict[str, Any]) -> None:
    """The scene's calls have these budgets, and models that are late."""
    agent = load_agent()
    fillers = {language: ["One moment, please."] for language in agent.languages}
    given = Budgets.model_validate({"fillers": fillers, **budgets})
    agent = agent.model_copy(update={"budgets": given})
    models: Any = [Stalling(stage, 1_200.0, "From nine to five."), Stalling(stage, 30.0, "Nine to five.")]
    stage.services = dataclasses.replace(
        stage.services,
        agent=agent,
        llm=LLMChain(models, agent.limits, models[1]),
        stored=stored_replies(agent, stage.clock, {}),
    )
    process = stage.process
    stage.calls = RecordingRegistry(stage.services, process.admission, process.tickets, stage.recorder)


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("filler", "One moment, please. From nine to five."),
        ("next_provider", "Nine to five."),
        ("smaller_model", "Nine to five."),
        ("cached_reply", "We are open from nine in the morning to five in the evening, Monday to Friday."),
    ],
)
async def test_what_was_done_then_is_done_again(tmp_path: Path, action: str, said: str) -> None:
    async def story(stage: Scene) -> None:
        budgeted(stage, {"llm_first_token": {"ms": 300, "action": action}})
        stage.provider.heard = [ASKED]
        line = stage.media()
        await stage.quiet(line, 300)
        await stage.hear(line, speech.speech(ASKED, 8000))
        await stage.quiet(line, 9_000)
        await line.call.hung_up("caller_hung_up")
        await asyncio.sleep(0)

    recording = await in_thread(lambda: virtually(tmp_path, story))
    played = await in_thread(lambda: play_virtually(recording))
    assert played.first_difference is None
    turn = played.record.turns[1]
    assert turn.agent == said
    assert list(turn.blown.values()) == [action]
