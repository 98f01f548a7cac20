"""One connection kept ready, on a virtual clock."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from agent.errors import ProviderUnavailable
from providers.connections import ConnectStats
from providers.warm import Warm
from tests.virtual import run_virtually, virtual_clock


class Thing:
    """A connection of which only the life matters."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.usable = True
        self.closed = False

    async def close(self) -> None:
        await asyncio.sleep(0.01)
        self.closed = True


class Factory:
    """Opens things, in 100 ms each; fails while told to."""

    def __init__(self) -> None:
        self.made: list[Thing] = []
        self.fail = False
        self.tries = 0

    async def __call__(self) -> Thing:
        self.tries += 1
        await asyncio.sleep(0.1)
        if self.fail:
            raise ProviderUnavailable("vendor", "down")
        self.made.append(Thing(len(self.made)))
        return self.made[-1]


Scenario = Callable[[Warm[Thing], Factory], Coroutine[None, None, None]]


def virtually(scenario: Scenario, max_age_ms: float = 60_000.0, max_idle_ms: float = 10_000.0) -> None:
    async def run() -> None:
        factory = Factory()
        warm = Warm(factory, virtual_clock(), ConnectStats(), max_age_ms=max_age_ms, max_idle_ms=max_idle_ms)
        await scenario(warm, factory)
        await warm.close()
        await warm.close()
        assert all(thing.closed for thing in factory.made if thing.usable)

    run_virtually(run)


def test_a_shared_one_is_opened_once_for_all_who_come_together() -> None:
    async def scenario(warm: Warm[Thing], factory: Factory) -> None:
        found = await asyncio.gather(*(warm.share() for _ in range(20)))
        assert {thing.number for thing in found} == {0}
        assert await warm.share() is found[0]

    virtually(scenario)


def test_a_taken_one_is_the_taker_s_alone() -> None:
    async def scenario(warm: Warm[Thing], factory: Factory) -> None:
        await warm.share()
        first = await warm.take()
        second = await warm.take()
        assert first.number == 0
        assert second.number != 0
        await asyncio.sleep(0.2)
        third = await warm.take()
        assert third not in (first, second)
        for thing in (first, second, third):
            await thing.close()

    virtually(scenario)


def test_it_is_replaced_when_idle_and_the_old_one_closed() -> None:
    async def scenario(warm: Warm[Thing], factory: Factory) -> None:
        first = await warm.share()
        await asyncio.sleep(9)
        assert await warm.share() is first, "used again: idle from now"
        await asyncio.sleep(9)
        assert len(factory.made) == 1
        await asyncio.sleep(1.5)
        assert first.closed
        assert len(factory.made) == 2

    virtually(scenario)


def test_it_is_replaced_when_old_however_busy() -> None:
    async def scenario(warm: Warm[Thing], factory: Factory) -> None:
        for _ in range(61):
            await warm.share()
            await asyncio.sleep(1)
        await asyncio.sleep(0.2)
        assert factory.made[0].closed
        assert (await warm.share()).number == 1

    virtually(scenario)


def test_a_lost_one_is_replaced_with_longer_and_longer_pauses() -> None:
    async def scenario(warm: Warm[Thing], factory: Factory) -> None:
        first = await warm.share()
        factory.fail = True
        first.usable = False
        warm.lost(first)
        warm.lost(first)
        await asyncio.sleep(60)
        assert 5 <= factory.tries <= 9, "0.5, 1, 2, 4 … s apart"
        with pytest.raises(ProviderUnavailable):
            await warm.share()
        factory.fail = False
        assert (await warm.share()).usable

    virtually(scenario)


def test_one_that_died_unnoticed_is_not_handed_out() -> None:
    async def scenario(warm: Warm[Thing], factory: Factory) -> None:
        first = await warm.share()
        first.usable = False
        assert (await warm.share()) is not first
        (await warm.share()).usable = False
        assert (await warm.take()).usable
        await factory.made[-1].close()

    virtually(scenario)


def test_a_waiter_that_is_cancelled_takes_nobody_along() -> None:
    async def scenario(warm: Warm[Thing], factory: Factory) -> None:
        one, other = asyncio.create_task(warm.share()), asyncio.create_task(warm.share())
        await asyncio.sleep(0.05)
        one.cancel()
        assert (await other).number == 0
        assert one.cancelled() or one.cancelling()
        await asyncio.gather(one, return_exceptions=True)

    virtually(scenario)


def test_closing_while_it_is_being_opened_leaves_nothing() -> None:
    async def scenario(warm: Warm[Thing], factory: Factory) -> None:
        waiting = asyncio.create_task(warm.share())
        await asyncio.sleep(0.05)
        await warm.close()
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        assert factory.made == []

    virtually(scenario)
