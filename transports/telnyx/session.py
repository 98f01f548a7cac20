"""One media stream's WebSocket from Telnyx: its messages, its way in and its end (sheet 2.2, 5.3, 6)."""

import logging
from functools import partial

from aiohttp import WSCloseCode, web

from agent.errors import WireError
from agent.lines import CallInfo, MediaCall, Slot
from transports.session import Session
from transports.telnyx.byte_order import ByteOrder
from transports.telnyx.keys import KeyBuffer
from transports.telnyx.line import TelnyxLine
from transports.telnyx.media_codec import (
    AUTH_TOKEN_NAME,
    Complaint,
    Connected,
    Dtmf,
    Event,
    Mark,
    Media,
    MediaDecoder,
    MediaEncoder,
    Start,
    Stop,
    inbound_format,
)
from transports.telnyx.parts import TRANSPORT, SessionParts
from transports.telnyx.reorder import Reorder
from transports.telnyx.texml import TICKET

logger = logging.getLogger(__name__)

MAX_SHOWN = 4
"""Secrets that one socket may show: the upgrade's header, `connected` and `start` carry one each."""


class MediaSession(Session):
    """One media stream's socket. Implements `transports.telnyx.door.OpenSocket`."""

    TRANSPORT = TRANSPORT
    __slots__ = ("_call", "_decoder", "_keys", "_line", "_reorder", "_shown", "last_heard_ms", "parts")

    def __init__(self, parts: SessionParts, header_token: str | None = None) -> None:
        """`header_token`: what the upgrade carried as `x-telnyx-streaming-auth-token`."""
        super().__init__(parts.host, parts.clock, parts.notices, parts.sockets)
        self.parts = parts
        self.last_heard_ms = 0.0
        self._shown = [header_token] if header_token else []
        self._decoder = MediaDecoder()
        self._reorder = Reorder()
        self._keys: KeyBuffer | None = None
        self._line: TelnyxLine | None = None
        self._call: MediaCall | None = None

    @property
    def listener(self) -> MediaCall | None:
        """See `Session`."""
        return self._call

    def key_from_webhook(self, digit: str, occurred_at: str) -> None:
        """See `OpenSocket`."""
        if self._keys is not None:
            self._keys.from_webhook(digit, occurred_at)

    # --- messages ----------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """See `Session`."""
        self.last_heard_ms = self.parts.clock.now_ms()
        event = self._decoder.decode(data)
        call = self._call
        if type(event) is Media and call is not None:
            for media in self._reorder.push(event):
                call.hear(media.payload, media.timestamp_ms)
        elif event is not None:
            self._event(event, call)

    def _event(self, event: Event, call: MediaCall | None) -> None:
        match event:
            case Start():
                self._start(event)
            case Connected(token):
                if token is not None and call is None:
                    self._show(token)
            case Complaint(kind, detail):
                self.bad(kind, detail)
            case _ if call is None:
                raise WireError("before_start", f"{type(event).__name__} before start")
            case Mark(name):
                call.marked(name)
            case Dtmf(digit, occurred_at):
                assert self._keys is not None
                self._keys.from_socket(digit, occurred_at)
            case Stop():
                self.finish()

    def _show(self, secret: str) -> None:
        # Bounded, since anyone may send `connected` again and again.
        if secret and secret not in self._shown and len(self._shown) < MAX_SHOWN:
            self._shown.append(secret)

    # --- the beginning -----------------------------------------------------------------------------

    def _start(self, start: Start) -> None:
        if self._call is not None:
            raise WireError("second_start", "a second start on one socket")
        self._show(start.parameters.get(TICKET, ""))
        call_id = start.call_control_id
        take = partial(self.parts.door.admit, self._shown, call_id)
        slot = self.admit(call_id, take, shown=bool(self._shown))
        if slot is None:
            return
        try:
            with self.answering(slot):
                self._call = self._answer(start, slot)
        except BaseException:
            if self._line is not None:
                self._line.socket_gone()
            self.parts.watcher.give_up(call_id, "cannot_answer")
            raise
        call = self._call
        self._keys = KeyBuffer(self.parts.clock, partial(self.guarded, call.dtmf))
        self.parts.door.opened(call_id, self)
        self.parts.watcher.socket_up(call_id)
        self.started(call_id)

    def _answer(self, start: Start, slot: Slot) -> MediaCall:
        """Hand the line to the core. Raises `WireError` for a format that cannot be heard."""
        parts = self.parts
        try:
            inbound = inbound_format(start)
        except WireError:
            self.close(WSCloseCode.UNSUPPORTED_DATA, b"unsupported media format")
            raise
        order = ByteOrder(parts.byte_order, inbound.rate_hz)
        self._decoder.begin(start.stream_id, inbound, order)
        parameters = {name: value for name, value in start.parameters.items() if name != TICKET}
        info = CallInfo(
            transport=TRANSPORT,
            platform_call_id=start.call_control_id,
            caller=start.caller,
            called=start.called,
            parameters=parameters,
        )
        encoder = MediaEncoder(parts.outbound, order)
        self._line = TelnyxLine(parts, self.socket, info, inbound, encoder, self.close, self.bad)
        # Before the core's own audio: see there.
        self._line.keep_alive()
        return parts.host.answer_media(self._line, slot)

    # --- the end -----------------------------------------------------------------------------------

    async def report_end(self, code: int | None) -> None:
        """See `Session`. Nothing if another socket serves the call by now."""
        call, line, watcher = self._call, self._line, self.parts.watcher
        assert call is not None
        assert line is not None
        line.socket_gone()
        if self._keys is not None:
            self._keys.flush()
        if not self.parts.door.closed(self.call_id, self):
            return
        if code is None:
            # Closed by the core, which knows why.
            watcher.conversation_over(self.call_id)
        elif line.ending is not None:
            watcher.conversation_over(self.call_id)
            await call.hung_up(line.ending)
        elif code == WSCloseCode.OK and not watcher.brings_back(self.call_id):
            line.ending = "caller_hung_up"
            await call.hung_up(line.ending)
        else:
            # It may come back: TeXML reconnects by itself, Call Control is asked to. There `stop` only says
            # that the stream is over; that the call is, `call.hangup` says.
            logger.info("%s %.64s: socket lost (%d)", TRANSPORT, self.call_id, code)
            watcher.socket_lost(self.call_id)
            await call.lost()


def header_token(request: web.Request) -> str | None:
    """The stream's auth token, as the upgrade carries it."""
    return request.headers.get(AUTH_TOKEN_NAME)
