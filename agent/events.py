"""What a call tells whoever shows it to its caller: a web page's data channel, a live dashboard.

Events are told as they happen, synchronously and from the event loop; a listener must not block, and an event
that it cannot pass on is its own to drop. Nothing in the call depends on them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agent.scope import CallScope


@dataclass(frozen=True, slots=True)
class StateChanged:
    """Whose turn it is now."""

    state: str
    """A value of `agent.turns.machine.State`."""


@dataclass(frozen=True, slots=True)
class CallerWords:
    """What the caller said in the turn so far; the whole of it each time."""

    text: str
    final: bool
    """The turn is complete and is being answered."""


@dataclass(frozen=True, slots=True)
class AgentWords:
    """What the agent is going to say in this turn so far; the whole of it each time."""

    turn: int
    text: str
    kind: str
    """`greeting`, `speech`, `dtmf`, `reprompt`, `goodbye`, …: see `agent.records.TurnRecord.kind`."""


@dataclass(frozen=True, slots=True)
class AgentHeard:
    """What the caller has heard of this turn so far, by the ledger."""

    turn: int
    text: str
    done: bool
    """The turn is over."""
    interrupted: bool = False
    """It was cut there."""


@dataclass(frozen=True, slots=True)
class ToolRun:
    """The agent runs a tool."""

    turn: int
    name: str


@dataclass(frozen=True, slots=True)
class TurnLatency:
    """The reply's first sound is on its way: how long it took, by stage, in milliseconds."""

    turn: int
    stages_ms: Mapping[str, float]
    """By `agent.latency.Stage`."""
    providers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something failed that the caller notices; told in words for people."""

    text: str


CallEvent = StateChanged | CallerWords | AgentWords | AgentHeard | ToolRun | TurnLatency | Problem
CallListener = Callable[[CallEvent], None]


class Audience:
    """Who is shown one call, if anybody. A listener that fails is a fault of this call alone."""

    def __init__(self, listener: CallListener | None, scope: CallScope) -> None:
        self._listener = listener
        self._scope = scope

    @property
    def listening(self) -> bool:
        """False: events need not even be made."""
        return self._listener is not None

    def becomes(self, listener: CallListener | None) -> None:
        """Somebody else, or nobody, is shown the call from now on."""
        self._listener = listener

    def close(self) -> None:
        """The call is over: what still comes is nobody's business."""
        self._listener = None

    def tell(self, event: CallEvent) -> None:
        """Pass `event` on."""
        listener = self._listener
        if listener is not None:
            self._scope.run("listener", lambda: listener(event))
