"""What is kept of a call for people to look at: who said what, when, and how long each part took."""

from dataclasses import dataclass, field

from agent.latency import CallCounters, Stage
from agent.lines import CallInfo


@dataclass(slots=True)
class TurnRecord:
    """One thing that the caller said (or the greeting, or a reprompt) and the agent's reply."""

    index: int
    at_ms: float
    """When the turn's reply was begun, from the start of the call."""
    language: str
    caller: str = ""
    """The caller's words; empty for what the agent says by itself."""
    agent: str = ""
    """What the caller heard of the reply, as far as is known now."""
    kind: str = "speech"
    """`speech`, `dtmf`, `greeting`, `reprompt`, `goodbye`, `apology`."""
    interrupted: bool = False
    answered: bool = False
    """A sound (or, on text lines, text) of the reply was handed to the line."""
    stages: dict[Stage, float] = field(default_factory=dict)
    providers: dict[str, str] = field(default_factory=dict)
    """Which provider served `stt`, `llm`, `tts`."""
    tools: list[str] = field(default_factory=list)


@dataclass(slots=True)
class CallRecord:
    """One call, while it lasts and for some time after."""

    call_id: str
    info: CallInfo
    started_unix_s: float
    language: str
    state: str = "greeting"
    """The turn machine's state, or `ended`."""
    ended_unix_s: float | None = None
    cause: str = ""
    """Why it ended: `caller_hung_up`, `agent_hung_up`, `transferred`, `silence`, `time_limit`, `drained`…"""
    turns: list[TurnRecord] = field(default_factory=list)
    counters: CallCounters = field(default_factory=CallCounters)
    bad_messages: dict[str, int] = field(default_factory=dict)
    """By kind."""


class CallObserver:
    """Told by each call about what ended. The base class ignores everything: a call without a server."""

    def turn_ended(self, call: CallRecord, turn: TurnRecord) -> None:
        """A turn's first sound is out and its marks are complete. Called once per turn."""

    def barge_in(self, call: CallRecord, stop_ms: float) -> None:
        """The agent was stopped `stop_ms` after the first voiced sample of an interruption."""

    def call_ended(self, call: CallRecord) -> None:
        """The call is over; its record will not change any more."""
