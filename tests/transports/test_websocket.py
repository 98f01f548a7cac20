"""The media WebSocket against real peers: good ones by a library, bad ones byte by byte."""

import asyncio
import logging
import os
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from websockets.asyncio.client import connect

from agent.clock import LoopClock
from tests.transports.fakes import eventually
from transports import websocket
from transports.websocket import MAX_UNSENT_BYTES, MediaWebSocket

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
HELLO = b'{"event":"hello"}'


@dataclass
class Seen:
    """One socket's server side, and what it met."""

    socket: MediaWebSocket
    texts: list[bytes] = field(default_factory=list)
    bad: list[tuple[str, str]] = field(default_factory=list)
    code: int | None = None
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.bad]

    async def ended(self) -> int | None:
        async with asyncio.timeout(5):
            await self.finished.wait()
        return self.code


@dataclass
class Server:
    port: int
    sockets: list[Seen]

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    async def latest(self) -> Seen:
        await eventually(lambda: self.sockets)
        return self.sockets[-1]


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    sockets: list[Seen] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        texts: list[bytes] = []
        socket = MediaWebSocket(LoopClock(), texts.append)
        await socket.prepare(request)
        seen = Seen(socket, texts)
        sockets.append(seen)
        try:
            seen.code = await socket.run(lambda kind, detail: seen.bad.append((kind, detail)))
        finally:
            await socket.shut(1000, b"", 0.3)
            seen.finished.set()
        return socket

    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield Server(runner.addresses[0][1], sockets)
    finally:
        await runner.cleanup()


class RawPeer:
    """A client that sends whatever bytes it likes after the upgrade."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, opcode: int, payload: bytes = b"", *, first: int = 0x80, masked: bool = True) -> None:
        """One frame; `first` holds FIN and the reserved bits."""
        mask = 0x80 if masked else 0
        size = len(payload)
        header = bytes([first | opcode])
        if size < 126:
            header += bytes([mask | size])
        elif size < 65536:
            header += struct.pack("!BH", mask | 126, size)
        else:
            header += struct.pack("!BQ", mask | 127, size)
        # A mask of zeros is a mask.
        self.writer.write(header + (bytes(4) if masked else b"") + payload)

    async def frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the server's next frame."""
        async with asyncio.timeout(5):
            first, size = await self.reader.readexactly(2)
            assert size < 126
            return first & 0x0F, await self.reader.readexactly(size)

    async def closed(self) -> int:
        """The code of the server's close frame."""
        while True:
            opcode, payload = await self.frame()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big")


@asynccontextmanager
async def raw(server: Server) -> AsyncIterator[tuple[RawPeer, Seen]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    try:
        yield RawPeer(reader, writer), await server.latest()
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


# --- messages ------------------------------------------------------------------------------------------


async def test_texts_arrive_in_order_and_pings_are_answered_between_them() -> None:
    async with serving() as server, raw(server) as (peer, seen):
        peer.send(TEXT, b"one")
        peer.send(PING, b"there?")
        peer.send(TEXT, b"two")
        assert await peer.frame() == (PONG, b"there?")
        await eventually(lambda: seen.texts == [b"one", b"two"])
        assert seen.bad == []


async def test_a_text_in_fragments_is_one_text() -> None:
    async with serving() as server, raw(server) as (peer, seen):
        peer.send(TEXT, b"half ", first=0)
        peer.send(PING, b"between")
        peer.send(0, b"and half")
        await eventually(lambda: seen.texts == [b"half and half"])


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 200_000])
async def test_texts_of_every_size_go_out(size: int) -> None:
    async with serving() as server, connect(server.url, compression=None, proxy=None) as peer:
        seen = await server.latest()
        assert seen.socket.send_text(b"x" * size)
        async with asyncio.timeout(5):
            assert await peer.recv() == "x" * size


async def test_binary_messages_are_dropped_and_told_of() -> None:
    async with serving() as server, raw(server) as (peer, seen):
        peer.send(BINARY, os.urandom(320))
        peer.send(TEXT, b"after")
        await eventually(lambda: seen.texts == [b"after"])
        await eventually(lambda: seen.kinds == ["binary"])


async def test_a_megabyte_is_read_like_any_other_text() -> None:
    """What is too long for the platform is the session's to say; the call goes on."""
    async with serving() as server, raw(server) as (peer, seen):
        peer.send(TEXT, b"x" * 1_000_000)
        peer.send(TEXT, b"after")
        await eventually(lambda: [len(text) for text in seen.texts] == [1_000_000, 5])
        assert seen.bad == []


# --- the peer's end ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1011, 4000])
async def test_the_peers_code_is_told(code: int) -> None:
    async with serving() as server, raw(server) as (peer, seen):
        peer.send(CLOSE, code.to_bytes(2, "big") + b"reason")
        assert await peer.closed() == 1000
        assert await seen.ended() == code


async def test_a_close_without_a_code_is_a_goodbye() -> None:
    async with serving() as server, raw(server) as (peer, seen):
        peer.send(CLOSE)
        assert await seen.ended() == 1000


@pytest.mark.parametrize("how", ["eof", "reset"])
async def test_a_connection_that_just_goes_is_no_goodbye(how: str) -> None:
    async with serving() as server, raw(server) as (peer, seen):
        if how == "eof":
            peer.writer.close()
        else:
            peer.writer.transport.abort()
        assert await seen.ended() == 1006
        assert seen.bad == []


@pytest.mark.parametrize(
    ("send", "code"),
    [
        (lambda peer: peer.send(TEXT, HELLO, first=0xC0), 1002),
        (lambda peer: peer.send(3, HELLO), 1002),
        (lambda peer: peer.send(0, b"continues nothing"), 1002),
        (lambda peer: peer.send(PING, b"x" * 126), 1002),
        (lambda peer: peer.send(CLOSE, b"\x00"), 1002),
        (lambda peer: peer.send(TEXT, b"x" * (4 * 1024 * 1024 + 1)), 1009),
    ],
    ids=["reserved bit", "unknown opcode", "stray continuation", "long ping", "half a code", "4 MB"],
)
async def test_frames_that_no_websocket_sends_end_the_socket(
    send: Callable[[RawPeer], None], code: int
) -> None:
    async with serving() as server, raw(server) as (peer, seen):
        send(peer)
        assert await peer.closed() == code
        assert await seen.ended() == 1006
        assert seen.kinds == ["websocket"]
        assert seen.texts == []


async def test_a_peer_that_answers_no_ping_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "PING_S", 0.1)
    async with serving() as server, raw(server) as (peer, seen):
        assert (await peer.frame())[0] == PING
        assert await seen.ended() == 1006
        assert seen.kinds == ["no_pong"]


async def test_a_peer_that_answers_its_pings_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "PING_S", 0.05)
    async with serving() as server, connect(server.url, proxy=None) as peer:
        seen = await server.latest()
        await asyncio.sleep(0.3)
        assert not seen.finished.is_set()
        await peer.send("still here")
        await eventually(lambda: seen.texts)


# --- our end -------------------------------------------------------------------------------------------


async def test_sending_needs_an_open_socket() -> None:
    assert not MediaWebSocket(LoopClock(), lambda data: None).send_text(HELLO)
    async with serving() as server, raw(server) as (peer, seen):
        peer.send(CLOSE, b"\x03\xe8")
        await seen.ended()
        assert not seen.socket.send_text(HELLO)


async def test_a_peer_that_does_not_read_loses_audio_and_is_then_cut_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(websocket, "STALL_MS", 50)
    caplog.set_level(logging.WARNING)
    async with serving() as server, raw(server) as (_peer, seen):
        # `_peer` never reads.
        async with asyncio.timeout(5):
            while not seen.finished.is_set():
                while seen.socket.send_text(b"x" * 60_000):
                    pass
                await asyncio.sleep(0.01)
        assert seen.code == 1006
        assert seen.socket.dropped_sends > 1
    assert caplog.text.count("has not read") == 1


async def test_a_short_stall_costs_audio_but_not_the_socket() -> None:
    async with serving() as server, raw(server) as (peer, seen):
        while seen.socket.send_text(b"x" * 60_000):
            pass
        assert seen.socket.dropped_sends == 1
        await peer.reader.readexactly(MAX_UNSENT_BYTES)

        async def drain() -> None:
            while await peer.reader.read(65536):
                pass

        reading = asyncio.create_task(drain())
        await eventually(lambda: seen.socket.send_text(HELLO))
        assert not seen.finished.is_set()
        peer.writer.transport.abort()
        await asyncio.gather(reading, return_exceptions=True)


async def test_each_message_that_is_dropped_is_told_of_when_it_is() -> None:
    told: list[str] = []
    async with serving() as server, raw(server) as (peer, seen):
        seen.socket._on_dropped = lambda: told.append("dropped")
        while seen.socket.send_text(b"x" * 60_000):
            assert told == []
        assert told == ["dropped"]
        seen.socket.send_text(HELLO)
        assert told == ["dropped"] * 2
        peer.writer.transport.abort()


async def test_closing_takes_its_time_limit_where_the_peer_takes_no_part() -> None:
    async with serving() as server, raw(server) as (_peer, seen):
        began = asyncio.get_running_loop().time()
        await seen.socket.shut(1000, b"", 0.2)
        assert asyncio.get_running_loop().time() - began < 1.0
        await eventually(lambda: seen.socket._writer is None or seen.socket._writer.transport is None
                         or seen.socket._writer.transport.is_closing())  # fmt: skip


async def test_closing_a_socket_nobody_reads_throws_away_what_is_unsent() -> None:
    async with serving() as server, raw(server) as (_peer, seen):
        while seen.socket.send_text(b"x" * 60_000):
            pass
        transport = seen.socket._writer.transport if seen.socket._writer else None
        assert transport is not None
        assert transport.get_write_buffer_size() > 0
        await seen.socket.shut(1000, b"", 0.1)
        assert transport.is_closing()
        assert transport.get_write_buffer_size() == 0
        assert await seen.ended() == 1006


async def test_shutting_twice_does_nothing() -> None:
    async with serving() as server, connect(server.url, proxy=None):
        seen = await server.latest()
        await seen.socket.shut(1001, b"going", 1.0)
        await seen.socket.shut(1000, b"", 1.0)
        assert await seen.ended() is not None
