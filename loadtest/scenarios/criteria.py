"""What a server has to hold: named figures of a run, and whether they are within their limits. No IO.

A figure is taken from every step and the worst one counts, but for those that belong to the run as a whole,
and for what a call costs: that is told by the step with the most calls, which share the server's own cost.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from loadtest.scenarios.result import Result, StepResult

Figure = Callable[[StepResult], float]
"""NaN where it was not measured."""


class Outcome(StrEnum):
    """Of one criterion."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "not measured"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One criterion of a run."""

    name: str
    limit: float
    measured: float | None
    outcome: Outcome
    help: str
    note: str = ""
    """What has to be known to read it: that there were too few samples for such a percentile."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A criterion: `of_step` of each step, or `of_run`."""

    help: str
    of_step: Figure | None = None
    of_run: Callable[[Result], float] | None = None
    at_least: bool = False
    """The limit is a lower one."""
    fullest: bool = False
    """Of the step with the most calls, not of the worst one."""


def _share(part: float, whole: float) -> float:
    return 100.0 * part / whole if whole else math.nan


def _timing(name: str, which: str) -> Figure:
    return lambda step: step.callers.get(name, {}).get(which, math.nan)


def _stage(name: str, which: str) -> Figure:
    return lambda step: step.stages.get(name, {}).get(which, math.nan)


def _errors(step: StepResult) -> float:
    callers = step.callers
    tried = callers["turns"] + step.calls + callers["refused_calls"]
    return _share(step.failures, tried)


def _continuity(step: StepResult) -> float:
    heard_ms = step.callers["heard_ms"]
    return _share(heard_ms, heard_ms + step.callers["gap_ms"])


def _recovery(result: Result) -> float:
    """The slowest. One that is not known could be slower, unless another never ended."""
    found = [each.recovery_s for each in result.events]
    if not found or (any(map(math.isnan, found)) and math.inf not in found):
        return math.nan
    return max(each for each in found if not math.isnan(each))


def _capacity(result: Result) -> float:
    return math.nan if result.capacity is None else float(result.capacity)


_MIN_GROWTH_S = 600.0
"""Growth of memory says nothing before the allocator and the caches have settled."""
_SETTLED = 0.25
"""Of a run: not looked at."""


def growth_per_hour(points: Sequence[tuple[float, float]]) -> float:
    """Slope of (seconds, value) by Theil and Sen: the median of all slopes, which outliers cannot move."""
    if not points or points[-1][0] - points[0][0] < _MIN_GROWTH_S * (1 - _SETTLED):
        return math.nan
    step = max(len(points) // 100, 1)
    some = points[::step]
    slopes = sorted(
        (later[1] - point[1]) / (later[0] - point[0])
        for at, point in enumerate(some)
        for later in some[at + 1 :]
        if later[0] > point[0]
    )
    return slopes[len(slopes) // 2] * 3600 if slopes else math.nan


def _growth(name: str) -> Callable[[Result], float]:
    def growth(result: Result) -> float:
        if not result.timeline:
            return math.nan
        end_s = result.timeline[-1]["t_s"]
        from_s = max(_SETTLED * end_s, result.scenario.get("settles_s", 0.0))
        late = [point for point in result.timeline if point["t_s"] >= from_s]
        return growth_per_hour([(point["t_s"], point[name]) for point in late if point.get(name) is not None])

    return growth


KNOWN: Mapping[str, _Known] = MappingProxyType(
    {
        "voice_to_voice_p50_ms": _Known(
            "the caller's last sound to the agent's first, median", _timing("voice_to_voice_ms", "p50")
        ),
        "voice_to_voice_p95_ms": _Known("the same, p95", _timing("voice_to_voice_ms", "p95")),
        "voice_to_voice_p99_ms": _Known("the same, p99", _timing("voice_to_voice_ms", "p99")),
        "barge_in_p95_ms": _Known(
            "first voiced frame of an interruption to the agent's silence, p95", _timing("barge_in_ms", "p95")
        ),
        "greeting_p95_ms": _Known(
            "call answered to the greeting's first sound, p95", _timing("greeting_ms", "p95")
        ),
        "keys_p95_ms": _Known("last key to the agent's first sound, p95", _timing("keys_to_voice_ms", "p95")),
        "resume_p95_ms": _Known("a cough's end to the agent going on, p95", _timing("resume_ms", "p95")),
        "jitter_p95_ms": _Known(
            "how far two messages of a sentence are from the audio between them, p95",
            _timing("jitter_ms", "p95"),
        ),
        "errors_percent": _Known(
            "unanswered turns, missed interruptions, lost, refused and mute calls, in all",
            _errors,
        ),
        "continuity_percent": _Known(
            "agent audio heard without a gap behind 60 ms of playout buffer", _continuity, at_least=True
        ),
        "frames_dropped_percent": _Known(
            "caller frames that the server did not take",
            lambda step: _share(step.callers["frames_lost"], step.callers["frames_sent"]),
        ),
        "frames_late_percent": _Known(
            "caller frames that the server read more than 40 ms late",
            lambda step: _share(step.counters.get("frames_late", math.nan), step.callers["frames_sent"]),
        ),
        "first_words_lost_percent": _Known(
            "greetings and replies whose first word was not whole",
            lambda step: _share(
                step.callers["first_word_lost_ms"]["count"],
                step.callers["first_words"] - step.callers["first_words_unknown"],
            ),
        ),
        "wrong_answers_percent": _Known(
            "replies that did not begin as they must: apologies, rests of old replies, lost first words",
            lambda step: _share(
                step.callers["wrong_answers"], step.callers["wrong_answers"] + step.callers["right_answers"]
            ),
        ),
        "stale_percent": _Known(
            "messages of old audio after an interruption, per interruption",
            lambda step: _share(step.callers["stale"], step.callers["barge_ins"]),
        ),
        "dead_air_percent": _Known(
            "turns with more than two seconds of silence",
            lambda step: _share(step.callers["dead_airs"], step.callers["turns"]),
        ),
        "live_percent": _Known(
            "calls that were on at a step's end", lambda step: _share(step.live, step.calls), at_least=True
        ),
        "refused_percent": _Known(
            "calls that the server did not take, of a step's",
            lambda step: _share(step.callers["refused_calls"], step.calls),
        ),
        "added_p95_ms": _Known("the server's own share of a turn, p95", _stage("added", "p95")),
        "added_p99_ms": _Known("the same, p99", _stage("added", "p99")),
        "agreement_p95_ms": _Known(
            "the server's response time and its caller's own measure of it apart, p95; the worst transport",
            lambda step: max((each["p95"] for each in step.agreement_ms.values()), default=math.nan),
        ),
        "cpu_ms_per_call": _Known(
            "server CPU per call and second, at the most calls",
            lambda step: _or_nan(step.cpu_ms_per_call),
            fullest=True,
        ),
        "rss_kb_per_call": _Known(
            "server memory per call beyond the idle server, at the most calls",
            lambda step: _or_nan(step.rss_kb_per_call),
            fullest=True,
        ),
        "rss_growth_mb_per_hour": _Known("growth of the server's memory", of_run=_growth("rss_mb")),
        "objects_growth_per_hour": _Known("growth of the server's objects", of_run=_growth("objects")),
        "tasks_growth_per_hour": _Known("growth of the server's tasks", of_run=_growth("tasks")),
        "fds_growth_per_hour": _Known("growth of the server's open files", of_run=_growth("fds")),
        "recovery_s": _Known("trouble to the first good second after the last bad one", of_run=_recovery),
        "capacity_calls": _Known(
            "most calls at which p95 stays near one call's", of_run=_capacity, at_least=True
        ),
    }
)
"""All criteria by name."""

DEFAULTS: Mapping[str, float] = MappingProxyType(
    {
        "voice_to_voice_p50_ms": 840.0,
        "voice_to_voice_p95_ms": 1_200.0,
        "barge_in_p95_ms": 320.0,
        "errors_percent": 1.0,
        # A quick apology is a short wait, and no error of its own.
        "wrong_answers_percent": 1.0,
        "continuity_percent": 98.0,
        "frames_dropped_percent": 0.1,
        "first_words_lost_percent": 0.5,
    }
)
"""The project's targets: they hold for every scenario that does not say otherwise."""


def judge(result: Result, limits: Mapping[str, float]) -> list[Verdict]:
    """One verdict for each limit. Steps in which the callers were the bottleneck count for nothing."""
    steps = [step for step in result.steps if step.valid and step.callers]
    found: list[Verdict] = []
    for name, limit in limits.items():
        known, note = KNOWN[name], ""
        if known.of_run is not None:
            measured = known.of_run(result)
        else:
            assert known.of_step is not None
            most = max((step.calls for step in steps), default=0)
            judged = [step for step in steps if step.calls == most] if known.fullest else steps
            found_in = [(value, step) for step in judged if not math.isnan(value := known.of_step(step))]
            if found_in:
                measured, worst = (min if known.at_least else max)(found_in, key=lambda each: each[0])
                note = few_samples(name, worst)
            else:
                measured = math.nan
        if math.isnan(measured):
            found.append(Verdict(name, limit, None, Outcome.UNKNOWN, known.help))
            continue
        good = measured >= limit if known.at_least else measured <= limit
        outcome = Outcome.PASSED if good else Outcome.FAILED
        found.append(Verdict(name, limit, round(measured, 3), outcome, known.help, note))
    return found


_TIMED = MappingProxyType({
    "voice_to_voice": "voice_to_voice_ms", "barge_in": "barge_in_ms", "greeting": "greeting_ms",
    "keys": "keys_to_voice_ms", "resume": "resume_ms", "jitter": "jitter_ms",
})  # fmt: skip
"""Criteria on percentiles, without `_p95_ms`, and their lists of samples."""


_PERCENTILES = ("p50", "p95", "p99")


def needed(which: str) -> int:
    """Samples that a percentile (`p50`, `p95`, `p99`) takes, so as not to be the greatest of them."""
    beyond = 100 - int(which[1:])
    return 100 // beyond


FEW = " *"
FEW_HELP = "* too few samples for this percentile (20 for a p95, 100 for a p99): it is the slowest of them"
"""How reports mark such a figure."""


def is_slowest(timing: Mapping[str, float], which: str) -> bool:
    """True where a percentile of `figures.percentiles` is but the greatest of too few samples."""
    return 0 < timing.get("count", 0) < needed(which)


def few_samples(criterion: str, step: StepResult) -> str:
    """Whether a percentile of a step is no more than its slowest sample; empty if it is one, or none."""
    timed, _, which = criterion.removesuffix("_ms").rpartition("_")
    if which not in _PERCENTILES:
        return ""
    timing = step.callers.get(_TIMED[timed], {}) if timed in _TIMED else step.stages.get(timed, {})
    if not is_slowest(timing, which):
        return ""
    return f"of {timing['count']} samples: too few for a {which}, so it is the slowest of them"


def is_lower_limit(name: str) -> bool:
    """True where more is better."""
    return KNOWN[name].at_least


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
