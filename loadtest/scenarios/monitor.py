"""Watches a run: a point each second, the scenario's events when they are due, whether the server lives."""

import asyncio
import contextlib
from collections.abc import Sequence

from agent.clock import Clock
from agent.errors import ParleyError
from loadtest.bulk.fleet import Fleet
from loadtest.scenarios.progress import Progress
from loadtest.scenarios.result import EventResult, Point
from loadtest.scenarios.schema import Action, Event
from loadtest.scenarios.server import Server
from loadtest.scenarios.stop import Stop
from loadtest.scenarios.timeline import Timeline

_POINT_MS = 1_000.0
_GAUGES_EVERY = 5
"""Points between two scrapes of `/metrics`: a scrape costs the server some milliseconds."""


class Monitor:
    """`run` it as a task beside the steps."""

    def __init__(
        self,
        clock: Clock,
        fleet: Fleet,
        server: Server,
        stop: Stop,
        progress: Progress,
        events: Sequence[Event],
    ) -> None:
        self.timeline = Timeline()
        self.events: list[EventResult] = []
        self._clock = clock
        self._fleet = fleet
        self._server = server
        self._stop = stop
        self._progress = progress
        self._coming = list(events)
        self._origin_ms: float | None = None
        self._doing: asyncio.Task[None] | None = None
        self._gauges: dict[str, float] = {}
        self._cpu: tuple[float, float] | None = None
        """Milliseconds of CPU, and when."""

    def measuring(self) -> None:
        """The first step begins to measure: events count from here."""
        if self._origin_ms is None:
            self._origin_ms = self._clock.now_ms()

    async def run(self) -> None:
        """Until cancelled."""
        number = 0
        next_ms = self._clock.now_ms()
        try:
            while True:
                next_ms += _POINT_MS
                await self._clock.sleep(next_ms - self._clock.now_ms())
                number += 1
                if number % _GAUGES_EVERY == 1:
                    self._gauges = await self._server.gauges()
                self._add_point()
                self._due()
                if reason := await self._server.ended():
                    self._stop.ask(reason)
        finally:
            if self._doing is not None:
                self._doing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._doing

    def _add_point(self) -> None:
        if self._origin_ms is None:
            return
        now_ms = self._clock.now_ms()
        self._fleet.tally()
        fleet = self._fleet
        point = self.timeline.add(
            (now_ms - self._origin_ms) / 1000,
            fleet.wanted,
            fleet.live,
            fleet.figures,
            self._of_server(now_ms),
        )
        self._progress.point(point)

    def _of_server(self, now_ms: float) -> Point:
        gauges, rss_kb = self._gauges, self._server.rss_kb()
        cpu_ms = self._server.cpu_ms()
        if cpu_ms is None and "cpu_s" in gauges:
            cpu_ms = gauges["cpu_s"] * 1000
        before, self._cpu = self._cpu, None if cpu_ms is None else (cpu_ms, now_ms)
        percent = None
        if cpu_ms is not None and before is not None and cpu_ms >= before[0] and now_ms > before[1]:
            percent = round(100 * (cpu_ms - before[0]) / (now_ms - before[1]), 1)
        if rss_kb is None and "rss" in gauges:
            rss_kb = gauges["rss"] / 1024
        return {
            "cpu_percent": percent,
            "rss_mb": None if rss_kb is None else round(rss_kb / 1024, 2),
            **{name: gauges.get(name) for name in ("fds", "tasks", "objects")},
        }

    def _due(self) -> None:
        """Begin the next event if it is time, one after the other."""
        if self._origin_ms is None or not self._coming:
            return
        if self._doing is not None and not self._doing.done():
            return
        at_s = (self._clock.now_ms() - self._origin_ms) / 1000
        if at_s >= self._coming[0].at_s:
            event = self._coming.pop(0)
            result = EventResult(round(at_s, 2), event.do.value)
            self.events.append(result)
            self._progress.say(f"{event.do.value} at {at_s:.0f} s")
            self._doing = asyncio.get_running_loop().create_task(self._do(event, result), name=event.do.value)

    async def _do(self, event: Event, result: EventResult) -> None:
        if event.do is Action.CUT_SOCKETS:
            result.detail = f"{self._fleet.cut(event.share)} sockets"
            return
        begun_ms = self._clock.now_ms()
        try:
            await self._server.do(event.do)
        except ParleyError as error:
            self._stop.ask(str(error))
            return
        if event.do in (Action.RESTART_SERVER, Action.KILL_SERVER):
            result.detail = f"ready after {(self._clock.now_ms() - begun_ms) / 1000:.1f} s"
