"""One WebSocket from Twilio, from the upgrade to the close: what relay and media sockets have in common.

Messages arrive by plain calls from within the parser (`transports.websocket`); the only task is aiohttp's own
handler, which waits for the end and then takes the one way down, each step of it with a bound.
"""

import abc
import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import WSCloseCode, WSMsgType, web

from agent.clock import Clock
from agent.errors import LineError, Refused, TicketError, WireError
from agent.lines import CallHost, Direction, LineCall, Slot
from transports.twilio.actions import CallActions
from transports.twilio.book import CallBook
from transports.twilio.guard import Guard
from transports.websocket import MAX_MESSAGE_BYTES, MediaWebSocket

logger = logging.getLogger(__name__)

START_DEADLINE_S = 10.0
"""Until `setup` or `start`, which come within half a second of the upgrade (sheet 1.1)."""
TEARDOWN_DEADLINE_S = 3.0
"""The core's own ceiling on ending a call is 2 s."""
CLOSE_DEADLINE_S = 2.0
MAX_BAD_BEFORE_START = 50
"""Bad messages of a socket that has not named its call; then it is closed. A call is never ended for them."""
_OVER = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)


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
    tokens_played: bool = False
    """Our TwiML asks for `tokensPlayed`."""


class Session(abc.ABC):
    """One socket. `serve` runs it; subclasses read its messages."""

    TRANSPORT: str
    """Label of metrics and refusals."""

    def __init__(self, parts: SessionParts) -> None:
        self.parts = parts
        self.socket = MediaWebSocket(parts.clock, self._on_text)
        self.call_sid = ""
        self._closing: tuple[int, bytes] | None = None
        self._scope: asyncio.Timeout | None = None
        self._finished = False
        self._over = False
        self._bad: dict[str, int] = {}

    # --- what subclasses do ------------------------------------------------------------------------

    @property
    @abc.abstractmethod
    def listener(self) -> LineCall | None:
        """The call, once it was answered."""

    @abc.abstractmethod
    def receive(self, data: bytes) -> None:
        """One text message. Raises `WireError` for what cannot be understood."""

    @abc.abstractmethod
    async def report_end(self, code: int) -> None:
        """Tell the call that Twilio's side has ended with this close code. Not called if we closed."""

    # --- the socket --------------------------------------------------------------------------------

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Accept the upgrade (checked before) and stay until the socket is closed."""
        await self.socket.prepare(request)
        code: int | None = None
        try:
            code = await self._until_closed()
        finally:
            await self._tear_down(code)
        return self.socket

    def close(self, code: int = WSCloseCode.OK, reason: bytes = b"") -> None:
        """Close the socket from our side, soon. Idempotent, from anywhere on the event loop."""
        if self._closing is None and not self._over:
            self._closing = (code, reason)
            if self._scope is not None and not self._scope.expired():
                # A deadline in the past wakes the handler, which closes.
                self._scope.reschedule(0.0)

    def finish(self) -> None:
        """Twilio's last message was read: report the end and close, as if Twilio had closed."""
        self._finished = True
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(0.0)

    def admit(self, ticket: str | None, call_sid: str) -> Slot | None:
        """The slot for the call that this socket names; None if it is refused, and the socket closes."""
        host = self.parts.host
        try:
            slot = self.parts.guard.admit(ticket, call_sid)
        except TicketError as error:
            host.count_bad_request(self.TRANSPORT, "bad_ticket" if ticket else "no_ticket")
            logger.warning("refused the %s socket of call %.64r: %s", self.TRANSPORT, call_sid, error)
            self.close(WSCloseCode.POLICY_VIOLATION, b"no valid ticket")
            return None
        except Refused as error:
            logger.info("refused call %.64r: %s", call_sid, error)
            self.close(WSCloseCode.TRY_AGAIN_LATER, b"busy")
            return None
        return slot

    @contextmanager
    def answering(self, slot: Slot) -> Iterator[None]:
        """Around the core's answer: should that fail, the slot is free again and the socket closes."""
        try:
            yield
        except BaseException:
            slot.release()
            self.close(WSCloseCode.INTERNAL_ERROR, b"cannot answer")
            raise

    def started(self, call_sid: str) -> None:
        """The call was answered: what was bad before belongs to it, and the deadline is off."""
        self.call_sid = call_sid
        self.parts.book.connected(call_sid)
        if self._scope is not None and self._closing is None:
            self._scope.reschedule(None)
        call = self.listener
        assert call is not None
        for kind, count in self._bad.items():
            for _ in range(count):
                call.bad_message(kind)

    def bad(self, kind: str, detail: str) -> None:
        """Count a message that was dropped; the first of a kind is logged."""
        if kind not in self._bad:
            logger.warning("%s %s: dropped a message: %s", self.TRANSPORT, self.call_sid or "?", detail)
        self._count(kind)

    # -----------------------------------------------------------------------------------------------

    def _count(self, kind: str) -> None:
        self._bad[kind] = self._bad.get(kind, 0) + 1
        call = self.listener
        if call is not None:
            call.bad_message(kind)
        elif sum(self._bad.values()) > MAX_BAD_BEFORE_START:
            self.close(WSCloseCode.POLICY_VIOLATION, b"no start")

    def _on_text(self, data: bytes) -> None:
        if self._over or self._finished or self._closing is not None:
            return
        if self._scope is not None and self._scope.expired():
            return
        try:
            if len(data) <= MAX_MESSAGE_BYTES:
                self.receive(data)
            else:
                self.bad("too_long", f"{len(data)} bytes")
        except WireError as error:
            self.bad(error.kind, str(error))
        except Exception:
            # Whatever one message does to the core, the socket's parser goes on.
            if "internal_error" not in self._bad:
                logger.exception("%s %s: a message failed", self.TRANSPORT, self.call_sid)
            self._count("internal_error")

    async def _until_closed(self) -> int | None:
        """The peer's close code, 1006 if it just went; None if we are to close."""
        deadline_s = START_DEADLINE_S if self.listener is None else None
        try:
            async with asyncio.timeout(deadline_s) as self._scope:
                while self._closing is None and not self._finished:
                    message = await self.socket.receive()
                    if message.type is WSMsgType.CLOSE:
                        return int(message.data or WSCloseCode.OK)
                    if message.type in _OVER:
                        # The connection ended without a closing handshake.
                        return int(WSCloseCode.ABNORMAL_CLOSURE)
                    self.bad("binary", f"a {message.type.name} message")
        except TimeoutError:
            if self._closing is None and not self._finished:
                self.parts.host.count_bad_request(self.TRANSPORT, "no_start")
                logger.warning("%s: no start within %g s", self.TRANSPORT, START_DEADLINE_S)
                self._closing = (WSCloseCode.POLICY_VIOLATION, b"no start")
        return int(WSCloseCode.OK) if self._finished else None

    async def _tear_down(self, code: int | None) -> None:
        """The one way down: the call, then the socket. A server that stops passes here as well."""
        self._over = True
        self._scope = None
        if self.listener is None:
            for kind, count in self._bad.items():
                for _ in range(count):
                    self.parts.host.count_bad_request(self.TRANSPORT, kind)
        elif self._bad:
            logger.info("%s %s: dropped messages: %s", self.TRANSPORT, self.call_sid, self._bad)
        try:
            if self._closing is None and self.listener is not None:
                async with asyncio.timeout(TEARDOWN_DEADLINE_S):
                    await self.report_end(WSCloseCode.ABNORMAL_CLOSURE if code is None else code)
        except TimeoutError:
            logger.warning("%s %s: the call did not end in time", self.TRANSPORT, self.call_sid)
        finally:
            await self._close_socket()

    async def _close_socket(self) -> None:
        code, reason = self._closing or (WSCloseCode.OK, b"")
        try:
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await self.socket.close(code=code, message=reason)
        except TimeoutError:
            # The peer does not even read the close frame.
            self.socket.abort()


def direction(text: str) -> Direction:
    """Twilio's `inbound`; all else (`outbound-api`, `outbound-dial`) was placed by us."""
    return Direction.INBOUND if text in ("", "inbound") else Direction.OUTBOUND


def gone(what: str) -> LineError:
    """The error of an action that needs a socket which is not there any more."""
    return LineError(f"cannot {what}: the socket is closed")
