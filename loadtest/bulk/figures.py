"""What the callers of a run measured, on their own side."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

MAX_SAMPLES = 200_000
"""Of each list: a day of twenty calls' turns. Beyond it every second one is dropped (`Figures.thin`)."""
MAX_ANSWERED = 20_000
"""Turns that are kept for the comparison: enough for its percentiles, and a few MB."""
FAILURES = (
    "not_greeted",
    "unanswered",
    "missed_barge_ins",
    "not_resumed",
    "lost_calls",
    "refused_calls",
    "bad_messages",
)
"""Counters of things that a caller would complain about: the errors of a run."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A turn that was answered, as its caller saw it."""

    call_id: str
    """The platform's."""
    asked_ms: float
    """When the last voiced frame (relay: the prompt) was sent, on the caller's clock."""
    took_ms: float
    """To the first sound (text) of the answer."""


@dataclass(slots=True)
class Figures:
    """Shared by all callers of a run; lists of milliseconds and counts."""

    voice_to_voice_ms: list[float] = field(default_factory=list)
    """Last voiced sample sent, to first audible sample of the reply heard (relay: prompt to first text)."""
    barge_in_ms: list[float] = field(default_factory=list)
    """First voiced frame of an interruption sent, to `clear` received."""
    keys_to_voice_ms: list[float] = field(default_factory=list)
    """Last key sent, to first audible sample of the reply heard."""
    resume_ms: list[float] = field(default_factory=list)
    """End of a cough that stopped the agent, to its next sound."""
    greeting_ms: list[float] = field(default_factory=list)
    """Call answered (WebSocket open), to the greeting's first audible sample or text."""
    slack_ms: list[float] = field(default_factory=list)
    """Audio that was still buffered when the reply's next message came: below 0 it had run dry."""
    jitter_ms: list[float] = field(default_factory=list)
    """By how much two messages of a sentence were closer or farther apart than the audio of the first."""
    first_word_lost_ms: list[float] = field(default_factory=list)
    """How much was missing, of each first word that was not whole."""
    answered: deque[Answered] = field(default_factory=lambda: deque(maxlen=MAX_ANSWERED))
    """The latest of the turns behind `voice_to_voice_ms`, to be held against the server's account."""
    greetings: int = 0
    not_greeted: int = 0
    """Calls in which nothing at all was heard in time: their callers begin to speak all the same."""
    turns: int = 0
    """Turns said to their end."""
    unanswered: int = 0
    """... without a sound in time."""
    early: int = 0
    """Messages of audio while the caller spoke or thought: the reply to half a sentence."""
    carried_on: int = 0
    """Messages of audio behind an old reply that still played when the caller had said everything: no
    answer, however soon they came."""
    barge_ins: int = 0
    missed_barge_ins: int = 0
    """Interruptions that never brought a `clear`."""
    coughs: int = 0
    cough_stops: int = 0
    """Coughs that stopped the agent ..."""
    not_resumed: int = 0
    """... for good."""
    stale: int = 0
    """Messages of audio after a `clear`, while the caller went on speaking."""
    stale_ms: float = 0.0
    """Audio in them."""
    first_words: int = 0
    """Greetings and replies whose beginning was compared with what it should be ..."""
    first_words_unknown: int = 0
    """... and was something else altogether, such as an apology: nothing can be said about those."""
    right_answers: int = 0
    """Replies that began as they must, where that is known; else all that were heard."""
    wrong_answers: int = 0
    """Replies that did not: an apology, the rest of an old reply, a first word that was cut."""
    gaps: int = 0
    """Times that a 60 ms playout buffer ran dry within a reply."""
    gap_ms: float = 0.0
    """Silence that was heard for it."""
    heard_ms: float = 0.0
    """Agent audio received."""
    dead_airs: int = 0
    """Waits of more than two seconds without a sound of the agent."""
    dead_air_ms: float = 0.0
    """What they lasted beyond those."""
    frames_sent: int = 0
    frames_lost: int = 0
    """Frames that could not be sent since the server did not read at all."""
    lost_calls: int = 0
    """Calls that the server ended."""
    refused_calls: int = 0
    """Calls that were not answered."""
    hang_ups: int = 0
    """Calls that the caller ended, as scripted."""
    cut_calls: int = 0
    """Calls whose socket we cut without a word."""
    bad_messages: int = 0
    """Server messages that could not be understood."""
    blocked: int = 0
    """Sends that found the server's receive window full."""

    @property
    def failures(self) -> int:
        """Sum of `FAILURES`."""
        return sum(int(getattr(self, name)) for name in FAILURES)

    def waited(self, silent_ms: float, limit_ms: float) -> None:
        """The caller heard nothing for `silent_ms`, where `limit_ms` would have been bearable."""
        if silent_ms > limit_ms:
            self.dead_airs += 1
            self.dead_air_ms += silent_ms - limit_ms

    def thin(self) -> None:
        """Keep the lists bounded. Call it now and then, when nobody holds positions in them."""
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, list) and len(value) > MAX_SAMPLES:
                del value[::2]

    def summary(self) -> dict[str, Any]:
        """Everything as plain numbers, lists as percentiles; without single turns."""
        found: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if not isinstance(value, deque):
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
