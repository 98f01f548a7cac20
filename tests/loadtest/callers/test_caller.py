"""What a caller measures, against an agent whose times are known to the millisecond."""

from typing import Any

import pytest

from agent.clock import Clock
from loadtest.callers.caller import Caller, CallObserver
from loadtest.callers.result import CallerTurn, CallResult
from loadtest.callers.utterance import HangUp, Pause, Press, Say, Step, cough
from tests.loadtest.fakes import FakeAgent, media_phone, sentence, silence, tone
from tests.virtual import run_virtually, virtual_clock


class Stage:
    """A caller and an agent on one virtual clock."""

    def __init__(self, *, greeting_ms: float = 1000, timeout_ms: float = 10_000) -> None:
        self.clock: Clock = virtual_clock()
        self.phone, self.wire = media_phone(self.clock)
        self.agent = FakeAgent(self.wire, self.clock, greeting_ms=greeting_ms)
        self.log = Log()
        self.caller = Caller(self.phone, via="twilio", timeout_ms=timeout_ms, observer=self.log)

    async def call(self, *script: Step) -> CallResult:
        return await self.caller.run(script)


class Log(CallObserver):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def greeted(self, result: CallResult) -> None:
        self.lines.append("greeted")

    def caller_speaks(self, turn: CallerTurn) -> None:
        self.lines.append(f"speaks {turn.index}{' over the agent' if turn.interrupts else ''}")

    def agent_answers(self, turn: CallerTurn) -> None:
        self.lines.append(f"answered {turn.index}" if turn.answered else f"no answer {turn.index}")

    def answer_over(self, turn: CallerTurn) -> None:
        self.lines.append(f"over {turn.index}")


def test_response_time_is_last_voiced_frame_sent_to_first_audible_sample_heard() -> None:
    async def scenario() -> CallResult:
        stage = Stage()
        # The answer arrives 490 ms after the last voiced frame, plays with the tick at 500 ms, and begins
        # with 5 ms of silence.
        stage.agent.answers = [silence(5) + tone(800)]
        return await stage.call(Say(sentence()))

    (turn,) = run_virtually(scenario).turns
    assert turn.answered
    assert turn.response_ms == pytest.approx(505.0, abs=0.01)
    assert not turn.interrupts
    assert turn.barge_in_stop_ms is None
    assert turn.answer_heard_ms == pytest.approx(800, abs=20)


def test_silence_at_the_end_of_a_recording_does_not_count_as_speech() -> None:
    async def scenario() -> CallResult:
        stage = Stage()
        stage.agent.answers = [tone(800)]
        said = sentence(duration_ms=600)
        assert sentence(duration_ms=600).frames == said.frames
        padded = type(said)("padded", (*said.frames, *(bytes(320),) * 5), said.last_voiced)
        return await stage.call(Say(padded))

    (turn,) = run_virtually(scenario).turns
    assert turn.response_ms == pytest.approx(500.0, abs=0.01)


def test_the_caller_waits_for_the_end_of_the_greeting() -> None:
    async def scenario() -> tuple[CallResult, float]:
        stage = Stage(greeting_ms=1000)
        stage.agent.answers = [tone(400)]
        result = await stage.call(Say(sentence()))
        return result, stage.agent.heard_first_ms[0] - stage.phone.started_ms

    result, spoke_at_ms = run_virtually(scenario)
    # The greeting comes at 90 ms and is heard from the tick at 100 ms to 1,100 ms.
    assert result.greeting_ms == pytest.approx(100.0, abs=0.01)
    assert result.greeting_heard_ms == pytest.approx(1000, abs=1)
    assert 1800 <= spoke_at_ms <= 1840
    assert result.turns[0].at_ms == pytest.approx(spoke_at_ms, abs=0.01)


def test_an_agent_that_does_not_greet_is_spoken_to_after_the_timeout() -> None:
    async def scenario() -> CallResult:
        stage = Stage(greeting_ms=0, timeout_ms=2000)
        stage.agent.answers = [tone(400)]
        return await stage.call(Say(sentence()))

    result = run_virtually(scenario)
    assert result.greeting_ms is None
    assert result.turns[0].at_ms == pytest.approx(2020, abs=21)
    assert result.turns[0].answered


def test_a_turn_without_an_answer_is_given_up_after_the_timeout() -> None:
    async def scenario() -> tuple[CallResult, list[str]]:
        stage = Stage(timeout_ms=3000)
        result = await stage.call(Say(sentence("one")), Say(sentence("two")))
        return result, stage.log.lines

    result, log = run_virtually(scenario)
    assert [turn.said for turn in result.unanswered] == ["one", "two"]
    assert all(turn.response_ms is None for turn in result.turns)
    assert log == [
        "greeted", "speaks 0", "no answer 0", "over 0", "speaks 1", "no answer 1", "over 1",
    ]  # fmt: skip


def test_barge_in_begins_after_so_much_agent_speech_and_the_stop_is_measured_at_the_ear() -> None:
    async def scenario() -> tuple[CallResult, list[str], float]:
        stage = Stage()
        stage.agent.answers = [tone(6000), tone(500)]
        stage.agent.stop_after_ms = 130
        result = await stage.call(Say(sentence()), Say(sentence(), barge_in_after_ms=1500))
        answer_ms = stage.phone.ear.stretches[1].start_ms
        return result, stage.log.lines, stage.agent.heard_first_ms[1] - answer_ms

    result, log, after_ms = run_virtually(scenario)
    assert 1500 <= after_ms <= 1540
    turn = result.turns[1]
    assert turn.interrupts
    # `clear` comes 130 ms after the first voiced frame; the frame in the air then plays until 140 ms.
    assert turn.barge_in_stop_ms == pytest.approx(140, abs=1)
    assert turn.answered
    assert turn.response_ms == pytest.approx(500, abs=0.01)
    assert log[1:] == ["speaks 0", "answered 0", "over 0", "speaks 1 over the agent", "answered 1", "over 1"]


def test_an_agent_that_talks_on_over_the_caller_has_neither_stopped_nor_answered() -> None:
    async def scenario() -> CallResult:
        stage = Stage(timeout_ms=2000)
        stage.agent.answers = [tone(60_000)]
        stage.agent.stop_after_ms = None
        return await stage.call(Say(sentence()), Say(sentence(), barge_in_after_ms=500), HangUp())

    turn = run_virtually(scenario).turns[1]
    assert turn.interrupts
    assert not turn.answered
    assert turn.barge_in_stop_ms is None


def test_a_barge_in_into_an_answer_that_is_too_short_becomes_an_ordinary_turn() -> None:
    async def scenario() -> CallResult:
        stage = Stage()
        stage.agent.answers = [tone(300), tone(300)]
        return await stage.call(Say(sentence()), Say(sentence(), barge_in_after_ms=2000))

    turn = run_virtually(scenario).turns[1]
    assert not turn.interrupts
    assert turn.answered
    assert turn.barge_in_stop_ms is None


def test_an_agent_that_answers_before_the_caller_has_finished_has_a_negative_response_time() -> None:
    async def scenario() -> CallResult:
        stage = Stage()
        stage.agent.patience_ms = 80
        stage.agent.answer_after_ms = 90
        stage.agent.answers = [tone(3000)]
        stage.agent.stop_after_ms = None
        pieces = [sentence(duration_ms=400).frames, (bytes(320),) * 10, sentence(duration_ms=400).frames]
        frames = tuple(frame for piece in pieces for frame in piece)
        whole = type(sentence())("with a pause", frames, len(frames) - 1)
        return await stage.call(Say(whole))

    (turn,) = run_virtually(scenario).turns
    assert turn.answered
    # 200 ms of pause; the answer is heard 100 ms into it, with 500 ms of the sentence to come.
    assert turn.response_ms == pytest.approx(-500, abs=1)


def test_a_cough_needs_no_answer() -> None:
    async def scenario() -> CallResult:
        stage = Stage(timeout_ms=1000)
        stage.agent.answers = [tone(4000)]
        return await stage.call(Say(sentence()), Say(cough(), barge_in_after_ms=1000, expects_answer=False))

    result = run_virtually(scenario)
    assert result.turns[1].kind == "cough"
    assert result.turns[1].barge_in_stop_ms == pytest.approx(140, abs=1)
    assert not result.turns[1].answered
    assert result.unanswered == []


def test_keys_are_a_turn_measured_from_the_last_key() -> None:
    async def scenario() -> CallResult:
        stage = Stage()
        heard = stage.wire.on_message

        def answer_hash(message: dict[str, Any]) -> None:
            heard(message)
            if message["event"] == "dtmf" and message["dtmf"]["digit"] == "#":
                stage.clock.call_later(290, lambda: stage.agent.speak(tone(500)))

        stage.wire.on_message = answer_hash
        return await stage.call(Press("12#"))

    (turn,) = run_virtually(scenario).turns
    assert (turn.kind, turn.said) == ("dtmf", "12#")
    assert turn.response_ms == pytest.approx(300, abs=0.1)


def test_the_agent_may_hang_up_and_what_the_script_still_holds_is_unanswered() -> None:
    async def scenario() -> tuple[CallResult, list[str]]:
        stage = Stage()
        stage.agent.answers = [tone(500)]
        stage.clock.call_later(4500, lambda: stage.wire.server_closes(1000))
        result = await stage.call(Say(sentence("bye")), Pause(2000), Say(sentence("hello?")), Press("1"))
        return result, stage.log.lines

    result, log = run_virtually(scenario)
    assert result.ended_by == "agent"
    assert result.duration_ms == pytest.approx(4500, abs=20)
    assert [turn.answered for turn in result.turns] == [True, False, False]
    assert log[-2:] == ["no answer 2", "over 2"]


def test_after_the_last_answer_the_agent_has_a_moment_to_hang_up_itself() -> None:
    async def scenario(hangs_up: bool) -> CallResult:
        stage = Stage()
        stage.agent.answers = [tone(500)]
        if hangs_up:
            # The answer ends at some 3.5 s.
            stage.clock.call_later(4800, lambda: stage.wire.server_closes(1000))
        return await stage.call(Say(sentence("goodbye")))

    assert run_virtually(lambda: scenario(True)).ended_by == "agent"
    assert run_virtually(lambda: scenario(False)).ended_by == "caller"


def test_hanging_up_in_the_middle_of_an_answer() -> None:
    async def scenario() -> tuple[CallResult, str]:
        stage = Stage()
        stage.agent.answers = [tone(8000)]
        result = await stage.call(Say(sentence()), HangUp(after_ms=500))
        return result, stage.wire.sent[-1]["event"]

    result, last = run_virtually(scenario)
    assert result.ended_by == "caller"
    assert last == "stop"
    assert 500 <= result.turns[0].answer_heard_ms <= 540
    assert result.unanswered == []


def test_hanging_up_during_the_greeting() -> None:
    async def scenario() -> CallResult:
        return await Stage(greeting_ms=5000).call(HangUp(after_ms=300))

    result = run_virtually(scenario)
    assert result.duration_ms == pytest.approx(400, abs=21)


def test_figures_for_machines_are_plain_data() -> None:
    async def scenario() -> CallResult:
        stage = Stage()
        stage.agent.answers = [tone(500)]
        return await stage.call(Say(sentence("hi")))

    found = run_virtually(scenario).as_json()
    assert found["turns"][0]["said"] == "hi"
    assert found["turns"][0]["response_ms"] == 500.0
    assert found["max_late_ms"] == 0.0
