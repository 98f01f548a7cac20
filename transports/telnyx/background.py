"""Work that a webhook starts and does not wait for: Telnyx asks again after 2 s without an answer."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

logger = logging.getLogger(__name__)

MAX_JOBS = 512
"""Commands under way at once. More means that the REST API is as good as down."""
JOB_DEADLINE_S = 30.0
"""Above any command's own deadline, including the loading of the SDK."""
CLOSE_GRACE_S = 2.0
"""Hang-ups that are on their way should arrive."""


class Background:
    """A bounded set of tasks."""

    def __init__(self, max_jobs: int = MAX_JOBS) -> None:
        self._max_jobs = max_jobs
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.failed = 0
        """Jobs that ended with an error nobody expected."""

    @property
    def has_room(self) -> bool:
        """True if another job can be started."""
        return not self._closed and len(self._tasks) < self._max_jobs

    def start(self, job: Callable[[], Coroutine[Any, Any, None]], what: str) -> bool:
        """Run `job`. False if there is no room."""
        if not self.has_room:
            logger.error("no room for another job (%d under way): %s not done", len(self._tasks), what)
            return False
        task = asyncio.create_task(self._run(job, what), name=f"telnyx {what}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self) -> None:
        """Let what is under way finish for a moment, then cancel it. Idempotent."""
        self._closed = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_GRACE_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, job: Callable[[], Coroutine[Any, Any, None]], what: str) -> None:
        try:
            async with asyncio.timeout(JOB_DEADLINE_S):
                await job()
        except Exception:  # a job's fault must not pass unseen; expected errors end inside of it
            self.failed += 1
            logger.exception("%s failed", what)
