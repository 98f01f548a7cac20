"""A virtual event loop: time jumps to the next timer whenever nothing is ready to run."""

import asyncio
import selectors


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting for a timer, moves the loop's time to it."""

    def __init__(self, now_s: float) -> None:
        super().__init__()
        self.now_s = now_s

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("deadlock: nothing is ready and no timer is set")
        self.now_s += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` is virtual. Threads and sockets do not belong on it."""

    def __init__(self, now_s: float = 1_000.0) -> None:
        self._jumping = _JumpingSelector(now_s)
        super().__init__(self._jumping)
        # Timers that are due within this run together; recorded times are whole microseconds.
        self._clock_resolution = 1e-7

    def time(self) -> float:
        """Seconds."""
        return self._jumping.now_s
