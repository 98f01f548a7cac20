"""What one message in and one out costs: our direct socket against aiohttp's own receive loop.

    python -m bench.websocket [--sockets 100] [--seconds 3]

Each socket gets 50 messages of a media stream's size a second, as in a call, and answers each with one. Both
servers run in turn in this process; the callers are another process, so that only the server's CPU counts.
Microseconds of one core per message pair; the lower of two runs.
"""

import argparse
import asyncio
import sys
import time
from binascii import a2b_base64, b2a_base64

import aiohttp
import orjson
import uvloop
import webrtcvad
from aiohttp import WSMsgType, web

from agent.audio.codec import make_decoder, make_encoder
from agent.audio.formats import PCMU_8K
from agent.clock import LoopClock
from transports.websocket import MediaWebSocket

MESSAGE = b'{"event":"media","payload":"' + b"A" * 216 + b'"}'
"""160 bytes of audio in base64 with some JSON around it."""
PERIOD_S = 0.02
SLOTS = 20
"""Calls do not all send in the same instant: that would let a server read them in one go."""


async def stock(request: web.Request) -> web.StreamResponse:
    """As aiohttp's documentation does it."""
    socket = web.WebSocketResponse(compress=False, decode_text=False)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_frame(message.data, WSMsgType.TEXT)
    return socket


async def media(request: web.Request) -> web.StreamResponse:
    """The same with the least that an agent does to a frame: JSON, base64, G.711, voice activity and back."""
    socket = web.WebSocketResponse(compress=False, decode_text=False)
    await socket.prepare(request)
    vad = webrtcvad.Vad(2)
    encoder, decoder = make_encoder(PCMU_8K), make_decoder(PCMU_8K)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            pcm = decoder.decode(a2b_base64(orjson.loads(message.data)["payload"])[:160])
            vad.is_speech(pcm, 8000)
            answer = b'{"event":"media","payload":"' + b2a_base64(encoder.encode(pcm), newline=False) + b'"}'
            await socket.send_frame(answer, WSMsgType.TEXT)
    return socket


class _Direct:
    """Answers each message with itself. Implements `transports.websocket.SocketUser`."""

    def __init__(self) -> None:
        self.socket = MediaWebSocket(LoopClock(), LoopClock(), self)

    def on_text(self, data: bytes) -> None:
        self.socket.send_text(data)

    def on_bad(self, kind: str, detail: str) -> None:
        pass

    def on_dropped(self) -> None:
        pass

    def on_end(self, code: int) -> None:
        pass


async def direct(request: web.Request) -> web.StreamResponse:
    """As the transports do it."""

    return await _Direct().socket.accept(request)


async def calls(url: str, sockets: int, seconds: float) -> None:
    """The other process: paced callers."""

    async def read(socket: aiohttp.ClientWebSocketResponse) -> None:
        async for _ in socket:
            pass

    # Unlimited: by default the hundred-and-first connection waits for ever.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        lines = [await client.ws_connect(url, compress=0) for _ in range(sockets)]
        reading = [asyncio.create_task(read(line)) for line in lines]
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        for slot in range(int(seconds / PERIOD_S) * SLOTS):
            for line in lines[slot % SLOTS :: SLOTS]:
                await line.send_frame(MESSAGE, WSMsgType.TEXT)
            due_s += PERIOD_S / SLOTS
            await asyncio.sleep(due_s - loop.time())
        for line in lines:
            await line.close()
        await asyncio.gather(*reading)


async def cost_us(path: str, port: int, sockets: int, seconds: float) -> float:
    """CPU of this process per message pair, in microseconds."""
    url = f"http://127.0.0.1:{port}{path}"
    began_s = time.process_time()
    callers = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.websocket", "--call", url),
        *("--sockets", str(sockets), "--seconds", str(seconds)),
    )
    assert await callers.wait() == 0
    return 1e6 * (time.process_time() - began_s) / (sockets * int(seconds / PERIOD_S))


async def compare(sockets: int, seconds: float) -> None:
    """Print one line for each."""
    app = web.Application()
    app.add_routes([web.get("/stock", stock), web.get("/direct", direct), web.get("/media", media)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    for path in ("/stock", "/direct", "/media"):
        best_us = min([await cost_us(path, port, sockets, seconds) for _ in range(2)])
        call_ms = best_us / 1000 / PERIOD_S
        print(f"{path[1:]:<8} {best_us:6.1f} us per message in and out, {call_ms:.2f} ms per call and second")
    await runner.cleanup()


def main() -> None:
    """Run either side."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sockets", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--call", metavar="URL", help=argparse.SUPPRESS)
    args = parser.parse_args()
    work = calls(args.call, args.sockets, args.seconds) if args.call else compare(args.sockets, args.seconds)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


if __name__ == "__main__":
    main()
