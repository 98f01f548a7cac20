"""The one place that reads time.

Everything else is handed a `Clock`, so that a test can run an hour of calls in a second
(`tests/virtual.py` drives one from a virtual event loop). Times are float milliseconds unless a name
carries another unit.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A pending callback, as `Clock.call_later` returns it."""

    def cancel(self) -> None:
        """Drop the callback. Safe to call twice, and after it ran."""


class Clock(Protocol):
    """Reads monotonic time and calls back later."""

    def now_ms(self) -> float:
        """Monotonic milliseconds since an arbitrary moment."""

    def unix_s(self) -> float:
        """Seconds since 1970 UTC: for records and signature windows, never for durations."""

    def call_later(self, delay_ms: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` on the event loop after `delay_ms`."""

    async def sleep(self, delay_ms: float) -> None:
        """Return after `delay_ms`."""


class LoopClock:
    """The running event loop's timers with a high-resolution reading of time.

    uvloop caches `loop.time()` for a whole iteration at 1 ms resolution, which would blur every latency
    mark, so time is read from `time.monotonic` unless the caller (a virtual loop) says otherwise.
    """

    __slots__ = ("_loop", "_read_s")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None = None,
        read_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._read_s = read_s

    def now_ms(self) -> float:
        return self._read_s() * 1000.0

    def unix_s(self) -> float:
        return time.time()

    def call_later(self, delay_ms: float, callback: Callable[[], object]) -> Timer:
        return self._loop.call_later(max(delay_ms, 0.0) / 1000.0, callback)

    async def sleep(self, delay_ms: float) -> None:
        await asyncio.sleep(max(delay_ms, 0.0) / 1000.0)
