"""The life of a Call Control call, from ring to hang-up, as a table (sheet 1.1, 6). No IO.

    call.initiated -> ANSWERING -call.answered-> STREAMING -socket-> ON_AIR -we end it-> CLOSING
                                                  |  ^                |  \\-transfer-> HANDED_OVER
                                                  |  '--stream lost---'
                                                  '-too often, or no socket-> FAREWELL -spoken-> OVER
    call.hangup, from anywhere -> OVER

Webhooks come in any order and more than once; whatever the table does not name is ignored. OVER is kept, so
that a late `call.initiated` of a call that has ended does not begin it again. The stream is started again at
most `MAX_RESTARTS` times; then Telnyx itself says a sentence to the caller, and the call is ended.
"""

from enum import StrEnum

MAX_RESTARTS = 2


class State(StrEnum):
    """Where a call is."""

    ANSWERING = "answering"
    """`answer` was sent, `call.answered` has not come."""
    STREAMING = "streaming"
    """`streaming_start` was sent, the socket has not come."""
    ON_AIR = "on_air"
    """A socket serves the call."""
    FAREWELL = "farewell"
    """No stream can be had; the platform speaks our last sentence."""
    CLOSING = "closing"
    """The conversation is over, `call.hangup` has not come."""
    HANDED_OVER = "handed_over"
    """The caller is being connected to somebody else."""
    OVER = "over"


class Signal(StrEnum):
    """What can happen."""

    ANSWERED = "answered"
    SOCKET_UP = "socket_up"
    STREAM_LOST = "stream_lost"
    """The stream failed or stopped, or its socket broke, and no `call.hangup` followed."""
    CONVERSATION_OVER = "conversation_over"
    HANDED_OVER = "handed_over"
    BRIDGED = "bridged"
    TARGET_GONE = "target_gone"
    """The leg to a transfer's target has ended."""
    SPOKEN = "spoken"
    """The last sentence was heard."""
    STUCK = "stuck"
    """The state's ceiling."""
    HANGUP = "hangup"


class Step(StrEnum):
    """What is to be done."""

    NONE = "none"
    STREAM = "stream"
    """Start the stream."""
    SPEAK = "speak"
    """Have the platform say that it is over."""
    HANG_UP = "hang_up"
    """End the call on the platform and here."""
    END = "end"
    """The platform has ended it: end it here."""


_S, _E = State, Signal
TABLE: dict[tuple[State, Signal], tuple[State, Step]] = {
    (_S.ANSWERING, _E.ANSWERED): (_S.STREAMING, Step.STREAM),
    (_S.ANSWERING, _E.STUCK): (_S.OVER, Step.HANG_UP),
    (_S.ANSWERING, _E.HANGUP): (_S.OVER, Step.END),
    (_S.STREAMING, _E.SOCKET_UP): (_S.ON_AIR, Step.NONE),
    (_S.STREAMING, _E.STREAM_LOST): (_S.STREAMING, Step.STREAM),
    (_S.STREAMING, _E.CONVERSATION_OVER): (_S.CLOSING, Step.NONE),
    (_S.STREAMING, _E.STUCK): (_S.FAREWELL, Step.SPEAK),
    (_S.STREAMING, _E.HANGUP): (_S.OVER, Step.END),
    (_S.ON_AIR, _E.STREAM_LOST): (_S.STREAMING, Step.STREAM),
    (_S.ON_AIR, _E.CONVERSATION_OVER): (_S.CLOSING, Step.NONE),
    (_S.ON_AIR, _E.HANDED_OVER): (_S.HANDED_OVER, Step.NONE),
    (_S.ON_AIR, _E.HANGUP): (_S.OVER, Step.END),
    (_S.FAREWELL, _E.SPOKEN): (_S.OVER, Step.HANG_UP),
    (_S.FAREWELL, _E.STUCK): (_S.OVER, Step.HANG_UP),
    (_S.FAREWELL, _E.HANGUP): (_S.OVER, Step.END),
    (_S.CLOSING, _E.STUCK): (_S.OVER, Step.HANG_UP),
    (_S.CLOSING, _E.HANGUP): (_S.OVER, Step.END),
    # From here the platform ends the caller's leg with the target's.
    (_S.HANDED_OVER, _E.BRIDGED): (_S.OVER, Step.NONE),
    # Nobody took the transferred call: without this the caller would listen to silence for up to 4 hours.
    (_S.HANDED_OVER, _E.TARGET_GONE): (_S.OVER, Step.HANG_UP),
    (_S.HANDED_OVER, _E.HANGUP): (_S.OVER, Step.END),
}


class CallFlow:
    """One call."""

    __slots__ = ("restarts", "session_id", "state", "stream_url")

    def __init__(self, stream_url: str, session_id: str = "") -> None:
        self.state = State.ANSWERING
        self.stream_url = stream_url
        self.session_id = session_id
        self.restarts = 0

    def handle(self, signal: Signal) -> Step:
        """Move on. Returns what to do about it."""
        known = TABLE.get((self.state, signal))
        if known is None:
            return Step.NONE
        before = self.state
        self.state, step = known
        if step is Step.STREAM and before is not State.ANSWERING:
            if self.restarts >= MAX_RESTARTS:
                self.state = State.FAREWELL
                return Step.SPEAK
            self.restarts += 1
        return step
