"""One WebSocket from Telnyx, from the upgrade to the close.

Messages arrive by plain calls from within the parser (`transports.websocket`); the only task is aiohttp's own
handler, which waits for the end and then takes the one way down, each step of it with a bound.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from aiohttp import WSCloseCode, WSMsgType, web

from agent.errors import Refused, TicketError, WireError
from agent.lines import CallInfo, MediaCall, Slot
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
from transports.websocket import MAX_MESSAGE_BYTES, MediaWebSocket

T = TypeVar("T")

logger = logging.getLogger(__name__)

START_DEADLINE_S = 10.0
"""Until a valid `start`, which comes within half a second of the upgrade."""
TEARDOWN_DEADLINE_S = 3.0
"""The core's own ceiling on ending a call is 2 s."""
CLOSE_DEADLINE_S = 2.0
MAX_BAD_BEFORE_START = 50
"""Bad messages of a socket that has not named its call; then it is closed. A call is never ended for them."""
MAX_BAD_KINDS = 32
_OVER = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)


class MediaSession:
    """One media stream's socket. `serve` runs it. Implements `transports.telnyx.door.OpenSocket`."""

    def __init__(self, parts: SessionParts, header_token: str | None = None) -> None:
        """`header_token`: what the upgrade carried as `x-telnyx-streaming-auth-token`."""
        self.parts = parts
        self.socket = MediaWebSocket(parts.clock, self._on_text)
        self.call_id = ""
        self.last_heard_ms = 0.0
        self._shown = [header_token] if header_token else []
        self._decoder = MediaDecoder()
        self._reorder = Reorder()
        self._keys: KeyBuffer | None = None
        self._line: TelnyxLine | None = None
        self._call: MediaCall | None = None
        self._closing: tuple[int, bytes] | None = None
        self._scope: asyncio.Timeout | None = None
        self._stopped = False
        self._over = False
        self._bad: dict[str, int] = {}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Accept the upgrade (checked before) and stay until the socket is closed."""
        await self.socket.prepare(request)
        try:
            await self._until_closed()
        finally:
            await self._tear_down()
        return self.socket

    def close(self, code: int = WSCloseCode.OK, reason: bytes = b"") -> None:
        """Close the socket from our side, soon. Idempotent, from anywhere on the event loop."""
        if self._closing is None and not self._over:
            self._closing = (code, reason)
            self._wake()

    def bad(self, kind: str, detail: str) -> None:
        """Count a message that was dropped; the first of a kind is logged."""
        if kind not in self._bad and len(self._bad) >= MAX_BAD_KINDS:
            kind = "other"
        count = self._bad[kind] = self._bad.get(kind, 0) + 1
        if count == 1:
            logger.warning("%s %.64s: %s: %s", TRANSPORT, self.call_id or "?", kind, detail)
        if self._call is not None:
            self._call.bad_message(kind)
        elif sum(self._bad.values()) > MAX_BAD_BEFORE_START:
            self.close(WSCloseCode.POLICY_VIOLATION, b"no start")

    def key_from_webhook(self, digit: str, occurred_at: str) -> None:
        """See `OpenSocket`."""
        if self._keys is not None:
            self._keys.from_webhook(digit, occurred_at)

    # --- messages ----------------------------------------------------------------------------------

    def _on_text(self, data: bytes) -> None:
        if self._over or self._stopped or self._closing is not None:
            return
        self.last_heard_ms = self.parts.clock.now_ms()
        if len(data) <= MAX_MESSAGE_BYTES:
            self._guarded(self._receive, data)
        else:
            self.bad("too_long", f"{len(data)} bytes")

    def _guarded(self, step: Callable[[T], None], value: T) -> None:
        """Whatever one message does to the core, the socket goes on: the one place where that ends."""
        try:
            step(value)
        except WireError as error:
            self.bad(error.kind, str(error))
        except Exception as error:
            if "internal_error" not in self._bad:
                logger.exception("%s %.64s: a message failed", TRANSPORT, self.call_id)
            self.bad("internal_error", type(error).__name__)

    def _receive(self, data: bytes) -> None:
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
                self._stopped = True
                self._wake()

    def _show(self, secret: str) -> None:
        # Bounded, since anyone may send `connected` again and again.
        if secret and secret not in self._shown and len(self._shown) < 4:
            self._shown.append(secret)

    # --- the beginning -----------------------------------------------------------------------------

    def _start(self, start: Start) -> None:
        if self._call is not None:
            raise WireError("second_start", "a second start on one socket")
        self._show(start.parameters.get(TICKET, ""))
        slot = self._admit(start.call_control_id)
        if slot is None:
            return
        self.call_id = start.call_control_id
        try:
            call = self._answer(start, slot)
        except BaseException as error:
            slot.release()
            if isinstance(error, WireError):
                self.close(WSCloseCode.UNSUPPORTED_DATA, b"unsupported media format")
            else:
                self.close(WSCloseCode.INTERNAL_ERROR, b"cannot answer")
            self.parts.watcher.give_up(self.call_id, "cannot_answer")
            raise
        self._call = call
        self._keys = KeyBuffer(self.parts.clock, lambda digit: self._guarded(call.dtmf, digit))
        self.parts.door.opened(self.call_id, self)
        self.parts.watcher.socket_up(self.call_id)
        if self._scope is not None and self._closing is None:
            self._scope.reschedule(None)
        # What was bad before belongs to the call from here on.
        for kind, count in self._bad.items():
            for _ in range(count):
                call.bad_message(kind)

    def _admit(self, call_id: str) -> Slot | None:
        """The slot for the call that this socket names; None if it is refused, and the socket closes."""
        host = self.parts.host
        try:
            return self.parts.door.admit(self._shown, call_id)
        except TicketError as error:
            host.count_bad_request(TRANSPORT, "bad_ticket" if self._shown else "no_ticket")
            logger.warning("refused the %s socket of call %.64r: %s", TRANSPORT, call_id, error)
            self.close(WSCloseCode.POLICY_VIOLATION, b"no valid ticket")
        except Refused as error:
            logger.info("refused call %.64r: %s", call_id, error)
            self.close(WSCloseCode.TRY_AGAIN_LATER, b"busy")
        return None

    def _answer(self, start: Start, slot: Slot) -> MediaCall:
        """Hand the line to the core. Raises `WireError` for a format that cannot be heard."""
        parts = self.parts
        inbound = inbound_format(start)
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

    def _wake(self) -> None:
        """Let the handler look at what has changed: a deadline in the past ends its waiting."""
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(0.0)

    async def _until_closed(self) -> None:
        deadline_s = START_DEADLINE_S if self._call is None else None
        try:
            async with asyncio.timeout(deadline_s) as self._scope:
                while self._closing is None and not self._stopped:
                    message = await self.socket.receive()
                    if message.type in _OVER:
                        return
                    self.bad("binary", f"a {message.type.name} message")
        except TimeoutError:
            if self._closing is None and not self._stopped:
                self.parts.host.count_bad_request(TRANSPORT, "no_start")
                logger.warning("%s: no valid start within %g s", TRANSPORT, START_DEADLINE_S)
                self._closing = (WSCloseCode.POLICY_VIOLATION, b"no start")

    async def _tear_down(self) -> None:
        """The one way down: the call, then the socket. A server that stops passes here as well."""
        self._over = True
        self._scope = None
        if self._line is not None:
            self._line.socket_gone()
        if self._call is None:
            for kind, count in self._bad.items():
                for _ in range(count):
                    self.parts.host.count_bad_request(TRANSPORT, kind)
        elif self._bad:
            logger.info("%s %.64s: dropped messages: %s", TRANSPORT, self.call_id, self._bad)
        try:
            async with asyncio.timeout(TEARDOWN_DEADLINE_S):
                await self._report_end()
        except TimeoutError:
            logger.warning("%s %.64s: the call did not end in time", TRANSPORT, self.call_id)
        finally:
            await self._close_socket()

    async def _report_end(self) -> None:
        """Tell the call, unless another socket serves it by now or the core closed this one."""
        call, line = self._call, self._line
        if call is None or line is None:
            return
        if self._keys is not None:
            self._keys.flush()
        if self.socket.dropped_sends:
            self.bad("peer_not_reading", f"{self.socket.dropped_sends} messages were not sent")
        if not self.parts.door.closed(self.call_id, self):
            return
        if self._closing is not None:
            # By the core, which knows why.
            self.parts.watcher.conversation_over(self.call_id)
        elif self._stopped or line.ending is not None:
            self.parts.watcher.conversation_over(self.call_id)
            line.ending = line.ending or "caller_hung_up"
            await call.hung_up(line.ending)
        else:
            # It may come back: TeXML reconnects by itself, Call Control is asked to.
            logger.info("%s %.64s: socket lost (%s)", TRANSPORT, self.call_id, self.socket.close_code)
            self.parts.watcher.socket_lost(self.call_id)
            await call.lost()

    async def _close_socket(self) -> None:
        code, reason = self._closing or (WSCloseCode.OK, b"")
        try:
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await self.socket.close(code=code, message=reason)
        except TimeoutError:
            # The peer does not even read the close frame.
            self.socket.abort()


def header_token(request: web.Request) -> str | None:
    """The stream's auth token, as the upgrade carries it."""
    return request.headers.get(AUTH_TOKEN_NAME)
