"""A virtual event loop: time jumps to the next timer whenever nothing is ready to run.

An hour of reprompts, time-outs and playout passes in milliseconds, and always in the same order. For tests
of the core with fake lines and providers; threads and sockets do not belong on it.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from agent.clock import LoopClock

T = TypeVar("T")
P = ParamSpec("P")


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting for a timer, moves the loop's time to it."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("deadlock: nothing is ready and no timer is set")
        self.now_s += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` is virtual."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._jumping.now_s


def virtual_clock() -> LoopClock:
    """The clock of the running virtual loop."""
    loop = asyncio.get_running_loop()
    return LoopClock(loop, loop.time)


def stall(duration_ms: float) -> None:
    """The running virtual loop stands still: time passes and nothing runs."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop._jumping.now_s += duration_ms / 1000


def run_virtually(scenario: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `scenario` on a virtual loop of its own; no task may be left behind."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:

        async def checked() -> T:
            result = await scenario()
            await asyncio.sleep(0)
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            assert not left, f"tasks left behind: {left}"
            return result

        return runner.run(checked())


def virtually(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Decorates a test: it runs as `run_virtually` would run it, with its parameters and fixtures."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_virtually(lambda: test(*args, **kwargs))

    return run
