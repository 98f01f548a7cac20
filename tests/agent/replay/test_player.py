"""A recorded call, replayed, decides the same again: byte for byte."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from agent.clock import LoopClock
from agent.providers import TextDelta
from agent.replay.player import play_virtually
from agent.replay.tape import Entry, Recording, RecordingError, load_recording
from agent.replay.words import bytes_of
from tests import speech
from tests.agent.fakes import FakeLine
from tests.agent.replay.scene import Scene, tapes, tool
from tests.virtual import run_virtually, virtual_clock

Scenario = Callable[[Scene], Coroutine[Any, Any, None]]
ANSWER = [TextDelta("We are open from nine to five. "), TextDelta("On Sunday we are closed. Goodbye.")]


def recorded(folder: Path) -> Recording:
    (path,) = tapes(folder)
    return load_recording(path)


def virtually(
    folder: Path, scenario: Callable[[Scene], Coroutine[Any, Any, None]], **options: Any
) -> Recording:
    """Record a scenario on a virtual loop of its own."""

    async def scene() -> None:
        stage = Scene(folder, virtual_clock(), **options)
        try:
            await scenario(stage)
        finally:
            await stage.close()

    run_virtually(scene)
    return recorded(folder)


async def in_thread(work: Callable[[], Any]) -> Any:
    """A virtual loop cannot run inside the test's own."""
    return await asyncio.to_thread(work)


async def conversation(stage: Scene) -> None:
    """Greeting, a question, an interruption by words, goodbye by a tool."""
    stage.provider.heard = ["what are your opening hours", "and on sunday"]
    stage.provider.answers = [list(ANSWER), [TextDelta("Closed. Goodbye!"), tool("end_call")]]
    line = stage.media()
    await stage.quiet(line, 300)
    await stage.hear(line, speech.speech("what are your opening hours", 8000))
    await stage.quiet(line, 1_600)
    await stage.hear(line, speech.speech("and on sunday", 8000))
    await stage.quiet(line, 1_500)
    line.call.dtmf("5")
    await line.call.hung_up("caller_hung_up")


async def test_the_same_events_give_the_same_decisions(tmp_path: Path) -> None:
    recording = await in_thread(lambda: virtually(tmp_path, conversation))
    played = await in_thread(lambda: play_virtually(recording))
    assert played.first_difference is None
    assert played.strays == 0
    did = {decision["do"] for decision in played.decisions}
    assert {"send", "mark", "clear", "llm", "tts", "stt_finalize", "close"} <= did
    assert [turn.caller for turn in played.record.turns if turn.caller] == [
        "what are your opening hours", "and on sunday",
    ]  # fmt: skip
    assert played.record.counters.barge_ins >= 1


async def test_twice_replayed_is_the_same_again(tmp_path: Path) -> None:
    recording = await in_thread(lambda: virtually(tmp_path, conversation))
    first = await in_thread(lambda: play_virtually(recording))
    second = await in_thread(lambda: play_virtually(recording))
    assert first.decisions == second.decisions


async def test_a_call_of_a_real_clock_and_a_busy_loop_replays_byte_for_byte(tmp_path: Path) -> None:
    """The hard case: nothing happens when it should, and still one frame more or less would show."""
    clock = LoopClock()
    stage = Scene(tmp_path, clock)
    stage.provider.heard = ["what are your opening hours", "no"]
    stage.provider.answers = [list(ANSWER)]

    async def stalls() -> None:
        while True:
            await asyncio.sleep(0.031)
            until_ms = clock.now_ms() + 13.0
            while clock.now_ms() < until_ms:
                pass

    busy = asyncio.create_task(stalls())
    line = stage.media()
    question = speech.speech("what are your opening hours", 8000)
    await stage.hear(line, question)
    await stage.quiet(line, 900)
    await stage.hear(line, question[:12_000])
    await stage.quiet(line, 400)
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)
    await line.call.hung_up("caller_hung_up")
    await stage.close()
    recording = recorded(tmp_path)
    played = await in_thread(lambda: play_virtually(recording))
    assert played.first_difference is None
    assert played.strays == 0
    assert b"".join(_audio(played.decisions)) == line.audio


def _audio(decisions: list[dict[str, Any]]) -> list[bytes]:
    return [bytes_of(decision["audio"]) for decision in decisions if decision["do"] == "send"]


async def silence(stage: Scene) -> None:
    """Nobody says anything until the agent gives up."""
    line = stage.media()
    await stage.quiet(line, 45_000)


async def test_reprompts_and_hang_up_come_from_recorded_timers(tmp_path: Path) -> None:
    recording = await in_thread(lambda: virtually(tmp_path, silence))
    played = await in_thread(lambda: play_virtually(recording))
    assert (played.first_difference, played.strays) == (None, 0)
    assert played.record.cause == "silence"
    assert played.record.counters.reprompts == 2


async def test_failing_providers_fail_again(tmp_path: Path) -> None:
    recording = await in_thread(lambda: virtually(tmp_path, conversation, broken=True))
    played = await in_thread(lambda: play_virtually(recording))
    assert (played.first_difference, played.strays) == (None, 0)
    assert played.record.counters.provider_failures > 0


async def shown(stage: Scene) -> None:
    """A call whose caller watches it on a web page."""
    stage.provider.heard = ["what are your opening hours"]
    stage.provider.answers = [list(ANSWER)]
    told: list[object] = []
    line = stage.media(events=told.append)
    await stage.hear(line, speech.speech("what are your opening hours", 8000))
    await stage.quiet(line, 4_000)
    await line.call.hung_up("caller_hung_up")
    assert told


async def replaced(stage: Scene) -> None:
    """The socket is lost in the middle of the greeting, and comes back."""
    line = stage.media()
    await stage.quiet(line, 600)
    await line.call.lost()
    await stage.clock.sleep(900)
    again = stage.media()
    assert again.call is line.call
    await stage.quiet(again, 3_000)


async def drained(stage: Scene) -> None:
    """The server ends the call by itself."""
    line = stage.media()
    await stage.quiet(line, 400)


@pytest.mark.parametrize(
    ("scenario", "cause"), [(shown, "caller_hung_up"), (replaced, "drained"), (drained, "drained")]
)
async def test_other_ways_of_a_call(tmp_path: Path, scenario: Scenario, cause: str) -> None:
    recording = await in_thread(lambda: virtually(tmp_path, scenario))
    played = await in_thread(lambda: play_virtually(recording))
    assert (played.first_difference, played.strays) == (None, 0)
    assert played.record.cause == cause
    assert any(decision["do"] == "send" for decision in played.decisions)


async def text(stage: Scene) -> None:
    """A relay call: prompts in, text out, an interruption."""
    stage.provider.answers = [list(ANSWER)]
    line = FakeLine("CA2", "twilio-relay")
    call = stage.calls.answer_text(line, stage.calls.reserve())
    await stage.clock.sleep(500)
    call.prompt("what are", final=False)
    call.prompt("what are your hours", final=True)
    await stage.clock.sleep(700)
    call.interrupted("We are open", 300.0)
    await call.lost()
    await stage.clock.sleep(200)
    again = FakeLine("CA2", "twilio-relay")
    assert stage.calls.answer_text(again, stage.calls.reserve()) is call
    call.prompt("never mind", final=True)
    await stage.clock.sleep(500)
    await stage.calls.hang_up("CA2", "completed")


async def test_a_text_call_replays_too_over_both_of_its_sockets(tmp_path: Path) -> None:
    recording = await in_thread(lambda: virtually(tmp_path, text))
    played = await in_thread(lambda: play_virtually(recording))
    assert (played.first_difference, played.strays) == (None, 0)
    assert [turn.caller for turn in played.record.turns[1:]] == ["what are your hours", "never mind"]
    assert played.record.cause == "completed"


async def test_another_decision_is_found_and_named(tmp_path: Path) -> None:
    recording = await in_thread(lambda: virtually(tmp_path, conversation))
    changed = next(index for index, decision in enumerate(recording.decisions) if decision["do"] == "clear")
    recording.decisions[changed]["do"] = "mark"
    played = await in_thread(lambda: play_virtually(recording))
    assert played.first_difference == changed


async def test_other_rules_give_other_decisions_and_the_replay_goes_on(tmp_path: Path) -> None:
    """A recording is a test case: what would the call have done with another setting?"""
    recording = await in_thread(lambda: virtually(tmp_path, conversation))
    recording.header["agent"]["turns"]["barge_in"] = False
    played = await in_thread(lambda: play_virtually(recording))
    assert played.first_difference is not None
    assert played.record.counters.barge_ins == 0
    assert played.record.state == "ended"


@pytest.mark.parametrize("kind", ["nonsense", "hear", "timer"])
async def test_a_damaged_recording_is_said_to_be_damaged(tmp_path: Path, kind: str) -> None:
    recording = await in_thread(lambda: virtually(tmp_path, text))
    recording.entries.insert(3, Entry(recording.entries[2].at_ms, kind))
    with pytest.raises(RecordingError):
        await in_thread(lambda: play_virtually(recording))
