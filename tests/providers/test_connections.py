"""Vendor sockets: sends that never wait, messages by callback."""

import asyncio
import struct
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve

from agent.clock import LoopClock
from agent.errors import ProviderRejected, ProviderTimeout, ProviderUnavailable
from providers import connections
from providers.connections import ConnectStats, Dialer, VendorSocket, websocket_base


class Vendor:
    """Echoes, remembers, and does what a message tells it to."""

    def __init__(self) -> None:
        self.received: list[str | bytes] = []
        self.greeting = ""
        self.gone = asyncio.Event()

    async def __call__(self, connection: ServerConnection) -> None:
        if self.greeting:
            await connection.send(self.greeting)
        try:
            async for message in connection:
                self.received.append(message)
                if message == "close":
                    await connection.close(1011, "NET-0001: silence")
                elif message == "cut":
                    connection.transport.abort()
                elif message == "pieces":
                    await connection.send(iter(["one ", "two ", "three"]))
                else:
                    await connection.send(message)
        finally:
            self.gone.set()


class Handler:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, bool]] = []
        self.ends: list[tuple[int | None, str]] = []
        self._news = asyncio.Event()

    def message(self, data: bytes, *, text: bool) -> None:
        self.messages.append((data, text))
        self._news.set()

    def closed(self, code: int | None, reason: str) -> None:
        self.ends.append((code, reason))
        self._news.set()

    async def until(self, messages: int = 0, ends: int = 0) -> None:
        async with asyncio.timeout(20):
            while len(self.messages) < messages or len(self.ends) < ends:
                self._news.clear()
                await self._news.wait()


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
async def server(vendor: Vendor) -> AsyncIterator[Server]:
    async with serve(vendor, "127.0.0.1", 0, compression=None) as running:
        yield running


def url_of(server: Server) -> str:
    return f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def dialer() -> Dialer:
    return Dialer("vendor", "VENDOR_KEY", LoopClock(), ConnectStats())


async def connected(server: Server) -> tuple[VendorSocket, Handler]:
    socket, handler = await dialer().open_socket(url_of(server), {}), Handler()
    socket.listen(handler)
    return socket, handler


async def test_messages_go_out_and_come_in_without_a_wait(server: Server, vendor: Vendor) -> None:
    socket, handler = await connected(server)
    assert socket.send_binary(b"\x00\x01")
    assert socket.send_json(b'{"a":1}')
    await handler.until(messages=2)
    assert handler.messages == [(b"\x00\x01", False), (b'{"a":1}', True)]
    assert vendor.received == [b"\x00\x01", '{"a":1}']
    assert socket.received == 2
    await socket.shut()
    assert handler.ends == []


async def test_a_message_in_pieces_comes_whole(server: Server) -> None:
    socket, handler = await connected(server)
    socket.send_json(b"pieces")
    await handler.until(messages=1)
    assert handler.messages == [(b"one two three", True)]
    await socket.shut()


async def test_the_vendor_s_close_is_told_with_its_reason(server: Server) -> None:
    socket, handler = await connected(server)
    socket.send_json(b"close")
    await handler.until(ends=1)
    assert handler.ends == [(1011, "NET-0001: silence")]
    assert not socket.is_open
    assert not socket.send_binary(b"\x00")
    assert not socket.send_json(b"{}")
    await socket.shut()


async def test_a_cut_connection_has_no_code(server: Server) -> None:
    socket, handler = await connected(server)
    socket.send_json(b"cut")
    await handler.until(ends=1)
    assert handler.ends == [(None, "")]
    await socket.shut()


async def test_a_greeting_that_came_with_the_upgrade_is_not_lost(server: Server, vendor: Vendor) -> None:
    vendor.greeting = "Connected"
    socket = await dialer().open_socket(url_of(server), {})
    await asyncio.sleep(0.05)
    handler = Handler()
    socket.listen(handler)
    assert handler.messages == [(b"Connected", True)]
    await socket.shut()


async def test_who_listens_to_a_dead_socket_is_told(server: Server) -> None:
    socket = await dialer().open_socket(url_of(server), {})
    socket.send_json(b"close")
    await socket.wait_closed()
    handler = Handler()
    socket.listen(handler)
    assert handler.ends == []
    await handler.until(ends=1)
    assert handler.ends == [(1011, "NET-0001: silence")]


async def test_a_peer_that_answers_no_ping_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PING_S", 0.05)
    monkeypatch.setattr(connections, "PONG_S", 0.05)

    async def deaf(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await asyncio.sleep(0.5)
        connection.transport.abort()

    async with serve(deaf, "127.0.0.1", 0) as server:
        socket, handler = await connected(server)
        await handler.until(ends=1)
        assert handler.ends == [(None, "keepalive ping timeout")]
        await socket.shut()


async def test_what_a_peer_does_not_read_is_dropped_and_counted(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_UNSENT_BYTES", 100_000)
    socket, _ = await connected(server)
    sent = [socket.send_binary(bytes(50_000)) for _ in range(400)]
    assert sent[0]
    assert not sent[-1]
    assert socket.dropped_sends == sent.count(False)
    assert socket.transport.get_write_buffer_size() < 100_000 + 60_000
    socket.abort()
    await socket.shut()


async def test_a_message_longer_than_any_audio_ends_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_MESSAGE_BYTES", 1_000)

    async def long(connection: ServerConnection) -> None:
        await connection.send(bytes(2_000))
        await connection.wait_closed()

    async with serve(long, "127.0.0.1", 0) as server:
        socket, handler = await connected(server)
        await handler.until(ends=1)
        assert handler.messages == []
        await socket.shut()


async def test_a_frame_against_the_protocol_ends_the_socket() -> None:
    async def rude(connection: ServerConnection) -> None:
        connection.transport.write(struct.pack("!BB", 0x80 | 0x03, 0))  # a reserved opcode
        await connection.wait_closed()

    async with serve(rude, "127.0.0.1", 0) as server:
        socket, handler = await connected(server)
        await handler.until(ends=1)
        assert handler.messages == []
        await socket.shut()


async def test_shutting_is_bounded_when_the_peer_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CLOSE_S", 0.05)
    release = asyncio.Event()

    async def deaf(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await release.wait()
        connection.transport.abort()

    async with serve(deaf, "127.0.0.1", 0) as server:
        socket, handler = await connected(server)
        async with asyncio.timeout(20):
            await socket.shut()
            await socket.shut()
        assert handler.ends == []
        release.set()


# --- opening -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (400, ProviderRejected, "options in the agent file"),
        (401, ProviderRejected, "check VENDOR_KEY"),
        (402, ProviderRejected, "out of credit"),
        (403, ProviderRejected, "check VENDOR_KEY"),
        (429, ProviderUnavailable, "too many at once"),
        (500, ProviderUnavailable, "in trouble"),
        (503, ProviderUnavailable, "in trouble"),
    ],
)
def test_statuses(status: int, kind: type[Exception], says: str) -> None:
    error = dialer_for_statuses().refused(status, "  what the\nvendor   said " + "x" * 1000)
    assert type(error) is kind
    assert says in str(error)
    assert f"{status} what the vendor said" in str(error)
    assert len(str(error)) < 450


async def test_a_key_that_the_vendor_repeats_is_hidden() -> None:
    made = Dialer("vendor", "VENDOR_KEY", LoopClock(), ConnectStats(), "vk-secret")
    error = made.refused(401, "the key vk-secret is unknown")
    assert str(error) == "vendor: 401 the key *** is unknown: check VENDOR_KEY"


def dialer_for_statuses() -> Dialer:
    async def made() -> Dialer:
        return dialer()

    return asyncio.run(made())


async def test_a_vendor_that_accepts_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECT_MS", 80.0)

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    made = dialer()
    with pytest.raises(ProviderTimeout, match="within 80 ms"):
        await made.open_socket(f"ws://127.0.0.1:{port}", {})
    assert made.stats.failed == 1
    server.close()
    await server.wait_closed()


async def test_a_vendor_that_speaks_no_http(monkeypatch: pytest.MonkeyPatch) -> None:
    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x00\x01\x02\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(odd, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(ProviderUnavailable, match="cannot connect"):
        await dialer().open_socket(f"ws://127.0.0.1:{port}", {})
    server.close()
    await server.wait_closed()


async def test_a_base_url_that_is_none() -> None:
    with pytest.raises(ProviderRejected, match="no WebSocket address"):
        await dialer().open_socket("ftp://example", {})


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://api.example.com/", "wss://api.example.com"),
        ("http://localhost:8", "ws://localhost:8"),
        ("wss://x/y", "wss://x/y"),
    ],
)
def test_a_base_url_may_be_written_either_way(given: str, used: str) -> None:
    assert websocket_base(given) == used
