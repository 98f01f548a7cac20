"""One step of a run: bring the calls up to a number, let them settle, measure."""

import asyncio
import gc
import os
from dataclasses import fields
from typing import Any

from agent.clock import Clock
from loadtest.bulk.account import account_of, read_records, stages_of
from loadtest.bulk.agreement import agreement_of
from loadtest.bulk.figures import Figures, percentiles
from loadtest.bulk.fleet import MAX_LATE_MS, Fleet
from loadtest.bulk.pacer import MOST_MS
from loadtest.bulk.probe import cost
from loadtest.callers.errors import Unreachable
from loadtest.scenarios.monitor import Monitor
from loadtest.scenarios.result import StepResult
from loadtest.scenarios.schema import Step
from loadtest.scenarios.server import Server
from loadtest.scenarios.stop import Stop, Stopped

MAX_CORE_PERCENT = 95.0
"""Of the callers' core. Beyond it they have no room to be on time."""
MAX_RECORDS = 200
"""Calls whose turns are read from the side port: enough for percentiles, and soon done."""
RECORDS_S = 60.0
"""Bound on reading them: a server that starves answers each request late, and the calls go on meanwhile."""
MAX_KEPT = 20_000
"""Samples of each list that go into the JSON file."""


class Measurer:
    """Measures steps of one run."""

    def __init__(
        self, clock: Clock, fleet: Fleet, server: Server, stop: Stop, monitor: Monitor, pace_ms: float | None
    ) -> None:
        self._clock = clock
        self._fleet = fleet
        self._server = server
        self._stop = stop
        self._monitor = monitor
        self._pace_ms = pace_ms
        self._idle_kb = server.rss_kb()
        self._before: dict[str, int] = {}

    async def step(self, step: Step, name: str, seconds: float) -> StepResult:
        """Measured, maybe shorter than wanted if `stop` was asked for. Raises `Stopped` before measuring."""
        fleet, stop = self._fleet, self._stop
        self._before = {"refused_calls": fleet.refused, "lost_calls": fleet.lost}
        result = StepResult(name, step.calls, seconds)
        more = step.calls - fleet.wanted
        if more < 0:
            fleet.hang_up(-more)
        if step.measure_opening:
            await self._measure(step, result, fleet.open(more, step.open_per_s) if more > 0 else None)
            return result
        if more > 0:
            await stop.run(fleet.open(more, step.open_per_s))
        await stop.sleep(step.settle_s * 1000)
        await self._measure(step, result, None)
        return result

    async def _measure(self, step: Step, result: StepResult, opening: object) -> None:
        fleet, server, clock = self._fleet, self._server, self._clock
        counted = await server.counters()
        # The callers' own garbage collection must not make them late.
        gc.collect()
        gc.freeze()
        fleet.measure_from_now()
        self._monitor.measuring()
        own_ms, cpu_ms, waited_ms = cost(os.getpid()).cpu_ms, server.cpu_ms(), server.waited_ms()
        begun_ms, since_unix_s = clock.now_ms(), clock.unix_s()
        try:
            if opening is not None:
                await self._stop.run(opening)  # type: ignore[arg-type]  # a coroutine of `Fleet.open`
            await self._stop.sleep(begun_ms + result.seconds * 1000 - clock.now_ms())
        except Stopped:
            # What there is counts; the runner sees that the end was asked for.
            pass
        finally:
            gc.unfreeze()
        passed_ms = max(clock.now_ms() - begun_ms, 1.0)
        result.seconds = round(passed_ms / 1000, 2)
        result.live = fleet.live
        self._of_callers(result, (cost(os.getpid()).cpu_ms - own_ms) / passed_ms)
        self._of_process(result, cpu_ms, waited_ms, passed_ms)
        now = await server.counters()
        result.counters = {name: max(now[name] - counted.get(name, 0.0), 0.0) for name in now}
        await self._of_turns(result, since_unix_s)

    def _of_callers(self, result: StepResult, core_share: float) -> None:
        fleet = self._fleet
        fleet.end_measuring()
        result.callers = fleet.figures.summary()
        # Of the whole step: most calls are refused, and many lost, while the others are opened.
        totals = {"refused_calls": fleet.refused, "lost_calls": fleet.lost}
        result.callers |= {name: count - self._before[name] for name, count in totals.items()}
        result.samples = _samples(fleet.figures)
        result.late_p99_ms = fleet.lateness.percentile(0.99)
        result.callers_core_percent = round(100 * core_share, 1)
        if result.late_p99_ms > MAX_LATE_MS:
            more = " or more" if result.late_p99_ms >= MOST_MS else ""
            result.bottlenecks.append(f"callers {result.late_p99_ms:.1f} ms{more} late (p99)")
        if result.callers_core_percent > MAX_CORE_PERCENT:
            result.bottlenecks.append(f"callers used {result.callers_core_percent:.0f} % of their core")

    def _of_process(
        self, result: StepResult, cpu_ms: float | None, waited_ms: float | None, passed_ms: float
    ) -> None:
        live = max(result.live, 1)
        now_ms, now_waited_ms, rss_kb = self._server.cpu_ms(), self._server.waited_ms(), self._server.rss_kb()
        # Less than before: a server that somebody else restarted has begun to count anew.
        if now_ms is not None and cpu_ms is not None and now_ms >= cpu_ms:
            result.core_percent = round(100 * (now_ms - cpu_ms) / passed_ms, 2)
            result.cpu_ms_per_call = round(1000 * (now_ms - cpu_ms) / passed_ms / live, 3)
            if now_waited_ms is not None and waited_ms is not None:
                result.waited_percent = round(100 * max(now_waited_ms - waited_ms, 0.0) / passed_ms, 2)
        if rss_kb is not None:
            result.rss_mb = round(rss_kb / 1024, 2)
            if self._idle_kb is not None:
                result.rss_kb_per_call = round((rss_kb - self._idle_kb) / live, 1)

    async def _of_turns(self, result: StepResult, since_unix_s: float) -> None:
        side_url, token = self._server.side_url, self._server.side_token
        try:
            ids = self._fleet.call_ids
            chosen = ids[:: max(-(-len(ids) // MAX_RECORDS), 1)]
            async with asyncio.timeout(RECORDS_S):
                records = await read_records(side_url, chosen, token)
        except (Unreachable, TimeoutError):
            return
        self._of_both_ends(result, records)
        stages = stages_of(records, since_unix_s)
        result.stages = {name: percentiles(values) for name, values in stages.items()}
        for name in ("added", "response"):
            result.samples[f"{name}_ms"] = _kept(stages.get(name, []))
        if self._pace_ms is not None:
            strict = account_of(records, since_unix_s, self._pace_ms).strict_ms
            result.stages["strict"] = percentiles(strict)
            result.samples["strict_ms"] = _kept(strict)

    def _of_both_ends(self, result: StepResult, records: list[dict[str, Any]]) -> None:
        offset_ms = self._clock.unix_s() * 1000 - self._clock.now_ms()
        agreement = agreement_of(self._fleet.figures.answered, records, offset_ms)
        result.unpaired = agreement.unpaired
        result.agreement_ms = agreement.summary
        result.samples["agreement_ms"] = _kept(agreement.all_ms)


def _samples(figures: Figures) -> dict[str, list[float]]:
    """All lists of milliseconds."""
    return {
        each.name: _kept(getattr(figures, each.name)) for each in fields(figures) if each.name.endswith("_ms")
        and isinstance(getattr(figures, each.name), list)
    }  # fmt: skip


def _kept(values: list[float]) -> list[float]:
    """At most `MAX_KEPT`, evenly chosen, to 0.1 ms."""
    step = max(-(-len(values) // MAX_KEPT), 1)
    return [round(value, 1) for value in values[::step]]
