"""What a synthetic call measured, at the caller's end of the wire."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class CallerTurn:
    """One thing that the caller did, and the answer to it. All times in milliseconds."""

    index: int
    """From 0; the greeting is no turn."""
    said: str
    kind: str = "speech"
    """`speech`, `dtmf` or `cough`."""
    answered: bool = False
    expects_answer: bool = True
    at_ms: float | None = None
    """When its first voiced frame was sent, from the start of the stream."""
    response_ms: float | None = None
    """Last voiced frame sent (or last key), to the first audible sample heard. On a relay: final prompt sent,
    to the first text received. Negative: the agent began before the caller had finished."""
    interrupts: bool = False
    """It began while the agent was being heard."""
    barge_in_stop_ms: float | None = None
    """First voiced frame of the interruption sent, to the last audible agent sample heard."""
    answer_heard_ms: float = 0.0
    """Agent speech heard from this turn to the next."""
    agent_text: str | None = None
    """The agent's words, where the platform carries text."""


@dataclass(slots=True)
class CallResult:
    """One whole call."""

    call_id: str
    via: str
    greeting_ms: float | None = None
    """Stream opened, to the first audible sample; None if there was no greeting."""
    greeting_text: str | None = None
    greeting_heard_ms: float = 0.0
    turns: list[CallerTurn] = field(default_factory=list)
    ended_by: str = ""
    """`caller` or `agent`."""
    ended_detail: str = ""
    duration_ms: float = 0.0
    max_late_ms: float = 0.0
    """The caller's own worst lateness: figures of a caller that cannot keep time prove nothing."""
    problems: list[str] = field(default_factory=list)
    """What the server sent against the protocol."""

    @property
    def unanswered(self) -> list[CallerTurn]:
        """Turns that wanted an answer and got none."""
        return [turn for turn in self.turns if turn.expects_answer and not turn.answered]

    def as_json(self) -> dict[str, Any]:
        """Plain data; figures rounded to 0.1 ms."""
        rounded: dict[str, Any] = _rounded(asdict(self))
        return rounded


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 1)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value
