"""What the callers of a run measured, on their own side."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Figures:
    """Shared by all callers of a run; lists of milliseconds and counts."""

    voice_to_voice_ms: list[float] = field(default_factory=list)
    """Last voiced sample sent, to first audible sample of the reply heard (relay: prompt to first text)."""
    barge_in_ms: list[float] = field(default_factory=list)
    """First voiced frame of an interruption sent, to `clear` received."""
    slack_ms: list[float] = field(default_factory=list)
    """Audio that was still buffered when the reply's next message came: below 0 it had run dry."""
    greetings: int = 0
    turns: int = 0
    """Turns said to their end."""
    unanswered: int = 0
    """... without a sound in time."""
    early: int = 0
    """Messages of audio while the caller spoke or thought: the reply to half a sentence."""
    barge_ins: int = 0
    missed_barge_ins: int = 0
    """Interruptions that never brought a `clear`."""
    stale: int = 0
    """Messages of audio after a `clear`, while the caller went on speaking."""
    gaps: int = 0
    """Times that a 60 ms playout buffer ran dry within a reply."""
    frames_sent: int = 0
    lost_calls: int = 0
    """Calls that the server ended."""
    bad_messages: int = 0
    """Server messages that could not be understood."""
    blocked: int = 0
    """Sends that found the server's receive window full."""

    def summary(self) -> dict[str, Any]:
        """Everything as plain numbers, lists as percentiles."""
        found: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            found[name] = percentiles(value) if isinstance(value, list) else value
        return found


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of `values` do not exceed; NaN for none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[min(max(math.ceil(len(ordered) * share) - 1, 0), len(ordered) - 1)]


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Count, p1, p50, p95, p99 and the greatest, to 0.1."""
    if not values:
        return {"count": 0}
    shares = {"p1": 0.01, "p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {"count": len(values)} | {
        name: round(percentile(values, share), 1) for name, share in shares.items()
    }
