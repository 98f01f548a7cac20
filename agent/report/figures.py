"""Percentiles and trends of stored turns. Pure but for the reading of the file."""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from agent.percentiles import percentile

RESPONSE = "response"
TREND_STEPS = 24
"""Points of the trend: an hour each for a day."""
PROVIDER_STAGE = {"stt": "stt_final", "llm": "llm_first_token", "tts": "tts_first_audio"}


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one set of values, in ms."""

    count: int
    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Figures | None":
        """None where there is no value."""
        ordered = sorted(values)
        if not ordered:
            return None
        shares = (percentile(ordered, share) for share in (0.5, 0.95, 0.99))
        return cls(len(ordered), *(round(value, 1) for value in (*shares, ordered[-1])))


@dataclass(frozen=True, slots=True)
class Step:
    """One part of the trend."""

    unix_s: float
    turns: int
    response: Figures | None


@dataclass(slots=True)
class Report:
    """Everything that is shown."""

    since_unix_s: float
    until_unix_s: float
    calls: int = 0
    causes: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    """Sums over all calls, by the names of `agent.latency.CallCounters`."""
    turns: int = 0
    unanswered: int = 0
    interrupted: int = 0
    over_budget: int = 0
    """Turns in which at least one of the agent file's budgets was blown."""
    blown: dict[str, dict[str, int]] = field(default_factory=dict)
    """Blown budgets by stage: how often what was done about it (`none`: nothing)."""
    stages: dict[str, Figures] = field(default_factory=dict)
    by: dict[str, dict[str, Figures]] = field(default_factory=dict)
    """Response time by `transport`, `language` and `cache`, and by value."""
    providers: dict[str, Figures] = field(default_factory=dict)
    """By kind and name: how long it took."""
    trend: list[Step] = field(default_factory=list)


def make_report(store: sqlite3.Connection, since_unix_s: float, until_unix_s: float) -> Report:
    """Read the turns and calls of that span. Raises `sqlite3.Error`."""
    report = Report(since_unix_s, until_unix_s)
    _read_calls(store, report)
    _read_turns(store, report)
    return report


def _read_calls(store: sqlite3.Connection, report: Report) -> None:
    causes: Counter[str] = Counter()
    counters: Counter[str] = Counter()
    span = (report.since_unix_s, report.until_unix_s)
    query = "SELECT cause, counters FROM calls WHERE ended_unix_s >= ? AND ended_unix_s < ?"
    for cause, counted in store.execute(query, span):
        report.calls += 1
        causes[cause] += 1
        counters.update(orjson.loads(counted))
    report.causes = dict(causes.most_common())
    report.counters = dict(counters)


def _read_turns(store: sqlite3.Connection, report: Report) -> None:
    stages: dict[str, list[float]] = {}
    groups: dict[tuple[str, str], list[float]] = {}
    providers: dict[str, list[float]] = {}
    step_s = max(report.until_unix_s - report.since_unix_s, 1.0) / TREND_STEPS
    steps: list[list[float]] = [[] for _ in range(TREND_STEPS)]
    for row in _turns(store, report):
        unix_s, transport, language, cache, answered, interrupted, stages_text, providers_text, blown = row
        found: dict[str, Any] = orjson.loads(stages_text)
        report.turns += 1
        _add_blown(report, orjson.loads(blown))
        report.unanswered += not answered
        report.interrupted += interrupted
        for stage, value in found.items():
            stages.setdefault(stage, []).append(value)
        for kind, name in orjson.loads(providers_text).items():
            if PROVIDER_STAGE.get(kind) in found:
                providers.setdefault(f"{kind} {name}", []).append(found[PROVIDER_STAGE[kind]])
        response_ms = found.get(RESPONSE)
        if response_ms is None:
            continue
        for group, value in (("transport", transport), ("language", language), ("cache", cache)):
            if value:
                groups.setdefault((group, value), []).append(response_ms)
        steps[min(int((unix_s - report.since_unix_s) / step_s), TREND_STEPS - 1)].append(response_ms)
    report.stages = _figures(stages)
    report.providers = _figures(providers)
    for (group, value), values in sorted(groups.items()):
        report.by.setdefault(group, {}).update(_figures({value: values}))
    report.trend = [
        Step(report.since_unix_s + index * step_s, len(values), Figures.of(values))
        for index, values in enumerate(steps)
    ]


def _turns(store: sqlite3.Connection, report: Report) -> Iterable[tuple[Any, ...]]:
    columns = {column[1] for column in store.execute("PRAGMA table_info(turns)")}
    # A file of version 1 that no server has opened since knows of no budgets.
    blown = "blown" if "blown" in columns else "'{}'"
    query = (
        f"SELECT unix_s, transport, language, cache, answered, interrupted, stages, providers, {blown} "  # noqa: S608  # ours
        "FROM turns WHERE unix_s >= ? AND unix_s < ? ORDER BY unix_s"
    )
    return store.execute(query, (report.since_unix_s, report.until_unix_s))


def _add_blown(report: Report, blown: dict[str, str]) -> None:
    report.over_budget += bool(blown)
    for stage, action in blown.items():
        actions = report.blown.setdefault(stage, {})
        actions[action] = actions.get(action, 0) + 1


def _figures(values: dict[str, list[float]]) -> dict[str, Figures]:
    found = {name: Figures.of(each) for name, each in values.items()}
    return {name: figures for name, figures in found.items() if figures is not None}
