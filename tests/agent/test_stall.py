"""The stall watch: which blocks it sees, what it says about them, and what it leaves alone."""

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvloop

from agent.clock import LoopClock
from agent.stall import BEAT_MS, CODE, MACHINE, THRESHOLD_MS, StallDetector, StallWatch, cause_of, describe


def test_a_loop_that_keeps_its_beat_is_never_overdue() -> None:
    detector = StallDetector(0.0)
    for beat in range(1, 100):
        now_ms = beat * BEAT_MS
        assert detector.overdue(now_ms) < 0
        assert detector.beat(now_ms) is None


def test_a_little_late_is_no_block() -> None:
    detector = StallDetector(0.0)
    assert detector.beat(BEAT_MS + THRESHOLD_MS - BEAT_MS) is None


def test_a_block_is_told_with_its_length_and_what_was_seen_in_it() -> None:
    detector = StallDetector(0.0)
    assert detector.overdue(BEAT_MS + THRESHOLD_MS) > 0
    assert detector.needs_look()
    detector.seen(detector.due_ms, "slow_thing")
    assert not detector.needs_look()
    assert detector.beat(BEAT_MS + 100.0) == (100.0 + BEAT_MS / 2, "slow_thing")


def test_what_was_seen_in_one_block_is_not_blamed_for_the_next() -> None:
    detector = StallDetector(0.0)
    detector.seen(detector.due_ms, "slow_thing")
    detector.beat(200.0)
    assert detector.needs_look()
    assert detector.beat(400.0) == (200.0 - BEAT_MS / 2, "")


def test_a_stack_has_the_innermost_frame_first() -> None:
    text = describe(sys._getframe())
    assert text.startswith("test_a_stack_has_the_innermost_frame_first (tests/agent/test_stall.py:")
    assert " < " in text


def test_an_idle_loop_is_not_called_a_culprit() -> None:
    assert describe(None) == ""
    seen: list[str] = []

    async def idle() -> None:
        loop_thread = threading.get_ident()
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def look() -> None:
            time.sleep(0.05)
            seen.append(describe(sys._current_frames()[loop_thread]))
            loop.call_soon_threadsafe(done.set)

        threading.Thread(target=look).start()
        await done.wait()

    asyncio.run(idle())
    assert seen == [""]


@pytest.mark.parametrize(
    ("stack", "cpu_ms", "cause"),
    [("sleep (x.py:1)", 0.0, CODE), ("", 90.0, CODE), ("", 10.0, MACHINE), ("work (x.py:1)", 100.0, CODE)],
)
def test_whose_a_block_was(stack: str, cpu_ms: float, cause: str) -> None:
    assert cause_of(stack, cpu_ms, 100.0) == cause


# --- real loops, real threads --------------------------------------------------------------------------


@contextmanager
def watching() -> Iterator[StallWatch]:
    watch = StallWatch(LoopClock())
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


def guilty(seconds: float) -> None:
    """Blocks as a careless plugin does."""
    time.sleep(seconds)


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_the_function_that_blocked_is_named_in_the_log(
    loop_factory: object, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine may block the loop too, before we do.
    monkeypatch.setattr("agent.stall.LOG_EVERY_MS", 0.0)

    async def scenario() -> StallWatch:
        with watching() as watch:
            await asyncio.sleep(0.05)
            guilty(0.4)
            await asyncio.sleep(0.05)
            return watch

    with asyncio.Runner(loop_factory=loop_factory) as runner:  # type: ignore[arg-type]  # two kinds of loop
        watch = runner.run(scenario())
    assert watch.stalls[CODE] >= 1
    assert watch.stalled_ms[CODE] >= 375
    lines = [record.getMessage() for record in caplog.records if "was blocked" in record.getMessage()]
    assert any("guilty (tests/agent/test_stall.py:" in line for line in lines)


async def test_the_heartbeat_that_comes_at_last_is_not_blamed_for_the_block_before_it() -> None:
    looks: list[str] = []

    class Clock(LoopClock):
        """Looks at what the loop does each time somebody asks for the time."""

        def now_ms(self) -> float:
            if looking:
                looks.append(looking[0]._look())
            return super().now_ms()

    looking: list[StallWatch] = []
    watch = StallWatch(Clock())
    watch.start()
    looking.append(watch)
    watch._clock.now_ms()
    watch._beat()
    looking.clear()
    watch.stop()
    assert looks[0].startswith("StallWatch._look")
    assert set(looks[1:]) == {""}


async def test_a_machine_that_runs_something_else_is_not_taken_for_our_code(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watching() as watch:
        await asyncio.sleep(0.02)
        # As if the process had been stopped: late, with nothing on the stack and no CPU used.
        monkeypatch.setattr("agent.stall.describe", lambda _: "")
        guilty(0.2)
        await asyncio.sleep(0.03)
    assert watch.stalled_ms[MACHINE] >= 175
    assert "kept the process waiting" in caplog.text


async def test_a_storm_of_blocks_writes_few_lines(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.stall.LOG_EVERY_MS", 60_000.0)
    with watching() as watch:
        await asyncio.sleep(0.02)
        for _ in range(4):
            guilty(0.1)
            await asyncio.sleep(0.03)
    assert watch.stalls[CODE] >= 4
    lines = [record.getMessage() for record in caplog.records if "guilty" in record.getMessage()]
    assert len(lines) == 1
    assert "was blocked for" in lines[0]


async def test_a_loop_that_hangs_is_told_while_it_hangs(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.stall.HANGS_MS", 100.0)
    with watching():
        await asyncio.sleep(0.02)
        guilty(0.4)
        hanging = [record for record in caplog.records if "has been blocked" in record.getMessage()]
        await asyncio.sleep(0.02)
    assert len(hanging) == 1
    assert "guilty" in hanging[0].getMessage()


async def test_stopping_ends_the_thread() -> None:
    before = threading.active_count()
    watch = StallWatch(LoopClock())
    watch.start()
    assert threading.active_count() == before + 1
    watch.stop()
    watch.stop()
    assert threading.active_count() == before


async def test_what_the_invariants_count_is_told_beside() -> None:
    assert StallWatch(LoopClock(), lambda: {"speaking_sends_bytes": 2}).violations == {
        "speaking_sends_bytes": 2
    }
