"""Callers' sockets behind TLS, against a real aiohttp server with a certificate of its own."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from loadtest.bulk.frames import client_frame
from loadtest.bulk.socket import open_socket
from loadtest.bulk.tls import TlsChannel
from loadtest.callers.errors import Unreachable
from tests.certificates import self_signed


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    found = tmp_path / "cert.pem"
    self_signed(found, tmp_path / "key.pem")
    return found


@pytest.fixture
async def port(certificate: Path) -> AsyncIterator[int]:
    async def echo(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data.upper())
        return socket

    app = web.Application()
    app.router.add_get("/media", echo)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def test_messages_go_both_ways_behind_a_certificate_that_is_trusted(
    port: int, certificate: Path
) -> None:
    context = ssl.create_default_context(cafile=certificate)
    heard: asyncio.Queue[bytes] = asyncio.Queue(10)
    codes: list[int] = []
    sock = await open_socket("127.0.0.1", port, "/media", heard.put_nowait, codes.append, context)
    long = b"a" * 100_000
    async with asyncio.timeout(20):
        for said in (b"hello", long, b"bye"):
            sock.send(client_frame(said))
            assert await heard.get() == said.upper()
    sock.close()
    assert codes == [], "a caller that hangs up is not told that the call was lost"
    await asyncio.sleep(0.05)


async def test_a_certificate_that_nobody_vouches_for_is_one_line(port: int) -> None:
    with pytest.raises(Unreachable, match=r"cannot open wss://127\.0\.0\.1:\d+/media: .*CERTIFICATE_VERIFY"):
        await open_socket(
            "127.0.0.1", port, "/media", lambda _: None, lambda _: None, ssl.create_default_context()
        )


async def test_a_server_that_does_not_speak_tls_is_one_line() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unreachable, match="cannot open wss://"):
            await open_socket(
                "127.0.0.1", port, "/media", lambda _: None, lambda _: None, ssl.create_default_context()
            )


def test_what_is_no_record_of_the_connection_is_an_error() -> None:
    channel = TlsChannel(ssl.create_default_context(), "127.0.0.1")
    out, done = channel.shake()
    assert out
    assert not done
    with pytest.raises(ssl.SSLError):
        channel.shake(b"HTTP/1.1 400 Bad Request\r\n\r\n")
