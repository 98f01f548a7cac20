"""What a listener is told of a call, in order."""

from itertools import pairwise

from agent.errors import ProviderError
from agent.events import (
    AgentHeard,
    AgentWords,
    CallerWords,
    CallEvent,
    Problem,
    StateChanged,
    ToolRun,
    TurnLatency,
)
from agent.providers import ToolCall
from agent.turns.machine import State
from tests.agent.stage import GREETING, QUESTION, Stage, play


def kinds(events: list[CallEvent]) -> list[str]:
    """Events in short, one after another of the same kind once."""
    found: list[str] = []
    for event in events:
        short = event.state if isinstance(event, StateChanged) else type(event).__name__
        if not found or found[-1] != short:
            found.append(short)
    return found


def test_a_greeting_a_question_and_its_answer_are_told_in_order() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        assert kinds(stage.events) == [
            "replying", "AgentWords", "speaking", "TurnLatency", "AgentHeard", "idle",
        ]  # fmt: skip
        assert AgentWords(0, GREETING, "greeting") in stage.events
        assert stage.events[-2] == AgentHeard(0, GREETING, done=True)
        stage.events.clear()
        stage.phone.says(QUESTION)
        await stage.until(State.HEARING)
        stage.stt.partial("what are")
        stage.stt.answers.append("what are your opening hours")
        await stage.until(State.SPEAKING)
        await stage.until(State.IDLE)
        assert kinds(stage.events) == [
            "hearing", "CallerWords", "replying", "CallerWords", "AgentWords", "speaking", "TurnLatency",
            "AgentHeard", "idle",
        ]  # fmt: skip
        words = [event for event in stage.events if isinstance(event, CallerWords)]
        assert words == [
            CallerWords("what are", final=False),
            CallerWords("what are your opening hours", final=True),
        ]
        latency = next(event for event in stage.events if isinstance(event, TurnLatency))
        assert latency.turn == 1
        assert {"endpointing", "stt_final", "llm_first_token", "response", "added"} <= set(latency.stages_ms)
        assert latency.providers == {"stt": "scripted", "llm": "scripted", "tts": "scripted"}
        stage.events.clear()
        await stage.media.hung_up("")
        assert stage.events == [StateChanged("ended")]

    play(story)


def test_what_is_heard_is_told_now_and_then_and_only_grows() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says("We are open from eight in the morning until six in the evening.")
        await stage.ask()
        stage.events.clear()
        await stage.until(State.IDLE)
        heard = [event for event in stage.events if isinstance(event, AgentHeard)]
        assert len(heard) >= 10
        assert all(later.text.startswith(one.text) for one, later in pairwise(heard))
        assert [event.done for event in heard[-2:]] == [False, True]
        assert heard[-1].text == stage.record.turns[1].agent

    play(story)


def test_an_interruption_is_told_with_what_was_heard() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says("We are open from eight in the morning until six in the evening.")
        await stage.ask()
        await stage.wait(1_500)
        stage.phone.says(QUESTION)
        await stage.until(State.YIELDED)
        stage.events.clear()
        stage.stt.partial("no wait")
        assert stage.events == [
            AgentHeard(1, stage.record.turns[1].agent, done=True, interrupted=True),
            StateChanged("hearing"),
        ]

    play(story)


def test_tools_and_failures_are_told() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says([ToolCall("t1", "book", "{}")], [ProviderError("scripted", "no")])
        await stage.ask("book")
        assert [event for event in stage.events if isinstance(event, ToolRun | Problem)] == [
            ToolRun(1, "book"),
            Problem("the language model failed"),
        ]
        await stage.until(State.IDLE)

    play(story)
