"""A stream that may be overtaken: until the first of them begins, others can be started beside it.

The first to give an item that counts wins; what it gives is handed on from there, and the others are
cancelled. Each stream is read by a task of its own, since a stream's bounds belong to the task that reads it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_WAITING = 32
"""Items of one stream that nobody has taken: a provider that is quicker than its reader waits."""
CLOSE_MS = 2_000.0
"""Bound on waiting for cancelled streams: as `agent.chains.CLOSE_MS`, they close within that."""


class _Runner(Generic[T]):
    """One stream and the task that reads it."""

    def __init__(self, source: AsyncGenerator[T, None], counts: Callable[[T], bool], race: "Race[T]") -> None:
        self.items: deque[T] = deque()
        self.room = asyncio.Event()
        self._source = source
        self._counts = counts
        self._race = race
        self.task = asyncio.create_task(self._run(), name="racing stream")
        self.task.add_done_callback(lambda _: race.news.set())

    async def _run(self) -> None:
        try:
            async for item in self._source:
                if self._race.winner is None:
                    if not self._counts(item):
                        continue
                    self._race.winner = self
                elif self._race.winner is not self:
                    return
                self.items.append(item)
                self._race.news.set()
                while len(self.items) >= MAX_WAITING:
                    self.room.clear()
                    await self.room.wait()
        finally:
            await self._source.aclose()


class Race(Generic[T]):
    """`join` the streams, the first one at once, and read `items`."""

    def __init__(self, counts: Callable[[T], bool]) -> None:
        """`counts`: whether an item is a beginning; those that come before it say nothing and are dropped."""
        self.winner: _Runner[T] | None = None
        self.news = asyncio.Event()
        self._counts = counts
        self._runners: list[_Runner[T]] = []
        self._closed = False

    @property
    def open(self) -> bool:
        """No stream has begun yet, so that another one may join."""
        return self.winner is None and not self._closed

    def join(self, source: AsyncGenerator[T, None]) -> None:
        """Start another stream. Only while `open`."""
        self._runners.append(_Runner(source, self._counts, self))

    async def items(self) -> AsyncGenerator[T, None]:
        """What the winner gives. Raises what it raises; where none begins, what the first one raises."""
        try:
            winner = await self._decided()
            if winner is None:
                self._raise_first()
                return
            for runner in self._runners:
                if runner is not winner:
                    runner.task.cancel()
            while True:
                while not winner.items:
                    if winner.task.done():
                        winner.task.result()
                        return
                    self.news.clear()
                    await self.news.wait()
                item = winner.items.popleft()
                winner.room.set()
                yield item
        finally:
            await self._close()

    async def _decided(self) -> _Runner[T] | None:
        """The stream that began first. None: all are over, and none began."""
        while self.winner is None:
            if all(runner.task.done() for runner in self._runners):
                return None
            self.news.clear()
            await self.news.wait()
        return self.winner

    def _raise_first(self) -> None:
        for runner in self._runners:
            runner.task.result()

    async def _close(self) -> None:
        """Cancel what still runs, and wait for it: bounded."""
        self._closed = True
        tasks = {runner.task for runner in self._runners}
        for task in tasks:
            task.cancel()
        _, left = await asyncio.wait(tasks, timeout=CLOSE_MS / 1000)
        if left:
            logger.warning("%d cancelled streams go on", len(left))
        for task in tasks - left:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                logger.info("one of the streams failed: %s", error)
