"""One caller's WebSocket on a bare non-blocking socket.

No transport, queue or task per call: a frame is one `send` system call at the moment when it is due, which is
what makes the pacing error small and known. (`bench/callers.py` compares the ways of sending.)
"""

import asyncio
import secrets
import socket
import ssl
import struct
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agent.errors import WireError
from loadtest.bulk.frames import CLOSE, PING, PONG, TEXT, FrameParser, client_frame
from loadtest.bulk.tls import TlsChannel
from loadtest.callers.errors import CallRefused, Unreachable
from loadtest.callers.wire import OPEN_TIMEOUT_S

_READ_BYTES = 256 * 1024
_MAX_HEAD_BYTES = 16 * 1024
MAX_UNSENT_BYTES = 64 * 1024
"""What may wait for a server that does not read: three seconds of frames. Beyond it frames are lost."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server's public port."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    """For a server behind TLS."""


class CallSocket(Protocol):
    """What a fleet needs of a call's connection, whatever it is made of."""

    blocked: int
    lost: int
    closed: bool

    def send(self, frame: bytes) -> None:
        """Send what the call made, now. Does nothing once closed."""

    def close(self) -> None:
        """Hang up. Idempotent."""

    def cut(self) -> None:
        """Go without a word. Idempotent."""


class BulkSocket:
    """An open WebSocket. `on_text` gets each text message; `on_closed` the close code, once (1006: it just
    went)."""

    def __init__(
        self,
        sock: socket.socket,
        on_text: Callable[[bytes], None],
        on_closed: Callable[[int], None],
        tls: TlsChannel | None = None,
    ) -> None:
        self.blocked = 0
        """Sends that found the server's receive window full."""
        self.lost = 0
        """Frames dropped since the server did not read at all."""
        self.closed = False
        self._sock = sock
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._parser = FrameParser()
        self._on_text = on_text
        self._on_closed = on_closed
        self._unsent = b""
        self._loop.add_reader(sock.fileno(), self._readable)

    def send(self, frame: bytes) -> None:
        """Send a frame of `client_frame`, now. Does nothing once closed."""
        if self.closed:
            return
        if len(self._unsent) >= MAX_UNSENT_BYTES:
            # Before it is encrypted: a record that is missing would break those behind it.
            self.lost += 1
            return
        self._send_raw(frame if self._tls is None else self._tls.encrypt(frame))

    def _send_raw(self, data: bytes) -> None:
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._end(1006)
            return
        if sent < len(data):
            self.blocked += 1
            self._unsent = data[sent:]
            self._loop.add_writer(self._sock.fileno(), self._writable)

    def received(self, data: bytes) -> None:
        """What the server sent: also what came right behind its handshake. Not encrypted any more."""
        try:
            frames = self._parser.feed(data)
        except WireError:
            self._end(1002)
            return
        for opcode, payload in frames:
            if opcode == TEXT:
                self._on_text(payload)
            elif opcode == PING:
                self.send(client_frame(payload, PONG))
            elif opcode == CLOSE:
                self.send(client_frame(payload[:2], CLOSE))
                self._end(int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005)
            if self.closed:
                return

    def close(self) -> None:
        """Send a close frame and go. Idempotent; `on_closed` is not called."""
        self._on_closed = lambda _: None
        self.send(client_frame((1000).to_bytes(2, "big"), CLOSE))
        self._end(1000)

    def cut(self) -> None:
        """Reset the connection without a word, as a network that fails. Idempotent; no `on_closed`."""
        self._on_closed = lambda _: None
        if not self.closed:
            # Linger of 0 s: RST instead of FIN.
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._end(1006)

    def _readable(self) -> None:
        try:
            data = self._sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(1006)
        elif self._tls is None:
            self.received(data)
        else:
            self._decrypt(self._tls, data)

    def _decrypt(self, tls: TlsChannel, data: bytes) -> None:
        try:
            plain = tls.decrypt(data)
        except ssl.SSLError:
            self._end(1006)
            return
        if pending := tls.pending():
            self._send_raw(pending)
        if plain and not self.closed:
            self.received(plain)

    def _writable(self) -> None:
        try:
            sent = self._sock.send(self._unsent)
        except BlockingIOError:
            return
        except OSError:
            self._end(1006)
            return
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._loop.remove_writer(self._sock.fileno())

    def _end(self, code: int) -> None:
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        self._on_closed(code)


async def open_socket(
    host: str,
    port: int,
    path: str,
    on_text: Callable[[bytes], None],
    on_closed: Callable[[int], None],
    tls: ssl.SSLContext | None = None,
) -> BulkSocket:
    """Connect and shake hands, over TLS with a context. Raises `Unreachable` or `CallRefused`.

    Nothing arrives before it returns.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            await asyncio.get_running_loop().sock_connect(sock, (host, port))
            channel = None if tls is None else await _secured(sock, TlsChannel(tls, host))
            rest = await _shake_hands(sock, host, port, path, channel)
    except (TimeoutError, OSError) as error:
        sock.close()
        scheme = "ws" if tls is None else "wss"
        raise Unreachable(f"cannot open {scheme}://{host}:{port}{path}: {error or 'timed out'}") from None
    except BaseException:
        sock.close()
        raise
    opened = BulkSocket(sock, on_text, on_closed, channel)
    if rest:
        asyncio.get_running_loop().call_soon(opened.received, rest)
    return opened


async def _secured(sock: socket.socket, channel: TlsChannel) -> TlsChannel:
    """The handshake of TLS. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    out, done = channel.shake()
    while True:
        if out:
            await loop.sock_sendall(sock, out)
        if done:
            return channel
        more = await loop.sock_recv(sock, _READ_BYTES)
        if not more:
            raise ConnectionResetError("the server closed during the TLS handshake")
        out, done = channel.shake(more)


async def _shake_hands(
    sock: socket.socket, host: str, port: int, path: str, channel: TlsChannel | None
) -> bytes:
    """RFC 6455 section 4.1. Returns what came behind the answer's head."""
    loop = asyncio.get_running_loop()
    key = b64encode(secrets.token_bytes(16)).decode()
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    asked = request.encode()
    await loop.sock_sendall(sock, asked if channel is None else channel.encrypt(asked))
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = await loop.sock_recv(sock, 4096)
        if not more or len(answer) > _MAX_HEAD_BYTES:
            raise CallRefused(f"the server at {host}:{port} closed during the handshake")
        answer += more if channel is None else channel.decrypt(more)
    head, _, rest = answer.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    if status != [b"101"]:
        scheme = "ws" if channel is None else "wss"
        raise CallRefused(f"{scheme}://{host}:{port}{path} was refused with HTTP {b''.join(status).decode()}")
    return rest
