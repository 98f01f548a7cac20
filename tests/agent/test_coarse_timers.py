"""Coarse timers: never early, hardly late, cheap to drop, and no callback is another's trouble."""

import logging
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.coarse_timers import SLOTS, TICK_MS, Callback, CoarseTimers, Wheel
from tests.virtual import run_virtually, stall, virtual_clock, virtually


def call(callback: Callback) -> None:
    callback()


def run_until(wheel: Wheel, tick: int) -> None:
    while wheel.now < tick:
        wheel.step(call)


# --- the wheel -----------------------------------------------------------------------------------------

EDGES = [SLOTS**level + more for level in (1, 2, 3) for more in (-1, 0, 1)]


@pytest.mark.parametrize("begin", [0, 1, SLOTS - 1, SLOTS, SLOTS**2 - 1])
@pytest.mark.parametrize("ahead", [1, 2, *EDGES[:6]])
def test_a_timer_is_called_in_its_tick_whatever_level_it_waited_on(begin: int, ahead: int) -> None:
    wheel = Wheel(begin)
    called: list[int] = []
    wheel.add(begin + ahead, lambda: called.append(wheel.now))
    run_until(wheel, begin + ahead - 1)
    assert called == []
    run_until(wheel, begin + ahead + 1)
    assert called == [begin + ahead]
    assert wheel.empty


def test_a_timer_beyond_the_last_level_waits_at_its_end() -> None:
    wheel = Wheel()
    timer = wheel.add(SLOTS**4 + 5, lambda: None)
    run_until(wheel, 2 * SLOTS)
    assert not wheel.empty
    timer.cancel()
    assert wheel.empty


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 9_000), st.one_of(st.none(), st.integers(0, 9_500))),
        max_size=40,
    )
)
def test_many_timers_are_called_as_a_sorted_list_would(timers: list[tuple[int, int, int | None]]) -> None:
    """Each set at some tick for a later one, some of them cancelled at a third."""
    wheel = Wheel()
    called: list[tuple[int, int]] = []
    expected: list[tuple[int, int]] = []
    steps: dict[int, list[tuple[int, int, int | None]]] = {}
    for number, (at, ahead, dropped_at) in enumerate(timers):
        steps.setdefault(at, []).append((number, ahead, dropped_at))
        due = at + max(ahead, 1)
        if dropped_at is None or not at <= dropped_at < due:
            expected.append((due, number))
    drops: dict[int, list[Callable[[], None]]] = {}

    def note(number: int) -> None:
        called.append((wheel.now, number))

    for tick in range(10_000):
        for number, ahead, dropped_at in steps.get(tick, ()):
            timer = wheel.add(tick + ahead, partial(note, number))
            if dropped_at is not None and dropped_at >= tick:
                drops.setdefault(dropped_at, []).append(timer.cancel)
        for cancel in drops.get(tick, ()):
            cancel()
        wheel.step(call)
    assert sorted(called) == sorted(expected)
    assert wheel.empty


def test_a_callback_may_cancel_another_of_the_same_tick_and_add_new_ones() -> None:
    wheel = Wheel()
    called: list[str] = []

    def first() -> None:
        called.append("first")
        second.cancel()
        wheel.add(wheel.now, lambda: called.append("next tick"))

    wheel.add(3, first)
    second = wheel.add(3, lambda: called.append("second"))
    wheel.add(3, lambda: called.append("third"))
    run_until(wheel, 3)
    assert called == ["first", "third"]
    run_until(wheel, 4)
    assert called == ["first", "third", "next tick"]


# --- on a clock ----------------------------------------------------------------------------------------


@virtually
async def test_no_timer_is_early_and_none_later_than_a_tick() -> None:
    clock = virtual_clock()
    await clock.sleep(37.0)
    timers = CoarseTimers(clock)
    late: list[float] = []

    def note(due_ms: float) -> None:
        late.append(clock.now_ms() - due_ms)

    for delay_ms in (0.0, 1.0, 99.0, 100.0, 101.0, 6_400.0, 20_000.0, 3_600_000.0):
        timers.call_later(delay_ms, partial(note, clock.now_ms() + delay_ms))
        await clock.sleep(13.0)
    await clock.sleep(3_700_000.0)
    assert len(late) == 8
    assert all(-1e-6 <= each <= TICK_MS + 1e-6 for each in late), late


@virtually
async def test_a_cancelled_timer_is_not_called_and_may_be_cancelled_again() -> None:
    clock = virtual_clock()
    timers = CoarseTimers(clock)
    called: list[str] = []
    dropped = timers.call_later(500.0, lambda: called.append("dropped"))
    kept = timers.call_later(500.0, lambda: called.append("kept"))
    dropped.cancel()
    dropped.cancel()
    await clock.sleep(1_000.0)
    kept.cancel()
    assert called == ["kept"]


def test_one_that_fails_is_counted_and_the_others_are_called(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        clock = virtual_clock()
        timers = CoarseTimers(clock)
        called: list[str] = []

        def broken() -> None:
            raise RuntimeError("a bug")

        timers.call_later(200.0, broken)
        timers.call_later(200.0, lambda: called.append("after it"))
        timers.call_later(900.0, lambda: called.append("later"))
        await clock.sleep(2_000.0)
        assert called == ["after it", "later"]
        assert timers.faults == 1

    caplog.set_level(logging.ERROR)
    run_virtually(scenario)
    assert caplog.text.count("a timer's callback failed") == 1


@virtually
async def test_the_loop_has_one_timer_for_all_and_none_when_nobody_waits() -> None:
    clock = virtual_clock()
    timers = CoarseTimers(clock)
    assert timers._beat is None
    for number in range(1_000):
        timers.call_later(1_000.0 + number, lambda: None)
    loop_timers = clock._loop._scheduled  # type: ignore[attr-defined]  # asyncio's own list
    assert len(loop_timers) == 1
    await clock.sleep(3 * SLOTS * TICK_MS)
    assert timers._beat is None
    # It works again after a rest, however long.
    called: list[float] = []
    due_ms = clock.now_ms() + 300.0
    timers.call_later(300.0, lambda: called.append(clock.now_ms() - due_ms))
    await clock.sleep(1_000.0)
    assert len(called) == 1
    assert 0.0 <= called[0] <= TICK_MS + 1e-6
    timers.close()


@virtually
async def test_a_loop_that_was_held_up_calls_all_that_is_due() -> None:
    clock = virtual_clock()
    timers = CoarseTimers(clock)
    called: list[int] = []
    for number in range(50):
        timers.call_later(100.0 * number, partial(called.append, number))
    stall(60_000.0)
    await clock.sleep(1.0)
    assert called == list(range(50))


@virtually
async def test_after_closing_nobody_is_called() -> None:
    clock = virtual_clock()
    timers = CoarseTimers(clock)
    called: list[str] = []
    timers.call_later(300.0, lambda: called.append("one"))
    timers.call_later(200.0, timers.close)
    await clock.sleep(1_000.0)
    assert called == []
    timers.close()
