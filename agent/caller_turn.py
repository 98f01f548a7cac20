"""A turn of the caller that is complete: what a call answers, whichever kind of line it came in on."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agent.latency import Stage, TurnMarks


@dataclass(slots=True)
class CallerTurn:
    """Something that the caller has said, keyed or typed."""

    marks: TurnMarks
    collect: Callable[[], Awaitable[str]]
    """Gives the words; bounded. Cancelled, it keeps them for the turn that goes on."""
    taken: Callable[[], None] = lambda: None
    """Called when the words were made a turn."""
    kind: str = "speech"
    """`speech`, `dtmf` or `typed`."""
    spoke_ms: float = 0.0
    """How long the caller made a sound, where that is known."""
    providers: dict[str, str] | None = None
    blown: dict[Stage, str] | None = None
    """Budgets that were blown before there was a reply (`agent.records.TurnRecord.blown`)."""


def ready(text: str, marks: TurnMarks, kind: str = "speech") -> CallerTurn:
    """A turn whose words are there already."""

    async def words() -> str:
        return text

    return CallerTurn(marks, words, kind=kind)
