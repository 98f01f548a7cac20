"""The plots of a run: what each shows, and what there is to be said about it. No IO."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from loadtest.report.svg import (
    COLOURS,
    Axes,
    Limit,
    Points,
    Series,
    cumulative,
    legend,
    line_chart,
    stacked_rows,
)
from loadtest.scenarios.result import Result, StepResult

_WATERFALL = ("endpointing", "stt_final", "llm_first_token", "llm_first_sentence", "tts_first_audio", "added")
"""The stages of a turn one after the other (`agent.latency.Stage`); of the model's two the longer one."""
_RED = 4
"""The colour of bars."""
_CURVES = 6
"""CDFs in one chart: more cannot be told apart."""


@dataclass(frozen=True, slots=True)
class Plot:
    """One chart, ready for the page."""

    title: str
    says: str
    """How to read it."""
    drawn: str


def plots(result: Result) -> Iterator[Plot]:
    """Those for which there are figures."""
    for make in (_latency, _against_calls, _waterfall, _barge_in, _jitter, _errors, _latency_in_time,
                 _load, _process):  # fmt: skip
        plot = make(result)
        if plot is not None and plot.drawn:
            yield plot


def _latency(result: Result) -> Plot:
    limits = _limits(result, {"voice_to_voice_p50_ms": "p50 limit", "voice_to_voice_p95_ms": "p95 limit"})
    axes = Axes(
        "voice to voice, ms", "% of turns", limits=tuple(Limit(*each, vertical=True) for each in limits)
    )
    return Plot(
        "How long callers waited",
        "Turns answered within a time: the caller's last sound to the agent's first, at the caller's end.",
        _distributions(result, "voice_to_voice_ms", axes),
    )


def _against_calls(result: Result) -> Plot | None:
    steps = _distinct(result)
    if len(steps) < 2:
        return None
    series = [
        Series(which, _by_calls(steps, _heard(which)), colour)
        for colour, which in enumerate(("p50", "p95", "p99"), 1)
    ]
    limits = _limits(result, {"voice_to_voice_p50_ms": "p50 limit", "voice_to_voice_p95_ms": "p95 limit"})
    axes = Axes(
        "calls", "voice to voice, ms", log_x=_wide(steps), limits=tuple(Limit(*each) for each in limits)
    )
    return Plot(
        "Latency against calls",
        "Flat as long as the server keeps up. Steps in which the callers were the bottleneck are left out.",
        line_chart(series, axes),
    )


def _waterfall(result: Result) -> Plot:
    rows = [
        (step.name, [(name.replace("_", " "), _waited_ms(step, name)) for name in _WATERFALL])
        for step in result.steps
    ]
    return Plot(
        "Where the time went",
        "Median of each stage, by the server's own account. Endpointing is the silence that we choose to "
        "wait for; added is all that is neither that nor a provider.",
        stacked_rows(rows, "ms"),
    )


def _waited_ms(step: StepResult, name: str) -> float:
    """A stage's median. The first token is part of the first sentence, but all of the wait on text lines."""
    if name == "llm_first_token" and "llm_first_sentence" in step.stages:
        return 0.0
    return float(step.stages.get(name, {}).get("p50", 0.0))


def _barge_in(result: Result) -> Plot:
    limits = _limits(result, {"barge_in_p95_ms": "p95 limit"})
    axes = Axes("ms", "% of interruptions", limits=tuple(Limit(*each, vertical=True) for each in limits))
    return Plot(
        "How soon the agent fell silent",
        "First voiced frame of an interruption sent, to the order to throw away what was still to be played.",
        _distributions(result, "barge_in_ms", axes),
    )


def _jitter(result: Result) -> Plot:
    return Plot(
        "Jitter of the agent's audio",
        "By how much two messages of a sentence were closer or farther apart than the audio of the first. A "
        "gap is heard only when a platform's buffer runs dry: see continuity.",
        _distributions(result, "jitter_ms", Axes("ms", "% of messages")),
    )


def _errors(result: Result) -> Plot | None:
    bars = _in_time(result, "errors")
    if len(bars) < 2:
        return None
    series = [Series("answers", _in_time(result, "answers"), 1)]
    return Plot(
        "Errors in time",
        "Turns without an answer, missed interruptions, lost and refused calls in each second, and the "
        "answers heard meanwhile.",
        line_chart(series, Axes("seconds", "per second", limits=_events(result)), bars)
        + legend([("errors", _RED)]),
    )


def _latency_in_time(result: Result) -> Plot | None:
    p50, p95 = _in_time(result, "p50_ms"), _in_time(result, "p95_ms")
    if len(p95) < 2:
        return None
    return Plot(
        "Latency in time",
        "Voice to voice of the turns that were answered in each second.",
        line_chart(
            [Series("p50", p50, 1), Series("p95", p95, 2)],
            Axes("seconds", "ms", limits=_events(result)),
        ),
    )


def _load(result: Result) -> Plot | None:
    """Against calls where there are several loads, else in time."""
    steps = _distinct(result)
    says = "Of the server's process, as the kernel accounts for it."
    if len(steps) >= 2:
        axes = Axes("calls", "% of a core", log_x=_wide(steps))
        drawn = line_chart([Series("CPU", _by_calls(steps, lambda step: step.core_percent), 1)], axes)
        return Plot("CPU against calls", says, drawn)
    axes = Axes("seconds", "% of a core", limits=_events(result))
    return Plot("CPU in time", says, line_chart([Series("CPU", _in_time(result, "cpu_percent"), 1)], axes))


def _process(result: Result) -> Plot | None:
    steps = _distinct(result)
    says = "Resident set of the server's process."
    if len(steps) >= 2:
        axes = Axes("calls", "MB", log_x=_wide(steps), y_least=10.0)
        return Plot(
            "Memory against calls",
            says,
            line_chart([Series("RSS", _by_calls(steps, lambda step: step.rss_mb), 3)], axes),
        )
    axes = Axes("seconds", "MB", limits=_events(result), y_least=10.0)
    return Plot("Memory in time", says, line_chart([Series("RSS", _in_time(result, "rss_mb"), 3)], axes))


def _distributions(result: Result, name: str, axes: Axes) -> str:
    """A CDF for each step, evenly chosen if there are many; first and last are among them."""
    steps = [step for step in result.steps if step.samples.get(name)]
    if len(steps) > _CURVES:
        steps = [steps[round(at * (len(steps) - 1) / (_CURVES - 1))] for at in range(_CURVES)]
    series = [
        Series(_called(step), cumulative(step.samples[name]), at % COLOURS + 1, dashed=not step.valid)
        for at, step in enumerate(steps)
    ]
    return line_chart(series, axes)


def _heard(which: str) -> Callable[[StepResult], float | None]:
    return lambda step: step.callers["voice_to_voice_ms"].get(which)


def _called(step: StepResult) -> str:
    return step.name if step.valid else f"{step.name} (invalid)"


def _limits(result: Result, wanted: Mapping[str, str]) -> list[tuple[float, str]]:
    limits = {verdict["name"]: verdict["limit"] for verdict in result.verdicts}
    return [(limits[name], label) for name, label in wanted.items() if name in limits]


def _events(result: Result) -> tuple[Limit, ...]:
    return tuple(Limit(event.at_s, event.do.replace("_", " "), vertical=True) for event in result.events)


def _distinct(result: Result) -> list[StepResult]:
    """One valid step for each number of calls, in their order."""
    found = {step.calls: step for step in result.steps if step.valid}
    return [found[calls] for calls in sorted(found)]


def _wide(steps: list[StepResult]) -> bool:
    return steps[-1].calls >= 20 * steps[0].calls


def _by_calls(steps: list[StepResult], figure: Callable[[StepResult], float | None]) -> Points:
    found = [(float(step.calls), figure(step)) for step in steps]
    return [(calls, value) for calls, value in found if value is not None and math.isfinite(value)]


def _in_time(result: Result, name: str) -> Points:
    points: list[dict[str, Any]] = result.timeline
    return [(point["t_s"], float(point[name])) for point in points if point.get(name) is not None]
