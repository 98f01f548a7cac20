"""What the project has set itself for speed and size, and whether a set of runs reached it. No IO."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from loadtest.bulk.fleet import MAX_LATE_MS

NOISY = 0.02
"""Share of a run for which the server waited for its core: beyond this, its neighbours are measured too."""


@dataclass(slots=True)
class Run:
    """One load, measured once. Milliseconds, kB; lists of figures as `figures.percentiles` has them."""

    kind: str
    """`media` or `relay`."""
    calls: int
    seconds: float
    response_ms: dict[str, float] = field(default_factory=dict)
    """See `account.Account`, as the two below."""
    added_ms: dict[str, float] = field(default_factory=dict)
    strict_ms: dict[str, float] = field(default_factory=dict)
    agreement_ms: dict[str, dict[str, float]] = field(default_factory=dict)
    """By transport: how far `response_ms` and the caller's own measure of it are apart (`agreement`)."""
    unpaired: int = 0
    callers: dict[str, Any] = field(default_factory=dict)
    """What the callers measured: `figures.Figures.summary`, and `live` and `refused` calls."""
    cpu_ms: float = 0.0
    """Of the server, per call and second."""
    core_share: float = 0.0
    """Of the server's core, in use by the server."""
    rss_kb: float = 0.0
    """Per call, beyond the idle server."""
    late_ms: float = 0.0
    """p99 of the callers' own pacing error."""
    waited: float = 0.0
    """Share of the time for which the server waited for its core."""
    counters: dict[str, float] = field(default_factory=dict)
    """The server's counters that should be 0."""

    @property
    def faults(self) -> list[str]:
        """Why the run says nothing about the server; empty for a run that counts."""
        found = []
        if self.late_ms > MAX_LATE_MS:
            found.append(f"callers {self.late_ms:.1f} ms late (p99)")
        if self.callers["live"] < self.calls:
            found.append(f"{self.callers['live']} of {self.calls} calls were on")
        if not self.response_ms.get("count"):
            found.append("no turn was answered")
        return found

    @property
    def verdict(self) -> str:
        """For a table."""
        if self.faults:
            return "INVALID: " + ", ".join(self.faults)
        return f"noisy: waited {100 * self.waited:.0f} %" if self.waited > NOISY else "ok"

    @property
    def failures(self) -> int:
        """Turns without an answer, interruptions without a `clear`, gaps and stale audio that callers met."""
        names = ("unanswered", "missed_barge_ins", "gaps", "stale", "early", "bad_messages")
        return sum(int(self.callers[name]) for name in names)


@dataclass(frozen=True, slots=True)
class Starts:
    """`parley serve`, started a few times with the example agent."""

    listening_ms: Sequence[float]
    rss_kb: Sequence[float]


class Outcome(StrEnum):
    """Of one target."""

    REACHED = "reached"
    MISSED = "MISSED"
    UNKNOWN = "no valid run"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the table."""

    what: str
    limit: float
    unit: str
    measured: float | None
    """The median of the valid runs. None without one."""
    spread: tuple[float, float] | None
    """Lowest and highest of them."""

    @property
    def outcome(self) -> Outcome:
        """Whether the target was reached."""
        if self.measured is None or math.isnan(self.measured):
            return Outcome.UNKNOWN
        return Outcome.REACHED if self.measured <= self.limit else Outcome.MISSED

    def line(self) -> str:
        """For people."""
        shown = "-" if self.measured is None else f"{self.measured:.4g} {self.unit}"
        spread = "" if self.spread is None else f"  ({self.spread[0]:.4g} to {self.spread[1]:.4g})"
        return f"{self.what:<52} <= {f'{self.limit:g} {self.unit}':<8} {shown:>10}{spread:<20} {self.outcome}"


def judge(runs: Sequence[Run], starts: Starts | None) -> list[Verdict]:
    """All targets that were measured: media calls at the least and the greatest load, relay calls, starts.

    Each is the median of the valid runs of that load.
    """
    found: list[Verdict] = []
    media = [run for run in runs if run.kind == "media"]
    relay = [run for run in runs if run.kind == "relay"]
    if media:
        fewest, most = min(run.calls for run in media), max(run.calls for run in media)
        found += _latency(media, fewest, p50=3.0, p95=8.0)
        if most > fewest:
            found += _latency(media, most, p50=None, p95=20.0)
        one = [run for run in media if run.calls == most]
        found.append(_verdict(f"CPU per media call and second, {most} calls", 2.0, "ms", one, _cpu_ms))
        found.append(
            _verdict(f"barge-in, voice to `clear`, p95, {most} calls", 150.0, "ms", one, _barge_in_ms)
        )
        found.append(_verdict(f"RSS per media call, {most} calls", 150.0, "kB", one, _rss_kb))
    if relay:
        most = max(run.calls for run in relay)
        one = [run for run in relay if run.calls == most]
        found.append(_verdict(f"RSS per relay call, {most} calls", 40.0, "kB", one, _rss_kb))
    for transport in sorted({name for run in runs for name in run.agreement_ms}):
        known = [run for run in runs if transport in run.agreement_ms]
        what = f"both ends' response time apart, p95, {transport}"
        found.append(_verdict(what, 5.0, "ms", known, _agreement(transport)))
    if runs:
        found.append(_verdict("failures that callers met, most of any run", 0.0, "", runs, _failures, max))
    if starts is not None:
        found.append(_of("RSS of the idle server", 90.0, "MB", [kb / 1000 for kb in starts.rss_kb]))
        found.append(_of("process start to listening", 1000.0, "ms", starts.listening_ms))
    return found


def _latency(media: Sequence[Run], calls: int, *, p50: float | None, p95: float) -> list[Verdict]:
    runs = [run for run in media if run.calls == calls]
    load = f"{calls} call{'s' * (calls > 1)}"
    limits = {"p50": p50, "p95": p95}
    return [
        _verdict(f"added latency, {name}, {load}", limit, "ms", runs, _strict(name))
        for name, limit in limits.items()
        if limit is not None
    ]


def _strict(name: str) -> Callable[[Run], float]:
    return lambda run: run.strict_ms.get(name, math.nan)


def _cpu_ms(run: Run) -> float:
    return run.cpu_ms


def _barge_in_ms(run: Run) -> float:
    measured: dict[str, float] = run.callers["barge_in_ms"]
    return measured.get("p95", math.nan)


def _agreement(transport: str) -> Callable[[Run], float]:
    return lambda run: run.agreement_ms[transport].get("p95", math.nan)


def _rss_kb(run: Run) -> float:
    return run.rss_kb


def _failures(run: Run) -> float:
    return float(run.failures)


def _verdict(
    what: str,
    limit: float,
    unit: str,
    runs: Iterable[Run],
    figure: Callable[[Run], float],
    choose: Callable[[Sequence[float]], float] = statistics.median,
) -> Verdict:
    return _of(what, limit, unit, [figure(run) for run in runs if not run.faults], choose)


def _of(
    what: str,
    limit: float,
    unit: str,
    values: Sequence[float],
    choose: Callable[[Sequence[float]], float] = statistics.median,
) -> Verdict:
    if not values:
        return Verdict(what, limit, unit, None, None)
    spread = (min(values), max(values)) if len(values) > 1 else None
    return Verdict(what, limit, unit, choose(values), spread)
