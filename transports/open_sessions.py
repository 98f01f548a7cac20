"""The sockets of one transport: what they share, and their end when the process stops."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Protocol

from agent.clock import Clock
from agent.coarse_timers import CoarseTimers

logger = logging.getLogger(__name__)

STOP_S = 6.0
"""Until the last sockets are closed: a call may take 3 s to end and the closing handshake 2 s."""


class OpenSession(Protocol):
    """One of them."""

    def cut(self) -> None:
        """Take the way down now, as if the connection had gone. Idempotent."""


class OpenSessions:
    """Event loop only. `close` at the end: until then nothing else knows that these sockets are open."""

    def __init__(self, clock: Clock) -> None:
        self.timers = CoarseTimers(clock)
        """For what is not urgent: silent peers, callers who never name a call."""
        self._open: set[OpenSession] = set()
        self._endings: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, session: OpenSession) -> None:
        """Its socket is open."""
        self._open.add(session)

    def ending(self, session: OpenSession, way_down: Coroutine[Any, Any, None]) -> None:
        """Run the session's way down; then it is over."""
        task = asyncio.create_task(way_down, name="socket teardown")
        self._endings.add(task)
        task.add_done_callback(lambda done: self._over(session, done))

    def discard(self, session: OpenSession) -> None:
        """It never began."""
        self._open.discard(session)

    async def close(self) -> None:
        """Cut what is left, and wait until it is closed; `STOP_S` at most. Idempotent."""
        for session in tuple(self._open):
            session.cut()
        if self._endings:
            _, late = await asyncio.wait(tuple(self._endings), timeout=STOP_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1.0)
        self.timers.close()

    def _over(self, session: OpenSession, task: "asyncio.Task[None]") -> None:
        self._endings.discard(task)
        self._open.discard(session)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("closing a socket failed", exc_info=error)
