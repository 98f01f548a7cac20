import asyncio

import pytest

from agent.clock import LoopClock
from loadtest.callers.errors import Unreachable
from loadtest.scenarios.stop import Stop, Stopped


async def test_a_wait_ends_when_it_is_over_or_when_the_run_is_to_end() -> None:
    stop = Stop(LoopClock())
    await stop.sleep(1)
    asyncio.get_running_loop().call_later(0.02, stop.ask, "interrupted")
    with pytest.raises(Stopped, match="interrupted"):
        await stop.sleep(60_000)


async def test_the_first_reason_counts_and_holds() -> None:
    stop = Stop(LoopClock())
    stop.ask("the server ended with 1")
    stop.ask("interrupted")
    with pytest.raises(Stopped, match="the server ended"):
        await stop.sleep(1)


async def test_work_is_cancelled_at_the_end_and_its_errors_come_through() -> None:
    stop = Stop(LoopClock())
    cancelled: list[bool] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.append(True)

    async def fail() -> None:
        raise Unreachable("nobody there")

    with pytest.raises(Unreachable, match="nobody"):
        await stop.run(fail())
    asyncio.get_running_loop().call_later(0.02, stop.ask, "interrupted")
    with pytest.raises(Stopped):
        await stop.run(work())
    assert cancelled == [True]
