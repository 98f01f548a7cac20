"""An event loop in a hurry: time jumps to the next timer whenever nothing is ready, and sockets still work.

For tests with both ends of a connection on one loop. What one end sends over loopback is ready for the other
at once, so nothing can be on its way when time jumps; a moment's wait before each jump lets threads finish.
An hour of a vendor's silence passes in moments, and a busy machine changes nothing.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

_MOMENT_S = 0.0001
_STUCK_S = 10.0


class _HurriedSelector(selectors.SelectSelector):
    """Waits for sockets a moment only, then moves the loop's time on."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            ready = super().select(_STUCK_S)
            if not ready:
                raise RuntimeError("deadlock: nothing is ready and no timer is set")
            return ready
        ready = super().select(min(max(timeout, 0.0), _MOMENT_S))
        if not ready:
            self.now_s += max(timeout, 0.0)
        return ready


class HurriedLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` jumps."""

    def __init__(self) -> None:
        self._hurried = _HurriedSelector()
        super().__init__(self._hurried)
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._hurried.now_s

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Waits for the threads as long as they take: from Python 3.12 on time would jump to a `timeout`."""
        await super().shutdown_default_executor()


def run_hurried(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `scenario` on a loop of its own; no task may be left behind."""
    with asyncio.Runner(loop_factory=HurriedLoop) as runner:

        async def checked() -> None:
            await scenario()
            for _ in range(3):
                await asyncio.sleep(0)
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            assert not left, f"tasks left behind: {left}"

        runner.run(checked())
