"""Who spoke when."""

from agent.dashboard.timelines import MAX_MOMENTS, Timelines
from agent.lines import CallInfo
from agent.records import CallRecord
from tests.agent.dashboard.test_turns import WallClock


def call(name: str = "c1") -> CallRecord:
    return CallRecord(name, CallInfo("twilio-media", "CA1"), 1_000_000.0, "en")


def test_states_and_their_beginnings_until_the_end() -> None:
    clock = WallClock()
    lines = Timelines(clock)
    record = call()
    for after_s, state in ((0.0, "replying"), (0.5, "speaking"), (3.25, "hearing")):
        clock.now_s = 1_000_000.0 + after_s
        record.state = state
        lines.state_changed(record)
    record.ended_unix_s = 1_000_004.0
    lines.call_ended(record)
    assert lines.of("c1") == [(0.0, "replying"), (0.5, "speaking"), (3.25, "hearing"), (4.0, "ended")]


def test_only_so_many_ended_calls_are_kept() -> None:
    lines = Timelines(WallClock(), ended=2)
    for name in ("a", "b", "c"):
        record = call(name)
        record.state = "speaking"
        lines.state_changed(record)
        lines.call_ended(record)
    assert lines.of("a") == []
    assert lines.of("c") != []


def test_a_call_that_changes_without_end_keeps_its_latest() -> None:
    clock = WallClock()
    lines = Timelines(clock)
    record = call()
    for number in range(3 * MAX_MOMENTS):
        clock.now_s += 1
        record.state = ("hearing", "speaking")[number % 2]
        lines.state_changed(record)
    kept = lines.of("c1")
    assert MAX_MOMENTS * 0.8 < len(kept) <= MAX_MOMENTS
    assert kept[-1] == (3.0 * MAX_MOMENTS, "speaking")


def test_a_call_that_was_never_heard_of() -> None:
    lines = Timelines(WallClock())
    lines.call_ended(call())
    assert lines.of("c1") == []
