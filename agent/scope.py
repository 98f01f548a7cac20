"""What one call has running: its tasks and timers, with one place that notices their faults.

Whatever goes wrong inside a callback of a call ends at most that call: every timer, task and outside callback
of it runs through its scope, which reports an exception once and goes on.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from agent.clock import Clock, Timer
from agent.coarse_timers import Timers
from agent.ticker import Tick, Ticker

logger = logging.getLogger(__name__)


class _Guarded:
    """A timer's callback. An object of its own, since a closure takes four times as much."""

    __slots__ = ("_callback", "_name", "_scope")

    def __init__(self, scope: "CallScope", name: str, callback: Callable[[], object]) -> None:
        self._scope = scope
        self._name = name
        self._callback = callback

    def __call__(self) -> None:
        self._scope.run(self._name, self._callback)


class CallScope:
    """Tasks and named timers of one call. `on_fault` is told of every exception, already logged."""

    def __init__(
        self, call_id: str, clock: Clock, on_fault: Callable[[], None], coarse: Timers | None = None
    ) -> None:
        """`coarse`: for timers that may be a little late; else the clock's."""
        self._call_id = call_id
        self.clock = clock
        self.coarse: Timers = coarse or clock
        self._on_fault = on_fault
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, Timer] = {}
        self._open = True

    def run(self, name: str, work: Callable[[], object]) -> None:
        """Call `work` now; an exception is a fault of this call, not of whoever called."""
        try:
            work()
        except Exception as error:  # noqa: BLE001  # one call's fault must not reach others, or a provider
            self.fault(name, error)

    def fault(self, name: str, error: Exception) -> None:
        """Log what went wrong, and tell the call."""
        logger.error("call %s: %s failed", self._call_id, name, exc_info=error)
        self._on_fault()

    def after(
        self, name: str, delay_ms: float, callback: Callable[[], object], *, coarse: bool = False
    ) -> None:
        """Call back later. One timer per name; a new one replaces the old. None once the scope is closed.

        `coarse`: a tenth of a second more does not matter.
        """
        self.cancel_timer(name)
        if self._open:
            timers = self.coarse if coarse else self.clock
            self._timers[name] = timers.call_later(delay_ms, _Guarded(self, name, callback))

    def cancel_timer(self, name: str) -> None:
        """Drop the timer of that name, if there is one."""
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def stop_timers(self) -> None:
        """Drop all timers and take no new ones."""
        self._open = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Run `work` as a task of this call."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    async def cancel_tasks(self) -> None:
        """Cancel all tasks and wait until they are over. The caller sets the bound."""
        tasks = {task for task in self._tasks if task is not asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            # Not `gather`: cancelled, that goes on waiting for a task that does not heed its cancellation.
            await asyncio.wait(tasks)

    def _over(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("call %s: %s failed", self._call_id, task.get_name(), exc_info=error)
            self._on_fault()


class CallBeat:
    """One call's way to the process's ticker: a tick that raises is a fault of this call, which then ends.

    The ticker itself would only stop calling it, and leave a call that is on but cannot be heard.
    """

    def __init__(self, ticker: Ticker, scope: CallScope) -> None:
        self._ticker = ticker
        self._scope = scope
        self._guarded: dict[Tick, Tick] = {}

    def add(self, tick: Tick) -> None:
        """See `agent.ticker.Ticker.add`."""
        guarded = self._guarded.get(tick)
        if guarded is None:

            def guarded(now_ms: float) -> None:
                try:
                    tick(now_ms)
                except Exception as error:  # noqa: BLE001  # as `CallScope.run`, without its calls per frame
                    self._scope.fault("playout", error)

            self._guarded[tick] = guarded
        self._ticker.add(guarded)

    def remove(self, tick: Tick) -> None:
        """See `agent.ticker.Ticker.remove`."""
        guarded = self._guarded.get(tick)
        if guarded is not None:
            self._ticker.remove(guarded)
