"""A WebSocket for media: messages in by plain calls, messages out without waiting.

aiohttp accepts the upgrade and parses frames. Its receive queue wakes a task per message and its send is a
coroutine; at 50 messages a second and call both cost more than the audio work. So text messages are handed
to a callback straight from the parser, and frames are written straight to the transport.
`bench/websocket.py` compares both ways in one run.
"""

import asyncio
import logging
import struct
from collections.abc import Callable

from aiohttp import WebSocketError, WSCloseCode, WSMessage, WSMsgType, web
from aiohttp._websocket.models import WSMessageTextBytes
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp._websocket.writer import WebSocketWriter
from aiohttp.http import WebSocketReader
from aiohttp.web_protocol import RequestHandler

from agent.clock import Clock

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
PING_S = 20.0
"""A ping after this long without a message, and half of it for the pong: a peer that is gone without a word
is noticed within 30 s. Proxies cut idle connections after 60 s (nginx `proxy_read_timeout`)."""
_CLOSE_ANSWER_S = 1.0
"""Wait for the peer's half of the closing handshake."""


class _DirectQueue(WebSocketDataQueue):
    """Hands text messages to `on_text` from within the parser; everything else goes the usual way."""

    def __init__(self, protocol: RequestHandler, limit: int, on_text: Callable[[bytes], None]) -> None:
        super().__init__(protocol, limit, loop=asyncio.get_running_loop())
        self._on_text = on_text

    def feed_data(self, data: WSMessage | WSMessageTextBytes, size: int) -> None:
        if data.type is WSMsgType.TEXT:
            self._on_text(data.data)
        else:
            super().feed_data(data, size)


class MediaWebSocket(web.WebSocketResponse):
    """A server-side WebSocket whose text messages arrive at `on_text` and whose sends never block.

    `on_text` is called synchronously with each message's bytes and must not raise; `on_dropped` neither, for
    each message of ours that was dropped because the peer does not read.
    `await run()` returns when the socket is closed by either side; `await shut()` afterwards, in any case.
    """

    def __init__(
        self, clock: Clock, on_text: Callable[[bytes], None], on_dropped: Callable[[], None] | None = None
    ) -> None:
        super().__init__(
            compress=False,
            max_msg_size=_MAX_READ_BYTES,
            decode_text=False,
            heartbeat=PING_S,
            timeout=_CLOSE_ANSWER_S,
        )
        self._clock = clock
        self._on_text = on_text
        self._on_dropped = on_dropped
        # Kept: before Python 3.12 each `get_running_loop` is a system call.
        self._now_s = asyncio.get_running_loop().time
        self._blocked_since_ms: float | None = None
        self.dropped_sends = 0
        """Messages not sent because the peer did not read."""

    def _post_start(self, request: web.BaseRequest, protocol: str | None, writer: WebSocketWriter) -> None:
        # As aiohttp does it, with our queue: a protocol takes one parser only, it cannot be replaced later.
        self._ws_protocol = protocol
        self._writer = writer
        self._reset_heartbeat()
        self._reader = _DirectQueue(request.protocol, 2**16, self._on_text)
        self._parser = WebSocketReader(self._reader, _MAX_READ_BYTES, compress=False, decode_text=False)
        request.protocol.set_parser(self._parser, data_received_cb=self._on_data_received)
        request.protocol.keep_alive(False)

    def _on_data_received(self) -> None:
        # aiohttp's own way is a `call_soon` for each piece of data, and with it one more turn of the event
        # loop and its system call per frame. Its timer, when it fires early, looks at the time set here.
        if self._heartbeat_cb is not None:
            self._heartbeat_when = self._now_s() + PING_S
        elif not self.closed:
            self._reset_heartbeat()  # a ping was sent, and this answers it

    async def run(self, on_bad: Callable[[str, str], None]) -> int:
        """Answer pings and wait for the end. May be cancelled; may then be called again.

        Returns the code of the peer's close frame, or 1006 if the connection went without one: aiohttp's own
        `close_code` says 1000 for a bare end of file, as if the peer had said goodbye.
        `on_bad(kind, detail)` hears of what no platform sends: `binary` messages (dropped), `websocket` for
        frames against RFC 6455 and `no_pong` for a peer that has fallen silent (both end the socket).
        """
        while True:
            message = await self.receive()
            match message.type:
                case WSMsgType.CLOSE:
                    # A close frame without a code is a goodbye too (RFC 6455 7.1.5).
                    return int(message.data or WSCloseCode.OK)
                case WSMsgType.CLOSING | WSMsgType.CLOSED:
                    return int(WSCloseCode.ABNORMAL_CLOSURE)
                case WSMsgType.ERROR:
                    on_bad(*_complaint(message.data))
                    return int(WSCloseCode.ABNORMAL_CLOSURE)
                case _:
                    on_bad("binary", f"a {message.type.name} message")

    def send_text(self, message: bytes) -> bool:
        """Write one text message. False if it was dropped because the peer is gone or does not read."""
        writer = self._writer
        transport = None if writer is None else writer.transport
        if transport is None or transport.is_closing() or self.closed:
            return False
        if transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.dropped_sends += 1
            if self._on_dropped is not None:
                self._on_dropped()
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
        try:
            async with asyncio.timeout(deadline_s):
                await self.close(code=code, message=reason)
        except TimeoutError:
            # The peer does not even read the close frame.
            self.abort()
        writer = self._writer
        if writer is not None and writer.transport is not None and writer.transport.get_write_buffer_size():
            self.abort()

    def abort(self) -> None:
        """Cut the connection without a closing handshake."""
        if self._writer is not None and self._writer.transport is not None:
            self._writer.transport.abort()

    def _note_blocked(self) -> None:
        now_ms = self._clock.now_ms()
        if self._blocked_since_ms is None:
            self._blocked_since_ms = now_ms
        elif now_ms - self._blocked_since_ms > STALL_MS:
            logger.warning("peer has not read for %d ms: disconnecting", STALL_MS)
            self.abort()


def _complaint(error: object) -> tuple[str, str]:
    """Kind and detail of an error that ended the socket."""
    if isinstance(error, TimeoutError):
        return "no_pong", "no answer to a ping"
    if isinstance(error, WebSocketError):
        return "websocket", f"{int(error.code)} {error}"
    return "websocket", type(error).__name__
