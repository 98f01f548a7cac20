"""Speaking means bytes left: what counts as mute, and how a call is mended."""

import pytest

from agent.invariants import GIVE_UP_MS, SILENT_MS, SPEAKING, Invariants
from tests.virtual import run_virtually, virtual_clock


class FakeCall:
    def __init__(self, call_id: str, silent_ms: float | None) -> None:
        self.call_id = call_id
        self.silence: float | None = silent_ms
        self.done: list[str] = []

    def silent_ms(self, now_ms: float) -> float | None:
        return self.silence

    def nudge(self) -> None:
        self.done.append("nudge")

    def give_up_reply(self) -> None:
        self.done.append("give up")


def checked(*calls: FakeCall, times: int = 1) -> Invariants:
    found: list[Invariants] = []

    async def scenario() -> None:
        clock = virtual_clock()
        invariants = Invariants(clock, lambda: calls)
        invariants.start()
        await clock.sleep(times * 1_000.0 + 10.0)
        invariants.stop()
        await clock.sleep(5_000.0)
        found.append(invariants)

    run_virtually(scenario)
    return found[0]


@pytest.mark.parametrize("silent_ms", [None, 0.0, SILENT_MS])
def test_a_call_that_does_not_speak_or_is_not_mute_is_left_alone(silent_ms: float | None) -> None:
    call = FakeCall("c1", silent_ms)
    assert checked(call, times=3).violations == {}
    assert call.done == []


def test_a_mute_call_is_nudged_and_counted_once() -> None:
    call = FakeCall("c1", SILENT_MS + 1)
    assert checked(call, times=3).violations == {SPEAKING: 1}
    assert call.done == ["nudge"]


def test_a_call_that_stays_mute_loses_its_reply() -> None:
    call = FakeCall("c1", GIVE_UP_MS + 1)
    assert checked(call, times=2).violations == {SPEAKING: 1}
    assert call.done == ["nudge", "give up"]


def test_a_call_that_speaks_again_may_be_mute_anew() -> None:
    call = FakeCall("c1", 600.0)
    invariants = Invariants(None, lambda: [call])  # type: ignore[arg-type]  # `check` reads no clock
    for silence in (600.0, 0.0, 600.0):
        call.silence = silence
        invariants.check(0.0)
    assert invariants.violations == {SPEAKING: 2}


def test_mending_one_call_may_end_others() -> None:
    first, second = FakeCall("a", 600.0), FakeCall("b", 600.0)
    calls = {"a": first, "b": second}
    first.nudge = calls.clear  # type: ignore[method-assign]  # a call that ends
    Invariants(None, calls.values).check(0.0)  # type: ignore[arg-type]  # `check` reads no clock
    assert second.done == ["nudge"]


def test_a_check_that_fails_is_counted_and_the_next_one_comes(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FakeCall):
        def silent_ms(self, now_ms: float) -> float | None:
            raise RuntimeError("no such line")

    assert checked(Broken("c1", None), times=3).violations == {"check_failed": 3}
    assert "an invariant could not be checked" in caplog.text
