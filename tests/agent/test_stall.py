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
from agent.stall import BEAT_MS, THRESHOLD_MS, StallDetector, StallWatch, describe


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
    loop_factory: object, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> StallWatch:
        with watching() as watch:
            await asyncio.sleep(0.05)
            guilty(0.25)
            await asyncio.sleep(0.05)
            return watch

    with asyncio.Runner(loop_factory=loop_factory) as runner:  # type: ignore[arg-type]  # two kinds of loop
        watch = runner.run(scenario())
    assert watch.stalls >= 1
    assert watch.stalled_ms >= 225
    (line,) = [record.getMessage() for record in caplog.records if "was blocked" in record.getMessage()][:1]
    assert "guilty (tests/agent/test_stall.py:" in line


async def test_a_storm_of_blocks_writes_one_line_a_second(caplog: pytest.LogCaptureFixture) -> None:
    with watching() as watch:
        await asyncio.sleep(0.02)
        for _ in range(4):
            guilty(0.08)
            await asyncio.sleep(0.015)
    assert watch.stalls >= 4
    assert sum("was blocked" in record.getMessage() for record in caplog.records) == 1


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
