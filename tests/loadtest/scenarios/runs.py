"""Results of runs that never took place."""

from typing import Any

from loadtest.bulk.figures import Figures
from loadtest.scenarios.result import Point, Result, StepResult


def step(calls: int = 10, **changes: Any) -> StepResult:
    """A good one: 100 turns in some 500 ms, all barge-ins after 80."""
    figures = Figures(turns=100, barge_ins=30, frames_sent=50_000, heard_ms=400_000.0, first_words=110)
    figures.voice_to_voice_ms = [float(500 + at) for at in range(100)]
    figures.barge_in_ms = [80.0 + at % 5 for at in range(30)]
    figures.jitter_ms = [float(at % 7) for at in range(300)]
    for name in [name for name in changes if name in Figures.__dataclass_fields__]:
        setattr(figures, name, changes.pop(name))
    values: dict[str, Any] = {
        "name": f"{calls} calls",
        "seconds": 20.0,
        "live": calls,
        "callers": figures.summary(),
        "samples": {
            name: list(getattr(figures, name))
            for name in ("voice_to_voice_ms", "barge_in_ms", "jitter_ms", "first_word_lost_ms")
        },
        "stages": {
            "endpointing": {"count": 100, "p50": 300.0, "p95": 300.0, "p99": 310.0},
            "added": {"count": 100, "p50": 1.0, "p95": 2.0, "p99": 4.0},
        },
        "counters": {"frames_late": 5.0},
        "cpu_ms_per_call": 2.0,
        "core_percent": 2.0 * calls / 10,
        "rss_mb": 80.0 + calls / 10,
        "rss_kb_per_call": 100.0,
    }
    return StepResult(calls=calls, **{**values, **changes})


def point(t_s: float, errors: int = 0, answers: int = 2, calls: int = 10, **more: Any) -> Point:
    """A second, good unless told otherwise."""
    return {
        "t_s": t_s, "wanted": 10, "calls": calls, "turns": answers, "answers": answers, "errors": errors,
        "right": answers, "wrong": 0,
        "p50_ms": 500.0, "p95_ms": 590.0, "cpu_percent": 3.0, "rss_mb": 81.0, **more,
    }  # fmt: skip


def result(*steps: StepResult, **changes: Any) -> Result:
    """A run of them."""
    scenario = {
        "name": "mine", "summary": "A test.", "providers": {"profile": "stubs", "spare": False},
        "callers": {"via": ["twilio-media"]},
    }  # fmt: skip
    machine = {
        "processor": "x86_64", "cores": 2, "system": "Linux 6", "python": "3.11.7",
        "load_average": [0.1, 0.1, 0.1],
    }  # fmt: skip
    found = Result(scenario, "2026-11-21T08:00:00+00:00", machine, steps=list(steps))
    for name, value in changes.items():
        setattr(found, name, value)
    return found
