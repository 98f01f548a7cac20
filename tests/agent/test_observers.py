"""Several observers as one."""

import pytest

from agent.latency import Stage
from agent.lines import CallInfo
from agent.observers import Observers
from agent.records import CallObserver, CallRecord, TurnRecord

CALL = CallRecord("c1", CallInfo("twilio-media", "CA1"), 0.0, "en")


class Notes(CallObserver):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def turn_ended(self, call: CallRecord, turn: TurnRecord) -> None:
        self.heard.append("turn")

    def turn_leaves(self, call: CallRecord, turn: TurnRecord) -> None:
        self.heard.append("leaves")

    def barge_in(self, call: CallRecord, stop_ms: float) -> None:
        self.heard.append(f"barge-in {stop_ms}")

    def record_stage(self, call: CallRecord, stage: Stage, value_ms: float) -> None:
        self.heard.append(stage.value)

    def record_client(self, call: CallRecord, turn: int | None, metrics: object) -> None:
        self.heard.append("client")

    def state_changed(self, call: CallRecord) -> None:
        self.heard.append("state")

    def call_ended(self, call: CallRecord) -> None:
        self.heard.append("end")


class Broken(CallObserver):
    def turn_ended(self, call: CallRecord, turn: TurnRecord) -> None:
        raise ValueError("broken")


def test_everyone_is_told_everything() -> None:
    first, second = Notes(), Notes()
    both = Observers([first, second])
    both.turn_ended(CALL, TurnRecord(0, 0.0, "en"))
    both.turn_leaves(CALL, TurnRecord(0, 0.0, "en"))
    both.barge_in(CALL, 5.0)
    both.record_stage(CALL, Stage.PLAYBACK_STOP, 1.0)
    both.record_client(CALL, None, {})
    both.state_changed(CALL)
    both.call_ended(CALL)
    told = ["turn", "leaves", "barge-in 5.0", "playback_stop", "client", "state", "end"]
    assert first.heard == second.heard == told


def test_one_that_fails_keeps_nothing_from_the_others(caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes()
    both = Observers([Broken(), notes])
    both.turn_ended(CALL, TurnRecord(0, 0.0, "en"))
    assert notes.heard == ["turn"]
    assert both.faults == 1
    assert "Broken failed" in caplog.text
