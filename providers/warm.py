"""One connection kept open for the next user, so that no call pays for a handshake."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from agent.clock import Clock, Timer
from agent.errors import ProviderError
from providers.connections import ConnectStats

logger = logging.getLogger(__name__)

RETRY_MS = (500.0, 60_000.0)
"""First and longest pause between attempts to keep one warm; doubled each time."""


class Keepable(Protocol):
    """What `Warm` can keep."""

    @property
    def usable(self) -> bool:
        """It can be given to a new user."""

    async def close(self) -> None:
        """Free it, once those who still use it are done. Bounded; idempotent."""


K = TypeVar("K", bound=Keepable)


class Warm(Generic[K]):
    """One open connection, kept ready.

    `share` hands it out and keeps it for the next user too; `take` hands it over and opens another behind it.
    It is replaced `max_age_ms` after it was opened, and `max_idle_ms` after it was last used, in the
    background. The one replaced is closed by its own `close`, which waits for those who still use it.
    """

    def __init__(
        self,
        dial: Callable[[], Awaitable[K]],
        clock: Clock,
        stats: ConnectStats,
        *,
        max_age_ms: float,
        max_idle_ms: float,
    ) -> None:
        self._dial = dial
        self._clock = clock
        self._stats = stats
        self._max_age_ms = max_age_ms
        self._max_idle_ms = max_idle_ms
        self._kept: K | None = None
        self._opening: asyncio.Task[K] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._opened_ms = self._used_ms = 0.0
        self._timer: Timer | None = None
        self._retry_ms = RETRY_MS[0]
        self._closed = False

    async def share(self) -> K:
        """The kept one, or a new one if there is none. Raises `ProviderError`."""
        kept = self._kept
        if kept is not None and kept.usable:
            self._stats.reused += 1
            self._used_ms = self._clock.now_ms()
            return kept
        return await self._fresh()

    async def take(self) -> K:
        """As `share`, but it is the taker's alone. Takers who find none open theirs side by side."""
        kept, self._kept = self._kept, None
        if kept is not None and kept.usable:
            self._stats.reused += 1
        else:
            kept = await self._dial()
        self._renew_in(0.0)
        return kept

    def lost(self, kept: K) -> None:
        """`kept` can no longer be used: another is opened in the background."""
        if self._kept is not kept:
            return
        self._kept = None
        if self._clock.now_ms() - self._opened_ms > RETRY_MS[1]:
            self._retry_ms = RETRY_MS[0]
        self._renew_later()

    async def close(self) -> None:
        """Close what is kept and wait for what is being closed. Idempotent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        kept, self._kept = self._kept, None
        if kept is not None:
            await kept.close()
        if self._closing:
            await asyncio.gather(*self._closing)

    async def _fresh(self) -> K:
        """Wait for the one that is being opened: all who come meanwhile wait for the same."""
        return await asyncio.shield(self._open_soon())

    def _open_soon(self) -> asyncio.Task[K]:
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open(), name="open a vendor connection")
            self._opening.add_done_callback(_seen)
        return self._opening

    async def _open(self) -> K:
        try:
            fresh = await self._dial()
        except ProviderError:
            self._renew_later()
            raise
        old, self._kept = self._kept, fresh
        self._opened_ms = self._used_ms = self._clock.now_ms()
        self._renew_in(min(self._max_age_ms, self._max_idle_ms))
        if old is not None:
            task = asyncio.create_task(old.close(), name="close a vendor connection")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        return fresh

    def _renew_later(self) -> None:
        """After a failure. A vendor who takes us in only to cut us off is not asked twice a second."""
        self._renew_in(self._retry_ms)
        self._retry_ms = min(self._retry_ms * 2, RETRY_MS[1])

    def _renew_in(self, delay_ms: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if self._closed else self._clock.call_later(delay_ms, self._renew)

    def _renew(self) -> None:
        left_ms = (
            min(self._opened_ms + self._max_age_ms, self._used_ms + self._max_idle_ms) - self._clock.now_ms()
        )
        if self._kept is not None and self._kept.usable and left_ms > 0:
            self._renew_in(left_ms)
        elif not self._closed:
            self._open_soon()


def _seen(task: asyncio.Task[K]) -> None:
    """A failure in the background is logged here; those who wait for the task hear of it themselves."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.info("cannot keep a connection warm: %s", error)
