"""A simulated vendor's socket that is closed when nothing is heard on it for a while."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from agent.clock import Clock, Timer


class IdleWatch:
    """One socket's patience."""

    def __init__(self, clock: Clock, idle_ms: float) -> None:
        """`idle_ms`: silence after which the vendor closes."""
        self._clock = clock
        self._idle_ms = idle_ms
        self._timer: Timer | None = None
        self._over = asyncio.Event()

    def alive(self) -> None:
        """Something was heard: patience begins anew."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_later(self._idle_ms, self._over.set)

    async def run(
        self,
        read: Coroutine[Any, Any, None],
        write: Coroutine[Any, Any, None],
        close: Callable[[], Awaitable[None]],
        vendor: str,
    ) -> None:
        """Read and write until the reader ends, or `close` the socket when patience does. Nothing is left."""
        reader = asyncio.create_task(read, name=f"{vendor} simulator reads")
        writer = asyncio.create_task(write, name=f"{vendor} simulator writes")
        idled = asyncio.create_task(self._over.wait(), name=f"{vendor} simulator watches")
        self.alive()
        try:
            await asyncio.wait({reader, idled}, return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                reader.result()
            else:
                # The reader first: aiohttp's close and receive would wait for each other.
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)
                await close()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for task in (reader, writer, idled):
                task.cancel()
            await asyncio.gather(reader, writer, idled, return_exceptions=True)
