"""What a transport and a call say to each other.

A transport accepts a call from its platform, builds a *line* and hands it to the `CallHost`; it gets back
the call's listening end and feeds it. The core never sees a socket, the transport never sees a turn.

    transport --MediaCall.hear(payload)--> call        (plain synchronous calls, no await per frame)
    call --MediaLine.send(audio)--> transport

A *media line* carries audio both ways. A *text line* (ConversationRelay) carries transcripts in and text
to speak out: the platform does the speech.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from agent.audio.formats import AudioFormat
from agent.events import CallListener


class Direction(StrEnum):
    """Who placed the call, as seen from the server."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


@dataclass(frozen=True, slots=True)
class CallInfo:
    """What the platform told about a call."""

    transport: str
    """`twilio-media`, `twilio-relay`, `telnyx-media`: the label of every metric."""
    platform_call_id: str
    """CallSid at Twilio, call_control_id at Telnyx. Stable when a socket is replaced."""
    caller: str = ""
    called: str = ""
    direction: Direction = Direction.INBOUND
    language: str | None = None
    """BCP 47 tag if the platform knows it."""
    parameters: Mapping[str, str] = field(default_factory=dict)


class Line(Protocol):
    """What every line can do. All methods may be called after the far end has gone: they do nothing then."""

    @property
    def info(self) -> CallInfo:
        """The call that this line carries."""

    async def hang_up(self) -> None:
        """End the call on the platform and close the socket. Raises `LineError`. Idempotent.

        The caller of this method has waited until the goodbye was heard: platforms cut what is queued.
        """

    async def transfer(self, target: str) -> None:
        """Hand the caller over to `target` (E.164 number or SIP URI). Raises `LineError`.

        On success the platform ends this line soon after.
        """

    def send_digits(self, digits: str) -> None:
        """Send DTMF (`0-9 A-D * # w`) to the far end, if the platform can; else it is counted and dropped."""

    def close(self) -> None:
        """Close the socket without ending the call on the platform. Idempotent."""


class MediaLine(Line, Protocol):
    """The transport's end of a call with audio both ways."""

    @property
    def inbound(self) -> AudioFormat:
        """Format of the payload given to `MediaCall.hear`."""

    @property
    def outbound(self) -> AudioFormat:
        """Format that `send` takes. May differ from `inbound`."""

    @property
    def lead_ms(self) -> float:
        """How far ahead of real time audio may be sent.

        Platforms with a buffer of their own (WebSocket media streams) take some 200 ms and can `clear` it;
        0 means that there is no far buffer and each frame must be sent when it is due (RTP).
        """

    def send(self, audio: bytes) -> None:
        """Queue `audio` (outbound format, whole 20 ms frames, 20 to 200 ms) for the caller. Never blocks.

        Dropped and counted while the peer does not read; a peer that stays so is disconnected.
        """

    def mark(self, name: str) -> None:
        """Ask for `MediaCall.marked(name)` when all audio sent so far has been played (or cleared)."""

    def clear(self) -> None:
        """Throw away what the far end has buffered. Its pending marks come back at once."""


class TextLine(Line, Protocol):
    """The transport's end of a call whose speech the platform does."""

    def say(self, text: str, *, last: bool, language: str | None = None) -> None:
        """Send text to be spoken; pieces are joined as they are. `last` closes the utterance."""

    def switch_language(self, language: str) -> None:
        """Speak and listen in `language` (BCP 47) from now on."""

    @property
    def reports_played(self) -> bool:
        """True if the platform tells which text was played (`TextCall.played`)."""


class LineCall(Protocol):
    """What both kinds of call hear from their line."""

    def dtmf(self, digit: str) -> None:
        """One key: `0-9 * # A-D`. Anything else is ignored by the call."""

    def typed(self, text: str) -> None:
        """The caller wrote instead of speaking (a web page's text field): a turn of its own."""

    def switch_language(self, language: str) -> None:
        """The caller chose another of the agent's languages; one that it does not have is ignored."""

    def bad_message(self, kind: str) -> None:
        """The peer sent something wrong, already dropped. Counted by `kind`."""

    async def hung_up(self, cause: str) -> None:
        """The caller or the platform ended the call. Returns when it is torn down (2 s at most)."""

    async def lost(self) -> None:
        """The socket went away without a hang-up.

        The call waits a bounded time for `CallHost.reattach_*` (same platform call id), then ends.
        Lines that cannot come back call `hung_up` instead.
        """


class MediaCall(LineCall, Protocol):
    """A call's listening end for a media line."""

    def hear(self, payload: bytes, timestamp_ms: float) -> None:
        """Audio from the caller, in the line's inbound format.

        `timestamp_ms` is the platform's own stream time of the first sample. Any length; synchronous and
        cheap (about 10 us a frame).
        """

    def marked(self, name: str) -> None:
        """A mark came back: what was sent before it has been played, or cleared."""


class TextCall(LineCall, Protocol):
    """A call's listening end for a text line."""

    def prompt(self, text: str, *, final: bool, language: str | None = None) -> None:
        """What the caller said: the whole utterance so far. `final` ends the turn."""

    def interrupted(self, heard: str, heard_ms: float) -> None:
        """The caller interrupted. `heard` is the part of the current piece that was spoken, maybe empty."""

    def played(self, text: str) -> None:
        """Text that has just been played (relay `tokensPlayed`)."""

    def agent_speaking(self, speaking: bool) -> None:
        """The platform began or finished speaking (relay `agentSpeaking`)."""

    def caller_speaking(self, speaking: bool) -> None:
        """The platform hears the caller begin or stop (relay `clientSpeaking`)."""


class Slot(Protocol):
    """A place for one call, held from admission to the end. Atomic: no two calls share one."""

    def release(self) -> None:
        """Give the place back. Idempotent."""


class Tickets(Protocol):
    """Single-use secrets that tie a media or relay socket to the webhook that announced it."""

    def issue(self, platform_call_id: str) -> str:
        """Reserve a slot and return a fresh ticket. Raises `Refused`.

        An unused ticket expires (30 s) and frees its slot. Issuing again for the same call replaces the
        earlier ticket, so a retried webhook holds one slot.
        """

    def redeem(self, ticket: str, platform_call_id: str) -> Slot:
        """Use a ticket up. Raises `TicketError` if unknown, used, expired or issued for another call."""

    def cancel(self, platform_call_id: str) -> None:
        """The call ended before its socket came: free the ticket's slot. Unknown ids are ignored."""


class CallHost(Protocol):
    """What the server offers to its transports."""

    @property
    def tickets(self) -> Tickets:
        """Tickets of this process."""

    def reserve(self) -> Slot:
        """A slot without a ticket, for loopback callers when no platform secret is set. Raises `Refused`."""

    def answer_media(self, line: MediaLine, slot: Slot, events: CallListener | None = None) -> MediaCall:
        """Begin a call on `line`, or let `line` take over the live call with the same platform call id.

        `events` is told what happens in the call (`agent.events`), by plain calls on the event loop.
        The call greets the caller by itself. The slot belongs to the call from here on.
        """

    def answer_text(self, line: TextLine, slot: Slot, *, greeted: bool = False) -> TextCall:
        """The same for a text line. `greeted`: the platform speaks the greeting by itself."""

    def is_live(self, platform_call_id: str) -> bool:
        """True while a call with this id is live, or waits for its lost socket to come back."""

    async def hang_up(self, platform_call_id: str, cause: str) -> None:
        """The platform says (status callback, webhook) that this call is over. Unknown ids are ignored."""

    def record_client(self, platform_call_id: str, turn: int | None, metrics: Mapping[str, float]) -> None:
        """The caller's device reports its own figures: see `agent.records.CallObserver.record_client`.

        Unknown ids are ignored.
        """

    def count_bad_request(self, transport: str, kind: str) -> None:
        """Count a webhook or socket refused before there was a call: forged, replayed, malformed."""
