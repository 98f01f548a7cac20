"""The end of a run on the terminal: a line per step, a line per criterion."""

import math
from typing import Any

from rich.console import Console
from rich.table import Table

from loadtest.scenarios.criteria import FEW, FEW_HELP, Outcome, is_lower_limit, is_slowest
from loadtest.scenarios.result import Result, StepResult
from loadtest.scenarios.trouble import story

_STYLES = {Outcome.PASSED.value: "green", Outcome.FAILED.value: "bold red", Outcome.UNKNOWN.value: "yellow"}
_TROUBLES = (
    "not_greeted", "unanswered", "wrong_answers", "missed_barge_ins", "not_resumed", "lost_calls",
    "refused_calls", "gaps", "stale", "early", "carried_on", "dead_airs", "frames_lost", "bad_messages",
    "first_words_unknown",
)  # fmt: skip
"""Counters that are named if they are not 0."""
_COLUMNS = (
    *("", "turns", "v2v p50", "p95", "p99"),
    *("barge p95", "added p95", "jitter p95", "CPU ms", "kB/call", "late p99"),
)


def show(result: Result, console: Console) -> None:
    """Print it."""
    if result.steps:
        console.print(_steps(result))
        if any(FEW in cell for step in result.steps for cell in _row(step)):
            console.print(FEW_HELP, style="dim", highlight=False)
    for step in result.steps:
        for transport, apart in step.agreement_ms.items():
            console.print(
                f"{step.name}: server and callers agree within {apart['p50']:g} ms (p50), "
                f"{apart['p95']:g} ms (p95) over {transport}, {apart['count']} turns",
                highlight=False,
            )
        troubles = _troubles(step)
        if troubles:
            text = ", ".join(f"{name} {value:g}" for name, value in troubles.items())
            console.print(f"{step.name}: {text}", highlight=False)
        for bottleneck in step.bottlenecks:
            console.print(f"{step.name}: INVALID, {bottleneck}", style="bold red", highlight=False)
    for event in result.events:
        console.print(f"{event.do} at {event.at_s:.0f} s: {story(event)}", highlight=False)
    if result.capacity is not None:
        console.print(f"capacity: {result.capacity} calls {result.capacity_note}".rstrip(), highlight=False)
    if result.verdicts:
        console.print(_criteria(result.verdicts))
    if result.ended:
        console.print(f"ended before its time: {result.ended}", style="bold red", highlight=False)


def _troubles(step: StepResult) -> dict[str, float]:
    """What went wrong, by name."""
    found = {name: step.callers[name] for name in _TROUBLES if step.callers.get(name)}
    lost = step.callers.get("first_word_lost_ms", {}).get("count")
    if lost:
        found["first_words_lost"] = lost
    if step.live < step.calls:
        found["calls on at its end"] = step.live
    if step.unpaired:
        found["answers without an account of the server's"] = step.unpaired
    return found


def _steps(result: Result) -> Table:
    table = Table(title=f"{result.scenario['name']}: {result.scenario['summary']}", title_justify="left")
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    for step in result.steps:
        table.add_row(*_row(step))
    return table


def _row(step: StepResult) -> list[str]:
    heard, barge, jitter = (
        step.callers.get(name, {}) for name in ("voice_to_voice_ms", "barge_in_ms", "jitter_ms")
    )
    added = step.stages.get("added", {})
    return [
        step.name,
        str(step.callers.get("turns", 0)),
        *(_percentile(heard, which) for which in ("p50", "p95", "p99")),
        *(_percentile(timing, "p95") for timing in (barge, added, jitter)),
        *(_number(figure) for figure in (step.cpu_ms_per_call, step.rss_kb_per_call, step.late_p99_ms)),
    ]


def _percentile(timing: dict[str, float], which: str) -> str:
    return _number(timing.get(which)) + (FEW if is_slowest(timing, which) else "")


def _criteria(verdicts: list[dict[str, Any]]) -> Table:
    table = Table(title="criteria", title_justify="left")
    for name in ("", "limit", "measured", ""):
        table.add_column(name, justify="right" if name else "left")
    for verdict in verdicts:
        sign = "≥" if is_lower_limit(verdict["name"]) else "≤"
        outcome = verdict["outcome"]
        table.add_row(
            verdict["name"], f"{sign} {verdict['limit']:g}",
            _number(verdict["measured"]) + (FEW if verdict["note"] else ""), outcome,
            style=_STYLES[outcome],
        )  # fmt: skip
    return table


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if math.isinf(value):
        return "never"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
