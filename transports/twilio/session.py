"""What relay and media sockets from Twilio share beyond `transports.session`."""

from dataclasses import dataclass

from agent.clock import Clock
from agent.errors import LineError
from agent.lines import CallHost, Direction, Slot
from transports.open_sessions import OpenSessions
from transports.session import Session
from transports.twilio.actions import CallActions
from transports.twilio.book import CallBook
from transports.twilio.guard import Guard


@dataclass(frozen=True, slots=True)
class SessionParts:
    """What all sockets of the process share."""

    host: CallHost
    clock: Clock
    guard: Guard
    book: CallBook
    actions: CallActions | None
    """None without REST credentials."""
    language: str
    """What ConversationRelay speaks at first."""
    sockets: OpenSessions
    tokens_played: bool = False
    """Our TwiML asks for `tokensPlayed`."""


class TwilioSession(Session):
    """One socket from Twilio."""

    __slots__ = ("parts",)

    def __init__(self, parts: SessionParts) -> None:
        super().__init__(parts.host, parts.clock, parts.guard.notices, parts.sockets)
        self.parts = parts

    def enter(self, ticket: str | None, call_sid: str) -> Slot | None:
        """The slot for the call that this socket names; None if it is refused, and the socket closes."""
        guard = self.parts.guard
        return self.admit(call_sid, lambda: guard.admit(ticket, call_sid), shown=bool(ticket))

    def started(self, call_id: str) -> None:
        """See `Session`."""
        self.parts.book.connected(call_id)
        super().started(call_id)


def direction(text: str) -> Direction:
    """Twilio's `inbound`; all else (`outbound-api`, `outbound-dial`) was placed by us."""
    return Direction.INBOUND if text in ("", "inbound") else Direction.OUTBOUND


def gone(what: str) -> LineError:
    """The error of an action that needs a socket which is not there any more."""
    return LineError(f"cannot {what}: the socket is closed")
