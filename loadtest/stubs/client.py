"""The server's end of a stub connection: exchanges told apart by their stream number."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

from agent.errors import ConfigError, ProviderUnavailable, WireError
from loadtest.stubs import frames
from loadtest.stubs.frames import Frame, FrameReader, encode

CONNECT_TIMEOUT_S = 3.0
MAX_WAITING = 4096
"""Frames of one exchange that nobody has read: more than any stub answers."""
MAX_UNSENT_BYTES = 256 * 1024
"""What may wait for a stub that does not read; recognition then loses audio instead of growing."""


class Exchange:
    """One request and its answers, in order."""

    __slots__ = ("_bodies", "_connection", "_loop", "_over", "_stream", "_waiter")

    def __init__(self, connection: "StubConnection", stream: int) -> None:
        self._connection = connection
        self._stream = stream
        self._bodies: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        # Kept: before Python 3.12 each `get_running_loop` is a system call.
        self._loop = asyncio.get_running_loop()
        self._over = False

    def take(self, frame: Frame) -> None:
        """A frame came."""
        if frame.kind == frames.DONE or len(self._bodies) >= MAX_WAITING:
            self._over = True
        else:
            self._bodies.append(frame.body)
        self._wake()

    def lost(self) -> None:
        """The connection went."""
        self._wake()

    async def next(self) -> bytes | None:
        """The next answer; None at the end. Raises `ProviderUnavailable`. The chain bounds the wait."""
        while not self._bodies:
            if self._over:
                return None
            if self._connection.closed:
                raise ProviderUnavailable("stub", "the connection was lost")
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._bodies.popleft()

    def close(self) -> None:
        """No more answers are wanted."""
        self._connection.forget(self._stream, cancel=not self._over)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class StubConnection(asyncio.Protocol):
    """One TCP connection. `on_frame` gets what belongs to no exchange; `on_lost` is called once."""

    def __init__(
        self,
        on_frame: Callable[[Frame], None] = lambda _: None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.closed = False
        self.dropped = 0
        """Frames not sent."""
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._exchanges: dict[int, Exchange] = {}
        self._streams = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asserted: uvloop's transports do not derive from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        known, self.closed = self.closed, True
        for exchange in self._exchanges.values():
            exchange.lost()
        if not known:
            self._on_lost()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.feed(data):
                exchange = self._exchanges.get(frame.stream)
                if exchange is not None:
                    exchange.take(frame)
                else:
                    self._on_frame(frame)
        except WireError:
            assert self._transport is not None
            self._transport.abort()

    def write(self, kind: int, body: bytes = b"", stream: int = 0) -> None:
        """Send a frame. Dropped when closed, or when the stub does not read."""
        transport = self._transport
        if not self.closed and transport is not None and transport.get_write_buffer_size() < MAX_UNSENT_BYTES:
            transport.write(encode(kind, stream, body))
        else:
            self.dropped += 1

    @asynccontextmanager
    async def exchange(self, kind: int, body: bytes) -> AsyncIterator[Exchange]:
        """Ask, and hand out the answers; cancelled at the stub if left early."""
        self._streams += 1
        exchange = self._exchanges[self._streams] = Exchange(self, self._streams)
        self.write(kind, body, self._streams)
        try:
            yield exchange
        finally:
            exchange.close()

    def forget(self, stream: int, *, cancel: bool) -> None:
        """An exchange is over."""
        self._exchanges.pop(stream, None)
        if cancel:
            self.write(frames.CANCEL, stream=stream)

    def close(self) -> None:
        """Close without telling. Idempotent."""
        self.closed = True
        if self._transport is not None:
            self._transport.close()


class StubLink:
    """A shared connection, opened when first needed and again after it was lost."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.address = address_of(options)
        self._connection: StubConnection | None = None
        self._opening = asyncio.Lock()

    async def get(self) -> StubConnection:
        """The connection. Raises `ProviderUnavailable`."""
        if self._connection is None or self._connection.closed:
            async with self._opening:
                if self._connection is None or self._connection.closed:
                    self._connection = await connect(self.address, StubConnection())
        return self._connection

    def close(self) -> None:
        """Idempotent."""
        if self._connection is not None:
            self._connection.close()


async def connect(address: tuple[str, int], connection: StubConnection) -> StubConnection:
    """Open a connection. Raises `ProviderUnavailable`."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await loop.create_connection(lambda: connection, *address)
    except (TimeoutError, OSError) as error:
        raise ProviderUnavailable("stub", f"no stub at {address[0]}:{address[1]}: {error}") from None
    return connection


def address_of(options: Mapping[str, Any]) -> tuple[str, int]:
    """The option `address`, `host:port`. Raises `ConfigError`."""
    host, _, port = str(options.get("address", "")).rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(
            "stub: give `address: host:port` of `python -m loadtest.stubs.server`, or `inprocess: true`"
        )
    return host, int(port)
