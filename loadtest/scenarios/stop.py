"""The one way to end a run before its time: Ctrl-C, a server that died, a port that is taken."""

import asyncio
from collections.abc import Coroutine

from agent.clock import Clock


class Stopped(Exception):
    """The run is to end now; what was measured until then counts."""


class Stop:
    """Asked once, heard everywhere."""

    def __init__(self, clock: Clock) -> None:
        self.reason = ""
        """One line; empty until it is asked for."""
        self._clock = clock
        self._asked = asyncio.Event()

    def ask(self, reason: str) -> None:
        """The first reason counts."""
        if not self._asked.is_set():
            self.reason = reason
            self._asked.set()

    async def sleep(self, delay_ms: float) -> None:
        """Wait. Raises `Stopped`."""
        await self.run(self._clock.sleep(delay_ms))

    async def run(self, work: Coroutine[object, object, None]) -> None:
        """Do `work`, cancelled if the end comes first. Raises `Stopped`, and what `work` raises."""
        task = asyncio.ensure_future(work)
        asked = asyncio.ensure_future(self._asked.wait())
        try:
            await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                raise Stopped(self.reason)
            task.result()
        finally:
            for each in (task, asked):
                each.cancel()
            await asyncio.gather(task, asked, return_exceptions=True)
