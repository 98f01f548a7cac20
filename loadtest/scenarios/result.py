"""What a run measured, step by step and second by second; it becomes the JSON file. No IO.

Times in `timeline` and `events` are seconds from the first measurement.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from loadtest.bulk.figures import FAILURES

FORMAT = 1
"""Of the JSON file: raised when readers of an older one would misread it."""
INTERRUPTED = "interrupted"
"""Why a run ended that somebody stopped: with Ctrl-C, or as a service manager does."""
Point = dict[str, Any]
"""Some time of a run that ends at `t_s`: `wanted` and live `calls`; `turns`, `answers` and `errors` in it,
and how many replies began as they must (`right`) or not (`wrong`), which is known half a second after an
answer; `p50_ms` and `p95_ms` voice to voice; of the server `cpu_percent`, `rss_mb`, `fds`, `tasks`,
`objects`. What is not known is None."""


@dataclass(slots=True)
class StepResult:
    """One load, measured once."""

    name: str
    calls: int
    """Wanted."""
    seconds: float
    """Measured."""
    live: int = 0
    """Calls that were on at its end."""
    callers: dict[str, Any] = field(default_factory=dict)
    """What the callers measured: `loadtest.bulk.figures.Figures.summary`."""
    samples: dict[str, list[float]] = field(default_factory=dict)
    """The same turn by turn: the lists of `Figures`, the server's `added_ms` and `response_ms`, and
    `agreement_ms`."""
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    """The server's own account by stage: `figures.percentiles`."""
    agreement_ms: dict[str, dict[str, float]] = field(default_factory=dict)
    """By transport: how far the server's response time and the caller's own measure of it are apart, turn by
    turn without sign (`figures.percentiles`), and `bias`: the median of the caller's less the server's."""
    unpaired: int = 0
    """Answered turns of those calls for which the server has no account."""
    counters: dict[str, float] = field(default_factory=dict)
    """The server's counters that should be 0."""
    cpu_ms_per_call: float | None = None
    """Of the server, per call and second."""
    core_percent: float | None = None
    """Of a core, in use by the server."""
    waited_percent: float | None = None
    """Of the time, for which the server waited for its core: noise of the machine."""
    rss_mb: float | None = None
    rss_kb_per_call: float | None = None
    """Beyond the idle server."""
    late_p99_ms: float = 0.0
    """The callers' own pacing error."""
    callers_core_percent: float = 0.0
    bottlenecks: list[str] = field(default_factory=list)
    """Why the step says nothing about the server: the callers were too slow. Empty for a step that counts."""

    @property
    def valid(self) -> bool:
        """The callers kept up."""
        return not self.bottlenecks

    @property
    def failures(self) -> int:
        """What callers would complain about."""
        return sum(int(self.callers.get(name, 0)) for name in FAILURES)


@dataclass(slots=True)
class EventResult:
    """Something that was done to the server, and how long callers felt it."""

    at_s: float
    do: str
    detail: str = ""
    recovery_s: float = math.nan
    """To the first good second after the last bad one (see `trouble.recoveries`); infinite if there was none,
    0 if no caller was hurt, NaN if nobody asked anything."""
    watched_s: float = 0.0
    """Until the next event, or the end of the run: what the figures below are of."""
    errors: int = 0
    answers: int = 0
    wrong: int = 0
    """Of the answers, those that did not begin as they must."""
    fewest_calls: int | None = None
    """That were on in any second."""
    slowest_ms: float | None = None
    """Voice to voice, p95 of the worst second."""


@dataclass(slots=True)
class Result:
    """One run of a scenario."""

    scenario: dict[str, Any]
    when: str
    machine: dict[str, Any]
    scale: float = 1.0
    target: str = ""
    """The server's URL, if it was not our own."""
    steps: list[StepResult] = field(default_factory=list)
    timeline: list[Point] = field(default_factory=list)
    events: list[EventResult] = field(default_factory=list)
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    capacity: int | None = None
    """What a search found: calls."""
    capacity_note: str = ""
    ended: str = ""
    """Why the run ended before its time, one line; empty if it did not."""
    notes: list[str] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        """No step in which the callers were the bottleneck."""
        return all(step.valid for step in self.steps)
