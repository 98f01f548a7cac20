"""One beat for all: absolute deadlines, spread phases, nobody's fault stops another."""

import asyncio
import logging
from collections import Counter
from itertools import pairwise

import pytest

from agent.clock import LoopClock, Timer
from agent.ticker import PERIOD_MS, PHASES, Tick, Ticker
from tests.virtual import run_virtually, stall, virtual_clock, virtually


def recorder(beats: list[float]) -> Tick:
    return beats.append


@virtually
async def test_each_member_is_called_every_twenty_milliseconds() -> None:
    ticker, beats = Ticker(virtual_clock()), list[float]()
    ticker.add(recorder(beats))
    await asyncio.sleep(1.0)
    assert len(beats) in (50, 51)
    assert [later - earlier for earlier, later in pairwise(beats)] == pytest.approx(
        [PERIOD_MS] * (len(beats) - 1)
    )
    ticker.close()


@virtually
async def test_members_are_spread_over_the_phases_as_their_calls_are() -> None:
    clock = virtual_clock()
    ticker = Ticker(clock)
    moments: Counter[float] = Counter()
    members: list[Tick] = [lambda now_ms: moments.update([round(now_ms % 20, 3)]) for _ in range(100)]
    for member in members:
        ticker.add(member)
        await asyncio.sleep(0.002)
    await asyncio.sleep(0.001)
    moments.clear()
    await asyncio.sleep(0.020)
    assert len(moments) == PHASES
    assert set(moments.values()) == {100 // PHASES}
    ticker.close()


@virtually
async def test_a_member_is_called_whole_periods_after_it_came() -> None:
    # It has just sent a frame: without a far buffer the next is due 20 ms later, give or take half a phase.
    clock = virtual_clock()
    ticker = Ticker(clock)
    ticker.add(lambda now_ms: None)
    for wait_s in (0.0031, 0.0072, 0.0154, 0.0011):
        await asyncio.sleep(wait_s)
        beats: list[float] = []
        began_ms = clock.now_ms()
        ticker.add(beats.append)
        await asyncio.sleep(0.045)
        since_ms = [beat - began_ms for beat in beats if beat - began_ms > 10.0]
        assert since_ms[0] == pytest.approx(20.0, abs=1.1)
        ticker.remove(beats.append)
    ticker.close()


@virtually
async def test_lateness_is_not_handed_on() -> None:
    # Relative sleeps would add up 50 x 7 ms to a third of a second.
    clock = virtual_clock()
    ticker, beats = Ticker(clock), list[float]()

    def slow(now_ms: float) -> None:
        beats.append(now_ms)
        stall(7.0)

    ticker.add(slow)
    began_ms = clock.now_ms()
    await asyncio.sleep(1.0)
    assert len(beats) in (50, 51)
    assert all((beat - began_ms) % PERIOD_MS < 0.1 or (beat - began_ms) % PERIOD_MS > 19.9 for beat in beats)
    ticker.close()


@pytest.mark.parametrize("stall_ms", [7.0, 33.0, 101.0, 5_000.0])
@virtually
async def test_after_a_stall_every_member_is_called_once_and_at_once(stall_ms: float) -> None:
    clock = virtual_clock()
    ticker = Ticker(clock)
    beats: dict[int, list[float]] = {number: [] for number in range(PHASES)}
    members = [recorder(times) for times in beats.values()]
    for member in members:
        ticker.add(member)
    await asyncio.sleep(0.1)
    stall(stall_ms)
    after_ms = clock.now_ms()
    await asyncio.sleep(PERIOD_MS / 1000)
    for times in beats.values():
        later = [at_ms for at_ms in times if at_ms >= after_ms - 1e-6]
        assert 1 <= len(later) <= 2
        assert later[0] <= after_ms + max(PERIOD_MS - stall_ms, 0.0) + 1.0
    if stall_ms > PERIOD_MS:
        assert ticker.max_late_ms == pytest.approx(stall_ms, abs=PERIOD_MS)
    await asyncio.sleep(0.2)
    assert all(times[-1] - times[-2] == pytest.approx(PERIOD_MS) for times in beats.values())
    ticker.close()


@virtually
async def test_adding_twice_is_adding_once_and_removing_a_stranger_does_nothing() -> None:
    ticker, beats = Ticker(virtual_clock()), list[float]()
    ticker.add(beats.append)
    ticker.add(beats.append)
    ticker.remove(print)
    await asyncio.sleep(0.0399)
    assert len(beats) == 1
    ticker.remove(beats.append)
    await asyncio.sleep(1)
    assert len(beats) == 1


@virtually
async def test_a_member_that_another_has_removed_is_not_called_any_more() -> None:
    ticker, beats = Ticker(virtual_clock()), list[float]()

    def first(now_ms: float) -> None:
        ticker.remove(beats.append)

    ticker.add(first)
    ticker.add(beats.append)  # in the same phase as `first`, behind it
    await asyncio.sleep(1)
    assert beats == []
    ticker.close()


def test_a_member_that_fails_is_removed_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        ticker, beats = Ticker(virtual_clock()), list[float]()

        def broken(now_ms: float) -> None:
            raise ValueError("no")

        ticker.add(broken)
        ticker.add(beats.append)
        await asyncio.sleep(1)
        assert ticker.faults == 1
        assert len(beats) >= 50
        ticker.close()

    with caplog.at_level(logging.ERROR):
        run_virtually(play)
    assert len(caplog.records) == 1


class CountingClock(LoopClock):
    """Counts the timers that are set."""

    timers = 0

    def call_later(self, delay_ms: float, callback: object) -> Timer:
        self.timers += 1
        return super().call_later(delay_ms, callback)  # type: ignore[arg-type]  # passed on as it came


@virtually
async def test_without_members_there_is_no_beat() -> None:
    loop = asyncio.get_running_loop()
    clock = CountingClock(loop, loop.time)
    ticker = Ticker(clock)
    await asyncio.sleep(1)
    assert clock.timers == 0
    ticker.add(lambda now_ms: None)
    ticker.close()
    set_before = clock.timers
    await asyncio.sleep(1)
    assert clock.timers == set_before
    beats = list[float]()
    ticker.add(beats.append)  # it can begin anew
    await asyncio.sleep(0.1)
    assert beats
    ticker.close()


@virtually
async def test_phases_without_members_set_no_timers() -> None:
    loop = asyncio.get_running_loop()
    clock = CountingClock(loop, loop.time)
    ticker, beats = Ticker(clock), list[float]()
    ticker.add(beats.append)
    await asyncio.sleep(0.99)
    assert len(beats) == 49
    assert clock.timers == 50
    ticker.close()
