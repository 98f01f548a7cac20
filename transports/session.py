"""One platform's WebSocket for one call, from the upgrade to the close: what all such sockets share.

Messages arrive by plain calls from within the parser (`transports.websocket`), and nothing runs for a socket
while it is open. At its end one task takes the one way down, each step of it with a bound. Nothing that a
peer sends ends a call; a peer that never names its call is shown out.
"""

import abc
import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from aiohttp import WSCloseCode, web

from agent.clock import Clock, Timer
from agent.errors import Refused, TicketError, WireError
from agent.lines import CallHost, LineCall, Slot
from agent.records import NOT_READ
from transports.open_sessions import OpenSessions
from transports.sparing_log import SparingLog
from transports.websocket import MAX_MESSAGE_BYTES, MediaWebSocket

T = TypeVar("T")

logger = logging.getLogger(__name__)

START_DEADLINE_S = 10.0
"""Until the message that names the call: within half a second of the upgrade on all platforms (Twilio sheet
1.1, Telnyx sheet 1.1)."""
TEARDOWN_DEADLINE_S = 3.0
"""The core's own ceiling on ending a call is 2 s."""
CLOSE_DEADLINE_S = 2.0
MAX_BAD_BEFORE_START = 50
"""Bad messages of a socket that has not named its call; then it is closed. A call is never ended for them."""


class Session(abc.ABC):
    """One socket. `serve` runs it; subclasses read its messages."""

    TRANSPORT: str
    """Label of metrics and refusals."""

    __slots__ = (
        "_bad", "_closing", "_deadline", "_host", "_notices", "_open", "_over", "call_id", "socket",
    )  # fmt: skip

    def __init__(
        self, host: CallHost, clock: Clock, notices: SparingLog, open_sessions: OpenSessions
    ) -> None:
        """`notices`: for lines about sockets that are not on a call; all of the transport share it."""
        self.socket = MediaWebSocket(clock, open_sessions.timers, self)
        self.call_id = ""
        """The platform's id of the call, once it was answered."""
        self._host = host
        self._notices = notices
        self._open = open_sessions
        self._closing: tuple[int, bytes] | None = None
        self._deadline: Timer | None = None
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
    async def report_end(self, code: int | None) -> None:
        """Tell the call, which was answered, that the platform's side has ended with this close code.

        1006 for a connection that just went, None if our side closed: then the core knows why.
        """

    # --- the socket --------------------------------------------------------------------------------

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Accept the upgrade (checked before). Returns at once, with what the handler is to return."""
        self._open.add(self)
        try:
            answer = await self.socket.accept(request)
        except BaseException:
            if not self._over:
                self._open.discard(self)
            raise
        if self.listener is None and not self._over:
            self._deadline = self._open.timers.call_later(START_DEADLINE_S * 1000, self._no_start)
        return answer

    def close(self, code: int = WSCloseCode.OK, reason: bytes = b"") -> None:
        """Close the socket from our side, soon. Idempotent, from anywhere on the event loop."""
        if not self._over:
            self._closing = (code, reason)
            self._end(int(WSCloseCode.OK))

    def finish(self) -> None:
        """The platform's last message was read: report the end and close, as if the platform had closed."""
        self._end(int(WSCloseCode.OK))

    def cut(self) -> None:
        """See `OpenSession`."""
        self._end(int(WSCloseCode.ABNORMAL_CLOSURE))

    def admit(self, call_id: str, take: Callable[[], Slot], *, shown: bool) -> Slot | None:
        """The slot for the call that this socket names; None if it is refused, and the socket closes.

        `take` gets the slot, and raises `TicketError` or `Refused`; `shown`: the socket had a ticket to show.
        """
        try:
            return take()
        except TicketError as error:
            kind = "bad_ticket" if shown else "no_ticket"
            self._host.count_bad_request(self.TRANSPORT, kind)
            message = "refused the %s socket of call %.64r: %s: %s"
            self._notices.warn(kind, message, self.TRANSPORT, call_id, kind, error)
            self.close(WSCloseCode.POLICY_VIOLATION, b"no valid ticket")
        except Refused as error:
            self._notices.warn("refused", "refused call %.64r: %s", call_id, error)
            self.close(WSCloseCode.TRY_AGAIN_LATER, b"busy")
        return None

    @contextmanager
    def answering(self, slot: Slot) -> Iterator[None]:
        """Around the core's answer: should that fail, the slot is free again and the socket closes."""
        try:
            yield
        except BaseException:
            slot.release()
            self.close(WSCloseCode.INTERNAL_ERROR, b"cannot answer")
            raise

    def started(self, call_id: str) -> None:
        """The call was answered: what was bad before belongs to it, and the deadline is off."""
        self.call_id = call_id
        self._off_deadline()
        call = self.listener
        assert call is not None
        for kind, count in self._bad.items():
            for _ in range(count):
                call.bad_message(kind)

    def bad(self, kind: str, detail: str) -> None:
        """Count something that was dropped; the first of a kind is logged. `kind` is a fixed word of ours.

        Sockets that have not named a call share one allowance of lines: anybody may open many of them.
        """
        if kind not in self._bad:
            message = "%s %.64s: %s: %s"
            if self.listener is not None:
                logger.warning(message, self.TRANSPORT, self.call_id, kind, detail)
            else:
                self._notices.warn(f"message {kind}", message, self.TRANSPORT, "?", kind, detail)
        self._count(kind)

    def guarded(self, step: Callable[[T], None], value: T) -> None:
        """`step(value)`; whatever it does to the core, the socket goes on. The one place that catches all."""
        try:
            step(value)
        except WireError as error:
            self.bad(error.kind, str(error).removeprefix(f"{error.kind}: "))
        except Exception:
            if "internal_error" not in self._bad:
                logger.exception("%s %.64s: a message failed", self.TRANSPORT, self.call_id or "?")
            self._count("internal_error")

    # --- told by the socket ------------------------------------------------------------------------

    def on_text(self, data: bytes) -> None:
        """See `transports.websocket.SocketUser`."""
        if self._over:
            return
        if len(data) <= MAX_MESSAGE_BYTES:
            self.guarded(self.receive, data)
        else:
            self.bad("too_long", f"{len(data)} bytes")

    def on_bad(self, kind: str, detail: str) -> None:
        """See `transports.websocket.SocketUser`."""
        if not self._over:
            self.bad(kind, detail)

    def on_dropped(self) -> None:
        """See `transports.websocket.SocketUser`. Counted while it happens, not once it is over."""
        self.bad(NOT_READ, "the peer does not read: what is sent to it is dropped")

    def on_end(self, code: int) -> None:
        """See `transports.websocket.SocketUser`."""
        self._end(code)

    # -----------------------------------------------------------------------------------------------

    def _count(self, kind: str) -> None:
        self._bad[kind] = self._bad.get(kind, 0) + 1
        call = self.listener
        if call is not None:
            call.bad_message(kind)
        elif sum(self._bad.values()) > MAX_BAD_BEFORE_START:
            self.close(WSCloseCode.POLICY_VIOLATION, b"no start")

    def _off_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _no_start(self) -> None:
        self._host.count_bad_request(self.TRANSPORT, "no_start")
        message = "%s: no_start: no valid start within %g s"
        self._notices.warn("no_start", message, self.TRANSPORT, START_DEADLINE_S)
        self.close(WSCloseCode.POLICY_VIOLATION, b"no start")

    def _end(self, code: int) -> None:
        """Begin the way down, once. `code`: the peer's, where it ended the socket."""
        if not self._over:
            self._over = True
            self._off_deadline()
            self._open.ending(self, self._tear_down(code))

    async def _tear_down(self, code: int) -> None:
        """The one way down: the call, then the socket. A server that stops passes here as well."""
        if self.listener is None:
            for kind, count in self._bad.items():
                for _ in range(count):
                    self._host.count_bad_request(self.TRANSPORT, kind)
        elif self._bad:
            logger.info("%s %.64s: dropped: %s", self.TRANSPORT, self.call_id, self._bad)
        try:
            if self.listener is not None:
                async with asyncio.timeout(TEARDOWN_DEADLINE_S):
                    await self.report_end(None if self._closing is not None else code)
        except TimeoutError:
            logger.warning("%s %.64s: the call did not end in time", self.TRANSPORT, self.call_id)
        finally:
            await self.socket.shut(*(self._closing or (WSCloseCode.OK, b"")), CLOSE_DEADLINE_S)
