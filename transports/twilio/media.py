"""Media Streams: the caller's audio in, ours out, mu-law at 8 kHz (protocol sheet 2.3, 2.4, 7.5)."""

import logging

from aiohttp import WSCloseCode

from agent.audio.formats import PCMU_8K, AudioFormat
from agent.errors import WireError
from agent.lines import CallInfo, MediaCall
from transports.twilio.media_codec import (
    Connected,
    Dtmf,
    Mark,
    Media,
    MediaDecoder,
    MediaEncoder,
    MediaEvent,
    Start,
    Stop,
)
from transports.twilio.session import SessionParts, TwilioSession, direction
from transports.twilio.twiml import CALLED, CALLER, DIRECTION, OWN_PARAMETERS, TICKET, check_target, dial

logger = logging.getLogger(__name__)

TRANSPORT = "twilio-media"
LEAD_MS = 200.0
"""Twilio buffers what is sent early and `clear` empties that: enough for jitter, cheap to clear (sheet 8)."""


class MediaStreamLine:
    """The transport's end of a media stream. Implements `agent.lines.MediaLine`."""

    __slots__ = ("_encoder", "_info", "_send", "_session", "hanging_up", "transferred")

    def __init__(self, session: "MediaSession", info: CallInfo, encoder: MediaEncoder) -> None:
        self._session = session
        self._send = session.socket.send_text
        self._info = info
        self._encoder = encoder
        self.hanging_up = False
        self.transferred = False

    @property
    def info(self) -> CallInfo:
        """See `agent.lines.Line`."""
        return self._info

    @property
    def inbound(self) -> AudioFormat:
        """See `agent.lines.MediaLine`."""
        return PCMU_8K

    @property
    def outbound(self) -> AudioFormat:
        """See `agent.lines.MediaLine`."""
        return PCMU_8K

    @property
    def lead_ms(self) -> float:
        """See `agent.lines.MediaLine`."""
        return LEAD_MS

    def send(self, audio: bytes) -> None:
        """See `agent.lines.MediaLine`."""
        self._send(self._encoder.media(audio))

    def mark(self, name: str) -> None:
        """See `agent.lines.MediaLine`."""
        self._send(self._encoder.mark(name))

    def clear(self) -> None:
        """See `agent.lines.MediaLine`."""
        self._send(self._encoder.clear())

    def send_digits(self, digits: str) -> None:
        """See `agent.lines.Line`. A media stream cannot send any: counted and dropped."""
        self._session.bad("unsupported_digits", "a media stream cannot send DTMF")

    async def hang_up(self) -> None:
        """See `agent.lines.Line`. Over REST where there are credentials, then by closing the socket.

        Closing alone ends the call as well: the TwiML after the stream hangs up.
        """
        if self.hanging_up or self.transferred:
            return
        self.hanging_up = True
        actions = self._session.parts.actions
        try:
            if actions is not None:
                await actions.hang_up(self._info.platform_call_id)
        finally:
            self._session.close()

    async def transfer(self, target: str) -> None:
        """See `agent.lines.Line`. Over REST where there are credentials; else the action webhook, which
        comes after the socket is closed, answers `<Dial>`."""
        call_sid, parts = self._info.platform_call_id, self._session.parts
        twiml = dial(check_target(target))
        # Noted in either case: the action webhook must not hang up on a caller who is being transferred.
        parts.book.hand_off(call_sid, target)
        self.transferred = True
        if parts.actions is None:
            self._session.close()
            return
        try:
            await parts.actions.redirect(call_sid, twiml)
        except BaseException:
            parts.book.hand_off(call_sid, None)
            self.transferred = False
            raise

    def close(self) -> None:
        """See `agent.lines.Line`."""
        self._session.close()


class MediaSession(TwilioSession):
    """One media stream's socket."""

    TRANSPORT = TRANSPORT
    __slots__ = ("_call", "_decoder", "_line")

    def __init__(self, parts: SessionParts) -> None:
        super().__init__(parts)
        self._decoder = MediaDecoder()
        self._line: MediaStreamLine | None = None
        self._call: MediaCall | None = None

    @property
    def listener(self) -> MediaCall | None:
        return self._call

    def receive(self, data: bytes) -> None:
        call = self._call
        try:
            event = self._decoder.decode(data)
        except WireError as error:
            if error.kind == "media_format" and call is None:
                self.close(WSCloseCode.UNSUPPORTED_DATA, b"audio/x-mulaw at 8000 Hz, mono")
            raise
        if type(event) is Media and call is not None:
            call.hear(event.payload, event.timestamp_ms)
        else:
            self._event(event, call)

    def _event(self, event: MediaEvent, call: MediaCall | None) -> None:
        if isinstance(event, Connected):
            return
        if isinstance(event, Start):
            self._start(event)
        elif call is None:
            raise WireError("before_start", f"{type(event).__name__} before start")
        elif isinstance(event, Mark):
            call.marked(event.name)
        elif isinstance(event, Dtmf):
            call.dtmf(event.digit)
        elif isinstance(event, Stop):
            self.finish()

    async def report_end(self, code: int | None) -> None:
        """See `Session`."""
        if code is None:
            return
        call, line = self._call, self._line
        assert call is not None
        if line is not None and line.transferred:
            await call.hung_up("transferred")
        elif line is not None and line.hanging_up:
            await call.hung_up("agent_hung_up")
        elif code in (WSCloseCode.OK, WSCloseCode.GOING_AWAY):
            await call.hung_up("caller_hung_up")
        else:
            # A stream does not come back: a close without `stop` is the end (sheet 6.5).
            logger.info("%s %s: socket lost (%d)", TRANSPORT, self.call_id, code)
            await call.hung_up("line_lost")

    def _start(self, start: Start) -> None:
        if self._call is not None:
            raise WireError("second_start", "a second start on one socket")
        slot = self.enter(start.parameters.get(TICKET), start.call_sid)
        if slot is None:
            return
        self._decoder.stream_sid = start.stream_sid
        line = MediaStreamLine(self, _info(start), MediaEncoder(start.stream_sid))
        self._line = line
        with self.answering(slot):
            self._call = self.parts.host.answer_media(line, slot)
        self.started(start.call_sid)


def _info(start: Start) -> CallInfo:
    parameters = start.parameters
    return CallInfo(
        transport=TRANSPORT,
        platform_call_id=start.call_sid,
        caller=parameters.get(CALLER, ""),
        called=parameters.get(CALLED, ""),
        direction=direction(parameters.get(DIRECTION, "")),
        parameters={name: value for name, value in parameters.items() if name not in OWN_PARAMETERS},
    )
