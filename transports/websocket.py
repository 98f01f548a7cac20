"""A WebSocket for calls: messages in by plain calls, messages out without waiting, and no task.

aiohttp's own receive queue wakes a task per message and its send is a coroutine; at 50 messages a second and
call both cost more than the audio work, and what it keeps per socket is as much as a text call. So aiohttp
does the handshake and parses frames; this is the connection's protocol (`transports.upgrade`), text messages
are handed on straight from the parser, and frames are written straight to the transport.
`bench/websocket.py` compares both ways in one run.
"""

import asyncio
import logging
import struct
from typing import Protocol

from aiohttp import WebSocketError, WSCloseCode, WSMessage, WSMsgType, web
from aiohttp._websocket.models import WSMessageTextBytes
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.http import WebSocketReader

from agent.clock import Clock, Timer
from agent.coarse_timers import Timers
from transports.upgrade import Upgrade, Upgraded

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 64 * 1024
"""Longest message that is looked at. Platforms send 20 ms frames of some 300 bytes; longer than this is
dropped and counted, and the call goes on."""
_MAX_READ_BYTES = 4 * 1024 * 1024
"""Longest message that is read at all; beyond it the socket is closed with 1009."""
MAX_UNSENT_BYTES = 256 * 1024
"""What may wait in our send buffer for a peer that does not read: over 20 s of G.711 in base64."""
STALL_MS = 5_000
"""A peer whose buffer stays full this long is disconnected (pipecat 5796: 7.5 min of silence instead)."""
LOOK_MS = 10_000.0
"""Between looks at whether the peer has sent anything. After two silent ones it is pinged, and gone if the
third is silent too: a peer that is gone without a word is noticed within 30 s. Proxies cut idle connections
after 60 s (nginx `proxy_read_timeout`)."""
_SILENT_PING, _SILENT_GONE = 2, 3
_CLOSE_ANSWER_S = 1.0
"""Wait for the peer's half of the closing handshake."""


class SocketUser(Protocol):
    """Who is told of what comes over a socket: by plain calls on the event loop, which must not raise."""

    def on_text(self, data: bytes) -> None:
        """A text message."""

    def on_bad(self, kind: str, detail: str) -> None:
        """What no platform sends: `binary` messages (dropped), `websocket` for frames against RFC 6455, and
        `no_pong` for a peer that has fallen silent (both end the socket)."""

    def on_dropped(self) -> None:
        """A message of ours was dropped because the peer does not read."""

    def on_end(self, code: int) -> None:
        """The socket is over: the code of the peer's close frame, 1006 if it went without one. Called once,
        whichever side ended it. Call `shut`."""


class _Inbox(WebSocketDataQueue):
    """Where the parser puts messages: handed on at once. It holds nothing, so its parent is not set up."""

    __slots__ = ("_socket",)

    def __init__(self, socket: "MediaWebSocket") -> None:
        self._socket = socket

    def feed_data(self, data: WSMessage | WSMessageTextBytes, size: int) -> None:
        if data.type is WSMsgType.TEXT:
            self._socket.user.on_text(data.data)
        else:
            self._socket.control(data)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """A frame that is none."""
        self._socket.broken(exc)

    def feed_eof(self) -> None:
        """The connection tells its protocol of its end."""


class MediaWebSocket(Upgraded):
    """A server-side WebSocket. `await accept(request)` it; after `SocketUser.on_end`, `await shut()`.

    Sends never block.
    """

    __slots__ = (
        "_blocked_since_ms", "_clock", "_closing", "_code", "_gone", "_look", "_reader", "_silent", "_timers",
        "_transport", "dropped_sends", "user",
    )  # fmt: skip

    def __init__(self, clock: Clock, timers: Timers, user: SocketUser) -> None:
        """`timers`: for looking after the peer, which is nothing urgent."""
        self.user = user
        self._clock = clock
        self._timers = timers
        self._transport: asyncio.Transport | None = None
        self._reader: WebSocketReader | None = None
        self._look: Timer | None = None
        self._silent = 0
        self._blocked_since_ms: float | None = None
        self._closing = False  # a close frame was sent
        self._code: int | None = None
        self._gone: asyncio.Future[None] | None = None
        self.dropped_sends = 0
        """Messages not sent because the peer did not read."""

    async def accept(self, request: web.Request) -> web.StreamResponse:
        """Do the handshake. The handler returns what this returns, at once.

        Raises aiohttp's `HTTPBadRequest` for a request that is no upgrade, `ConnectionError` for a peer that
        has gone; then no method of the user is called.
        """
        answer = Upgrade(self)
        await answer.prepare(request)
        return answer

    # --- the connection ----------------------------------------------------------------------------

    def taken(self, transport: asyncio.Transport) -> WebSocketReader:
        """See `Upgraded`."""
        self._transport = transport
        self._look_later()
        self._reader = WebSocketReader(_Inbox(self), _MAX_READ_BYTES, compress=False, decode_text=False)
        return self._reader

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._silent = 0
        if self._reader is not None:
            self._reader.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._transport = self._reader = None
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
        self._end(int(WSCloseCode.ABNORMAL_CLOSURE))

    # --- what the parser finds ---------------------------------------------------------------------

    def control(self, message: WSMessage | WSMessageTextBytes) -> None:
        """Anything but a text."""
        match message.type:
            case WSMsgType.PING:
                self._write(WSMsgType.PONG, bytes(message.data))
            case WSMsgType.PONG:
                pass  # that something came is all it says
            case WSMsgType.CLOSE:
                # A close frame without a code is a goodbye too (RFC 6455 7.1.5).
                self._answer_close(int(message.data or WSCloseCode.OK))
            case _:
                self.user.on_bad("binary", f"a {message.type.name} message")

    def broken(self, error: BaseException) -> None:
        """Frames against RFC 6455, or too long: nothing that follows can be understood."""
        code = int(error.code) if isinstance(error, WebSocketError) else int(WSCloseCode.INTERNAL_ERROR)
        self.user.on_bad("websocket", f"{code} {error}")
        self._close_frame(code, b"")
        if self._transport is not None:
            self._transport.close()
        self._end(int(WSCloseCode.ABNORMAL_CLOSURE))

    def _answer_close(self, code: int) -> None:
        self._close_frame(int(WSCloseCode.OK), b"")
        if self._transport is not None:
            self._transport.close()
        self._end(code)

    def _end(self, code: int) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if self._code is None:
            self._code = code
            self.user.on_end(code)

    # --- sending -----------------------------------------------------------------------------------

    def send_text(self, message: bytes) -> bool:
        """Write one text message. False if it was dropped because the peer is gone or does not read."""
        transport = self._transport
        if transport is None or self._closing or transport.is_closing():
            return False
        if transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.dropped_sends += 1
            self.user.on_dropped()
            self._note_blocked()
            return False
        self._blocked_since_ms = None
        size = len(message)
        # RFC 6455 5.2: FIN + text, server frames are not masked.
        if size < 126:
            header = bytes((0x81, size))
        elif size < 65536:
            header = struct.pack("!BBH", 0x81, 126, size)
        else:
            header = struct.pack("!BBQ", 0x81, 127, size)
        transport.write(header + message)
        return True

    async def shut(self, code: int, reason: bytes, deadline_s: float) -> None:
        """Close with a handshake if the peer takes part in it; cut the connection if not. Idempotent.

        Returns within `deadline_s`. What the peer has not read by then is thrown away: a transport that is
        closed with unsent bytes would keep them, and its file descriptor, for as long as the peer likes.
        """
        if self._transport is None:
            return
        self._close_frame(code, reason)
        if self._gone is None:
            self._gone = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait((self._gone,), timeout=min(deadline_s, _CLOSE_ANSWER_S))
        finally:
            if not self._gone.done():
                # The peer takes no part, or does not even read the close frame.
                self.abort()

    def abort(self) -> None:
        """Cut the connection without a closing handshake."""
        if self._transport is not None:
            self._transport.abort()

    def _close_frame(self, code: int, reason: bytes) -> None:
        if not self._closing:
            self._write(WSMsgType.CLOSE, code.to_bytes(2, "big") + reason)
            self._closing = True

    def _write(self, kind: WSMsgType, payload: bytes) -> None:
        """A control frame: at most 125 bytes (RFC 6455 5.5)."""
        transport = self._transport
        if transport is None or self._closing or transport.is_closing():
            return
        if transport.get_write_buffer_size() <= MAX_UNSENT_BYTES or kind is WSMsgType.CLOSE:
            transport.write(bytes((0x80 | kind, len(payload))) + payload)

    def _note_blocked(self) -> None:
        now_ms = self._clock.now_ms()
        if self._blocked_since_ms is None:
            self._blocked_since_ms = now_ms
        elif now_ms - self._blocked_since_ms > STALL_MS:
            logger.warning("peer has not read for %d ms: disconnecting", STALL_MS)
            self.abort()

    # --- a peer that is gone without a word --------------------------------------------------------

    def _look_later(self) -> None:
        self._look = self._timers.call_later(LOOK_MS, self._look_after)

    def _look_after(self) -> None:
        self._silent += 1
        if self._silent >= _SILENT_GONE:
            self.user.on_bad("no_pong", "no answer to a ping")
            self._end(int(WSCloseCode.ABNORMAL_CLOSURE))
            return
        if self._silent == _SILENT_PING:
            self._write(WSMsgType.PING, b"")
        self._look_later()
