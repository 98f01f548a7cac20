"""WebSockets to vendors: plain synchronous sends, messages by callback.

`VendorSocket` is the `websockets` client with two changes. Messages go to a callback straight from the parser
instead of through a queue that wakes a task, and sends are plain calls that never wait: a frame of a call may
not create a task (measured in one process on uvloop: 2.0 us a message as here, 6.0 us as a task each).
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import Event, State

from agent.clock import Clock
from agent.errors import ProviderError, ProviderRejected, ProviderTimeout, ProviderUnavailable

MAX_UNSENT_BYTES = 256 * 1024
"""What may wait in a send buffer for a vendor that does not read; beyond it messages are dropped."""
MAX_MESSAGE_BYTES = 1024 * 1024
"""Longest message that is taken from a vendor: over a minute of G.711 in base64."""
CONNECT_MS = 3_000.0
"""Bound on name resolution, TCP, TLS and upgrade together. The slowest published figure is some 200 ms."""
PING_S = 10.0
PONG_S = 5.0
"""A peer that has not answered a ping for this long is gone: a dead socket is found within 15 s even if
nobody uses it."""
CLOSE_S = 0.4
"""Bound on the closing handshake: afterwards the connection is cut. Twice that and a vendor's own goodbye
have room in what a chain gives its providers to close (`agent.chains.CLOSE_MS`)."""
MAX_EARLY = 8
"""Messages kept that came before somebody listened: a vendor's greeting, or its reason to refuse."""
HIDDEN = "***"
_PROBLEM_CHARS = 300


@dataclass(slots=True)
class ConnectStats:
    """How a provider's connections did: connect time is kept apart from the wait for an answer."""

    opened: int = 0
    failed: int = 0
    reused: int = 0
    """Uses served by a connection that was open already."""
    lost: int = 0
    """Closed by the vendor or the network while in use or kept warm."""
    connect_ms: float = 0.0
    """All connect times together: divide by `opened`."""
    last_connect_ms: float = 0.0
    slowest_connect_ms: float = 0.0
    dropped_sends: int = 0
    """Messages not sent since the vendor did not read, of all sockets that are closed."""

    def connected(self, took_ms: float) -> None:
        """One more was opened."""
        self.opened += 1
        self.connect_ms += took_ms
        self.last_connect_ms = took_ms
        self.slowest_connect_ms = max(self.slowest_connect_ms, took_ms)


class MessageHandler(Protocol):
    """Who hears a `VendorSocket`. Both are called from within the parser and must not raise."""

    def message(self, data: bytes, *, text: bool) -> None:
        """One whole message."""

    def closed(self, code: int | None, reason: str) -> None:
        """The connection is gone: the close frame's code and reason. Without one the code is None
        and the reason is why we cut it ourselves (no answer to a ping), if we did."""


class VendorSocket(ClientConnection):
    """An open WebSocket. Made by `Dialer.open_socket`; messages go to the handler given to `listen`."""

    dropped_sends = 0
    """Messages not sent since the vendor did not read."""
    received = 0
    """Messages that came in."""
    _handler: MessageHandler | None = None
    _early: tuple[tuple[bytes, bool], ...] = ()

    def listen(self, handler: MessageHandler) -> None:
        """Hear what comes from here on, and what came in the same packet as the vendor's answer.

        If the connection is gone already, `handler.closed` follows on the next turn of the event loop.
        """
        self._handler = handler
        early, self._early = self._early, ()
        for data, text in early:
            handler.message(data, text=text)
        if self.protocol.state is State.CLOSED:
            self.loop.call_soon(self._tell_closed)

    def process_event(self, event: Event) -> None:
        """As the library's, with data handed to `handler` instead of queued."""
        if self.response is None or not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        if event.opcode is not Opcode.CONT:
            self._text = event.opcode is Opcode.TEXT
            if event.fin:
                self._deliver(bytes(event.data))
                return
            self._parts = bytearray()
        self._parts += event.data
        if event.fin:
            self._deliver(bytes(self._parts))

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        super().connection_lost(exc)
        self._tell_closed()

    @property
    def is_open(self) -> bool:
        """Messages can be sent."""
        return self.protocol.state is State.OPEN and not self.transport.is_closing()

    def send_binary(self, data: bytes) -> bool:
        """Send without waiting. False if it was dropped: the socket is closed or the peer does not read."""
        if not self._may_send():
            return False
        self.protocol.send_binary(data)
        self.send_data()
        return True

    def send_json(self, data: bytes) -> bool:
        """The same for a text message, already encoded."""
        if not self._may_send():
            return False
        self.protocol.send_text(data)
        self.send_data()
        return True

    def abort(self) -> None:
        """Cut the connection. `closed` follows on the next turn of the event loop."""
        self.transport.abort()

    async def shut(self) -> None:
        """Close in order, within `2 * CLOSE_S`; the handler hears nothing more. Idempotent."""
        self._handler = None
        try:
            async with asyncio.timeout(2 * CLOSE_S):
                await self.close()
        except TimeoutError:
            self.transport.abort()

    def _may_send(self) -> bool:
        if not self.is_open:
            return False
        if self.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.dropped_sends += 1
            return False
        return True

    def _deliver(self, data: bytes) -> None:
        self.received += 1
        if self._handler is not None:
            self._handler.message(data, text=self._text)
        elif self.received <= MAX_EARLY:
            self._early += ((data, self._text),)

    def _tell_closed(self) -> None:
        handler, self._handler = self._handler, None
        if handler is not None:
            received, sent = self.protocol.close_rcvd, self.protocol.close_sent
            if received is not None:
                handler.closed(received.code, received.reason)
            else:
                handler.closed(None, sent.reason if sent is not None else "")


class Dialer:
    """Opens sockets to one vendor and says in the provider's own words what went wrong.

    The TLS context is made once: loading the certificates costs tens of milliseconds of CPU.
    """

    def __init__(
        self, provider: str, key_name: str, clock: Clock, stats: ConnectStats, key: str | None = None
    ) -> None:
        """`key` is hidden in what the vendor says: some repeat it."""
        self.provider = provider
        self.stats = stats
        self._key_name = key_name
        self._key = key
        self._clock = clock
        self._tls: ssl.SSLContext | None = None

    async def open_socket(self, url: str, headers: Mapping[str, str]) -> VendorSocket:
        """Connect. Raises `ProviderError`. Cancelling is safe. Somebody has to `listen`."""
        began_ms = self._clock.now_ms()
        try:
            socket = await connect(
                url,
                additional_headers=dict(headers),
                create_connection=VendorSocket,
                compression=None,  # audio does not shrink, and base64 of it costs more CPU than it saves
                max_size=MAX_MESSAGE_BYTES,
                open_timeout=CONNECT_MS / 1000,
                ping_interval=PING_S,
                ping_timeout=PONG_S,
                close_timeout=CLOSE_S,
                proxy=None if _is_local(url) else True,
                ssl=self._context(url),
            )
        except InvalidStatus as error:
            self.stats.failed += 1
            body = bytes(error.response.body or b"")
            detail = error.response.headers.get("dg-error") or body.decode("utf-8", "replace")
            raise self.refused(error.response.status_code, detail) from None
        except InvalidURI as error:
            self.stats.failed += 1
            raise ProviderRejected(self.provider, f"base_url is no WebSocket address: {error}") from None
        except TimeoutError:
            self.stats.failed += 1
            raise ProviderTimeout(self.provider, f"no connection within {CONNECT_MS:.0f} ms") from None
        except (OSError, InvalidHandshake, EOFError) as error:
            self.stats.failed += 1
            raise ProviderUnavailable(
                self.provider, f"cannot connect: {error or type(error).__name__}"
            ) from None
        assert isinstance(socket, VendorSocket)
        self.stats.connected(self._clock.now_ms() - began_ms)
        return socket

    def refused(self, status: int, detail: str) -> ProviderError:
        """The error for an HTTP status, as at an upgrade or inside a vendor's error message."""
        said = f"{status} {hidden(' '.join(detail.split()), self._key)[:_PROBLEM_CHARS]}".strip()
        if status in (401, 403):
            return ProviderRejected(self.provider, f"{said}: check {self._key_name}")
        if status == 402:
            return ProviderRejected(self.provider, f"{said}: out of credit, top up the account")
        if status == 429:
            return ProviderUnavailable(self.provider, f"{said}: too many at once, raise the plan's limit")
        if 400 <= status < 500:
            return ProviderRejected(self.provider, f"{said}: check this provider's options in the agent file")
        return ProviderUnavailable(self.provider, f"{said}: the service is in trouble")

    def _context(self, url: str) -> ssl.SSLContext | None:
        if not url.startswith("wss:"):
            return None
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


def hidden(text: str, key: str | None) -> str:
    """`text`, for logs, with the key taken out."""
    return text.replace(key, HIDDEN) if key else text


def websocket_base(url: str) -> str:
    """`wss://host` for `https://host`, and the other way of writing it; no slash at the end."""
    text = url.rstrip("/")
    return "ws" + text.removeprefix("http") if text.startswith("http") else text


def _is_local(url: str) -> bool:
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
