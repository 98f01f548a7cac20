"""Two runs of one scenario, before and after: what got better or worse beyond noise. No IO.

A change counts if it is both: not noise (`statistics`), and large enough that anybody would care (`_LEAST`).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agent.errors import ConfigError
from loadtest.bulk.figures import percentile
from loadtest.report.statistics import LEAST, LEVEL, percentile_change, rank_test, rate_test
from loadtest.scenarios.result import INTERRUPTED


class Change(StrEnum):
    """Of one figure."""

    BETTER = "better"
    WORSE = "WORSE"
    SAME = "same"
    UNKNOWN = "too few samples"


@dataclass(frozen=True, slots=True)
class _Timing:
    """A list of milliseconds of which less is better."""

    name: str
    label: str
    least_ms: float
    """Smaller changes are of no interest, however certain."""


_TIMINGS = (
    _Timing("voice_to_voice_ms", "voice to voice", 5.0),
    _Timing("keys_to_voice_ms", "keys to voice", 5.0),
    _Timing("greeting_ms", "greeting", 10.0),
    _Timing("barge_in_ms", "barge-in", 5.0),
    _Timing("resume_ms", "resumed after a cough", 10.0),
    _Timing("jitter_ms", "jitter", 1.0),
    _Timing("added_ms", "added by the server", 1.0),
)
_ANSWERS = ("voice_to_voice_ms", "keys_to_voice_ms")
_LEAST_SHARE = 0.03
"""... and beyond 3 % of what it was."""
_RATES = (
    ("unanswered", "turns", "turns without an answer"),
    ("missed_barge_ins", "barge_ins", "interruptions missed"),
    ("stale", "barge_ins", "old audio after interruptions"),
    ("wrong_answers", "turns", "replies that were something else"),
    ("gaps", "turns", "gaps"),
    ("dead_airs", "turns", "dead air"),
    ("not_greeted", "calls", "calls without a greeting"),
    ("lost_calls", "calls", "calls lost"),
    ("refused_calls", "calls", "calls refused"),
    ("not_resumed", "coughs", "agents silenced by a cough"),
)
_CALLS = "calls"
_ENDED_CALLS = ("lost_calls", "refused_calls", "hang_ups", "cut_calls")
"""With those that are on at its end, all calls of a step, also those that were made again."""
_SCALARS = (("cpu_ms_per_call", "CPU ms per call and second", 0.1), ("rss_kb_per_call", "kB per call", 0.15))
"""One figure per step, without samples: the share by which it must change. An assumption: twice what runs of
one build on one quiet machine differ by."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure of one load in both runs."""

    load: str
    figure: str
    before: float
    after: float
    change: Change
    detail: str = ""

    def line(self) -> str:
        """For people."""
        percent = f" ({100 * (self.after / self.before - 1):+.0f} %)" if self.before else ""
        return (
            f"{self.change.value:<15} {self.load:<12} {self.figure:<32} {self.before:.4g} -> {self.after:.4g}"
            f"{percent}{f'  {self.detail}' if self.detail else ''}"
        )


@dataclass(slots=True)
class Comparison:
    """Everything that both runs have."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Why less can be said than one would like."""

    @property
    def worse(self) -> list[Finding]:
        """Regressions."""
        return [finding for finding in self.findings if finding.change is Change.WORSE]

    def lines(self) -> Iterator[str]:
        """For people: what changed first."""
        yield from (f"note: {note}" for note in self.notes)
        for change in (Change.WORSE, Change.BETTER, Change.SAME, Change.UNKNOWN):
            yield from (finding.line() for finding in self.findings if finding.change is change)
        better, unknown = (
            sum(finding.change is change for finding in self.findings)
            for change in (Change.BETTER, Change.UNKNOWN)
        )
        few = f", {unknown} with too few samples to tell" if unknown else ""
        yield f"{len(self.worse)} worse, {better} better{few}, of {len(self.findings)} figures"


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> Comparison:
    """Two files of `json_file.write_json`. Raises `ConfigError` if they have nothing in common."""
    names = before["scenario"]["name"], after["scenario"]["name"]
    if names[0] != names[1]:
        raise ConfigError(f"these are runs of different scenarios: {names[0]} and {names[1]}")
    found = Comparison(notes=_notes(before, after))
    steps = {step["name"]: step for step in after["steps"]}
    for step in before["steps"]:
        other = steps.get(step["name"])
        if other is None:
            found.notes.append(f"{step['name']}: only in the first run")
        elif not step["valid"] or not other["valid"]:
            found.notes.append(f"{step['name']}: left out, since the callers were the bottleneck")
        else:
            found.findings += [
                *_silence(step, other),
                *_timings(step, other),
                *_rates(step, other),
                *_scalars(step, other),
            ]
    if _broke_down(after) and not _broke_down(before):
        found.findings.append(Finding("all", "ran to its end", 1, 0, Change.WORSE, after["ended"]))
    capacities = before.get("capacity"), after.get("capacity")
    if capacities[0] is not None and capacities[1] is not None:
        found.findings.append(
            _scalar("all", "capacity in calls", capacities[0], capacities[1], 0.1, more_is_better=True)
        )
    elif capacities != (None, None):
        found.notes.append(
            f"a capacity was found in the {'first' if capacities[1] is None else 'second'} run only"
        )
    if not found.findings:
        raise ConfigError("the two runs have no valid load in common: nothing can be compared")
    return found


def _notes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    found = []
    for key in ("processor", "cores", "system", "python"):
        values = before["machine"].get(key), after["machine"].get(key)
        if values[0] != values[1]:
            found.append(f"not the same machine: {key} {values[0]} and {values[1]}")
    profiles = before["scenario"]["providers"], after["scenario"]["providers"]
    if profiles[0] != profiles[1]:
        found.append("not the same providers")
    for which, run in (("first", before), ("second", after)):
        if run.get("ended"):
            found.append(f"the {which} run ended before its time: {run['ended']}")
    return found


def _broke_down(run: Mapping[str, Any]) -> bool:
    """It ended before its time, and nobody wanted it to."""
    return run.get("ended", "") not in ("", INTERRUPTED)


def _silence(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Finding]:
    """A load at which no caller was answered has no latency to compare: it is the worst of all."""
    answers = [sum(len(step["samples"].get(name, ())) for name in _ANSWERS) for step in (before, after)]
    if min(answers) == 0 and max(answers) >= LEAST:
        change = Change.WORSE if answers[1] == 0 else Change.BETTER
        yield Finding(before["name"], "turns answered", answers[0], answers[1], change)


def _timings(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Finding]:
    for timing in _TIMINGS:
        samples = before["samples"].get(timing.name), after["samples"].get(timing.name)
        if not samples[0] or not samples[1]:
            continue
        p = rank_test(samples[0], samples[1])
        yield _timing(timing, before["name"], "p50", samples[0], samples[1], p)
        interval = percentile_change(samples[0], samples[1], 0.95)
        certain = math.nan if interval is None else 0.0 if interval.excludes_0 else 1.0
        yield _timing(timing, before["name"], "p95", samples[0], samples[1], certain)


def _timing(
    timing: _Timing, load: str, which: str, before: Sequence[float], after: Sequence[float], p: float
) -> Finding:
    share = {"p50": 0.5, "p95": 0.95}[which]
    was_ms, is_ms = percentile(before, share), percentile(after, share)
    sizeable = abs(is_ms - was_ms) >= max(timing.least_ms, _LEAST_SHARE * abs(was_ms))
    change = _change(p, is_ms > was_ms, sizeable=sizeable)
    return Finding(
        load, f"{timing.label} {which}, ms", was_ms, is_ms, change, f"{len(before)}/{len(after)} samples"
    )


def _rates(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Finding]:
    for events, trials, label in _RATES:
        if not all(events in step["callers"] for step in (before, after)):
            continue  # a report of an older build, which did not count it
        was, now = ((step["callers"][events], _tried(step, trials)) for step in (before, after))
        if not was[1] or not now[1] or not (was[0] or now[0]):
            continue
        # More events than trials: several a turn. A rate of one it is then.
        p = rate_test((min(was), was[1]), (min(now), now[1]))
        percent = 100 * was[0] / was[1], 100 * now[0] / now[1]
        change = _change(p, percent[1] > percent[0], sizeable=True)
        yield Finding(before["name"], f"{label}, %", *percent, change, f"{was[0]:g} and {now[0]:g}")


def _tried(step: Mapping[str, Any], trials: str) -> float:
    callers = step["callers"]
    if trials != _CALLS:
        return float(callers.get(trials, 0))
    return float(step.get("live", step["calls"]) + sum(callers.get(name, 0) for name in _ENDED_CALLS))


def _scalars(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Finding]:
    for name, label, least in _SCALARS:
        if before.get(name) is not None and after.get(name) is not None:
            yield _scalar(before["name"], label, before[name], after[name], least)


def _scalar(
    load: str, label: str, was: float, now: float, least_share: float, *, more_is_better: bool = False
) -> Finding:
    sizeable = abs(now - was) > least_share * abs(was)
    change = _change(0.0, (now < was) if more_is_better else (now > was), sizeable=sizeable)
    return Finding(load, label, was, now, change)


def _change(p: float, worse: bool, *, sizeable: bool) -> Change:
    """`p` NaN: nothing can be said."""
    if math.isnan(p):
        return Change.UNKNOWN
    if p >= LEVEL or not sizeable:
        return Change.SAME
    return Change.WORSE if worse else Change.BETTER
