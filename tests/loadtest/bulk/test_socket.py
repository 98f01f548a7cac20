"""Bulk sockets against a real aiohttp server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import WSMessage, WSMsgType, web

from loadtest.bulk.frames import client_frame
from loadtest.bulk.socket import MAX_UNSENT_BYTES, BulkSocket, open_socket
from loadtest.callers.errors import CallRefused, Unreachable

Handler = Callable[[web.WebSocketResponse], Awaitable[None]]


class Server:
    """Listens; each connection is handled by `handler`."""

    port = 0
    handler: Handler


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()

    async def accept(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        await found.handler(socket)
        return socket

    app = web.Application()
    app.router.add_get("/media", accept)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.port = runner.addresses[0][1]
    yield found
    await runner.cleanup()


class Heard:
    """What a socket told."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.codes: list[int] = []
        self._more = asyncio.Event()

    def text(self, text: bytes) -> None:
        self.texts.append(text)
        self._more.set()

    def closed(self, code: int) -> None:
        self.codes.append(code)
        self._more.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._more.clear()
                await self._more.wait()

    async def open(self, port: int, path: str = "/media") -> BulkSocket:
        return await open_socket("127.0.0.1", port, path, self.text, self.closed)


async def test_messages_go_both_ways_also_one_right_behind_the_handshake(server: Server) -> None:
    async def echo(socket: web.WebSocketResponse) -> None:
        await socket.send_str("first")
        async for message in socket:
            assert isinstance(message, WSMessage)
            await socket.send_str(message.data * 2)

    server.handler = echo
    heard = Heard()
    opened = await heard.open(server.port)
    opened.send(client_frame(b"ab"))
    opened.send(client_frame(b"c" * 200))
    await heard.until(lambda: len(heard.texts) == 3)
    assert heard.texts == [b"first", b"abab", b"c" * 400]
    opened.close()
    opened.close()
    opened.send(client_frame(b"too late"))
    assert opened.closed
    assert not heard.codes, "who closes is not told"


async def test_a_ping_is_answered(server: Server) -> None:
    pongs: list[bytes] = []

    server.handler = _raw_pongs(pongs)
    heard = Heard()
    await heard.open(server.port)
    await heard.until(lambda: heard.codes)
    assert pongs == [b"still there?"]


def _raw_pongs(pongs: list[bytes]) -> Handler:
    async def ping(socket: web.WebSocketResponse) -> None:
        # aiohttp hides pongs unless told not to answer by itself.
        socket._autoping = False
        await socket.ping(b"still there?")
        message = await socket.receive()
        assert message.type is WSMsgType.PONG
        pongs.append(bytes(message.data))
        await socket.close()

    return ping


async def test_the_servers_close_code_is_told_once(server: Server) -> None:
    async def refuse(socket: web.WebSocketResponse) -> None:
        await socket.close(code=1013, message=b"full")

    server.handler = refuse
    heard = Heard()
    opened = await heard.open(server.port)
    await heard.until(lambda: heard.codes)
    assert heard.codes == [1013]
    assert opened.closed


async def test_a_connection_that_just_goes_is_1006(server: Server) -> None:
    async def vanish(socket: web.WebSocketResponse) -> None:
        assert socket._req is not None
        assert socket._req.transport is not None
        socket._req.transport.abort()

    server.handler = vanish
    heard = Heard()
    await heard.open(server.port)
    await heard.until(lambda: heard.codes)
    assert heard.codes == [1006]


async def test_a_server_that_does_not_read_blocks_nobody_and_loses_frames_in_the_end(server: Server) -> None:
    go_on = asyncio.Event()

    async def stare(socket: web.WebSocketResponse) -> None:
        assert socket._req is not None
        assert isinstance(socket._req.transport, asyncio.Transport)
        socket._req.transport.pause_reading()
        await go_on.wait()
        socket._req.transport.resume_reading()
        count = 0
        async for _ in socket:
            count += 1
            if count == 50:
                await socket.send_str("read 50")

    server.handler = stare
    heard = Heard()
    opened = await heard.open(server.port)
    frame = client_frame(b"x" * 60_000)
    for _ in range(400):
        opened.send(frame)
    assert opened.blocked == 1
    assert opened.lost > 0
    assert len(opened._unsent) < MAX_UNSENT_BYTES + len(frame)
    go_on.set()
    await heard.until(lambda: heard.texts)
    assert not opened._unsent, "what was kept went out once the server read again"
    opened.close()


async def test_a_refused_upgrade_and_a_closed_port_are_told_apart(server: Server) -> None:
    heard = Heard()
    with pytest.raises(CallRefused, match="HTTP 404"):
        await heard.open(server.port, "/elsewhere")

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    silent = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    with pytest.raises(CallRefused, match="during the handshake"):
        await heard.open(silent.sockets[0].getsockname()[1])
    port = silent.sockets[0].getsockname()[1]
    silent.close()
    await silent.wait_closed()
    with pytest.raises(Unreachable, match="cannot open"):
        await heard.open(port)
