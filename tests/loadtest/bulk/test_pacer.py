import asyncio
from collections.abc import Callable

import pytest

from loadtest.bulk.pacer import PHASES, Lateness, Pacer
from tests.virtual import run_virtually, stall, virtual_clock


def test_every_member_ticks_every_20_ms_and_never_drifts() -> None:
    async def scenario() -> list[list[float]]:
        clock = virtual_clock()
        pacer = Pacer(clock)
        seen: list[list[float]] = [[] for _ in range(3)]
        for times in seen:
            pacer.add(times.append)
        pacer.start()
        await asyncio.sleep(10.001)
        pacer.stop()
        return seen

    for times in run_virtually(scenario):
        assert len(times) == pytest.approx(500, abs=1)
        for number, at_ms in enumerate(times):
            assert at_ms - times[0] == pytest.approx(20 * number, abs=0.5)


def _teller(times: list[float]) -> Callable[[float], None]:
    """A member of its own: equal ones would be one."""
    return lambda now_ms: times.append(now_ms)  # noqa: PLW0108


def test_members_are_spread_evenly_over_the_phases() -> None:
    async def scenario() -> list[float]:
        clock = virtual_clock()
        pacer = Pacer(clock)
        times: list[float] = []
        for _ in range(2 * PHASES):
            pacer.add(_teller(times))
        begun_ms = clock.now_ms()
        pacer.start()
        await asyncio.sleep(0.0199)
        pacer.stop()
        return [round(at_ms - begun_ms) for at_ms in times]

    assert run_virtually(scenario) == sorted([*range(PHASES)] * 2)


def test_a_stall_is_made_up_for_and_told() -> None:
    async def scenario() -> tuple[int, Lateness]:
        clock = virtual_clock()
        pacer = Pacer(clock)
        ticks: list[float] = []

        def tick(now_ms: float) -> None:
            ticks.append(now_ms)
            if len(ticks) == 5:
                stall(70.0)

        pacer.add(tick)
        pacer.start()
        await asyncio.sleep(1.0)
        pacer.stop()
        return len(ticks), pacer.lateness

    count, lateness = run_virtually(scenario)
    assert count == pytest.approx(50, abs=1)
    assert lateness.max_ms == pytest.approx(70, abs=1)
    assert lateness.percentile(0.5) < 1
    # Those due 20, 40 and 60 ms into the stall were late as well.
    assert lateness.percentile(1 - 3.5 / 50) == pytest.approx(10, abs=1.5)


def test_a_member_that_left_ticks_no_more_and_an_unknown_one_may_leave_too() -> None:
    async def scenario() -> int:
        pacer = Pacer(virtual_clock())
        ticks: list[float] = []
        tick = ticks.append
        pacer.add(tick)
        pacer.start()
        await asyncio.sleep(0.1)
        pacer.remove(tick)
        pacer.remove(tick)
        before = len(ticks)
        await asyncio.sleep(0.1)
        pacer.stop()
        pacer.stop()
        return len(ticks) - before

    assert run_virtually(scenario) == 0


def test_lateness_is_forgotten_on_reset_and_0_without_ticks() -> None:
    lateness = Lateness()
    lateness.add(12.34, 10)
    assert lateness.percentile(0.99) == pytest.approx(12.4)
    lateness.reset()
    assert lateness.percentile(0.99) == 0.0
    lateness.add(1e6, 1)
    assert lateness.percentile(1.0) == 200.0


def test_a_tick_is_told_the_true_time_and_not_when_it_was_due() -> None:
    """What a caller measures would hide its own lateness otherwise."""

    async def scenario() -> list[float]:
        clock = virtual_clock()
        pacer = Pacer(clock)
        apart: list[float] = []

        def tick(now_ms: float) -> None:
            apart.append(clock.now_ms() - now_ms)
            if len(apart) == 3:
                stall(70.0)

        pacer.add(tick)
        pacer.start()
        await asyncio.sleep(0.3)
        pacer.stop()
        return apart

    apart = run_virtually(scenario)
    assert len(apart) > 10
    assert max(map(abs, apart)) < 0.01
