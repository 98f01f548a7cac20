"""How a call is taken down: its tasks, its mouth and its hearing, in a bounded time whatever they do."""

import asyncio
import logging

from agent.hearing import Hearing
from agent.mouth import Mouth
from agent.records import CallRecord
from agent.scope import CallScope

logger = logging.getLogger(__name__)

TEARDOWN_MS = 2_000
"""Ceiling on taking a call down, whatever its parts do."""


async def tear_down(record: CallRecord, scope: CallScope, mouth: Mouth, hearing: Hearing) -> None:
    """Stop everything that a call has running. Never raises.

    The parts do not wait for each other: a provider that ignores its cancellation must keep neither the
    call's recognition open nor its playout in the ticker.
    """
    scope.stop_timers()
    scope.run("mouth", mouth.close)
    closing = [
        asyncio.create_task(scope.cancel_tasks(), name="cancel tasks"),
        asyncio.create_task(hearing.close(), name="close hearing"),
    ]
    # Not `asyncio.timeout`: that waits for whoever does not heed its cancellation.
    done, late = await asyncio.wait(closing, timeout=TEARDOWN_MS / 1000)
    if late:
        record.counters.ceilings += 1
        logger.warning("call %s: teardown took over %d ms", record.call_id, TEARDOWN_MS)
    for task in late:
        task.cancel()
    for task in done:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("call %s: %s failed", record.call_id, task.get_name(), exc_info=error)
