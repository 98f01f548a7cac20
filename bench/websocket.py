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

import aiohttp
import uvloop
from aiohttp import WSMsgType, web

from agent.clock import LoopClock
from transports.websocket import MediaWebSocket

MESSAGE = b'{"event":"media","payload":"' + b"A" * 216 + b'"}'
"""160 bytes of audio in base64 with some JSON around it."""
PERIOD_S = 0.02


async def stock(request: web.Request) -> web.StreamResponse:
    """As aiohttp's documentation does it."""
    socket = web.WebSocketResponse(compress=False, decode_text=False)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_frame(message.data, WSMsgType.TEXT)
    return socket


async def direct(request: web.Request) -> web.StreamResponse:
    """As the transports do it."""

    def answer(data: bytes) -> None:
        socket.send_text(data)

    socket = MediaWebSocket(LoopClock(), answer)
    await socket.prepare(request)
    await socket.run(lambda kind, detail: None)
    await socket.shut(1000, b"", 1.0)
    return socket


async def calls(url: str, sockets: int, seconds: float) -> None:
    """The other process: paced callers."""

    async def read(socket: aiohttp.ClientWebSocketResponse) -> None:
        async for _ in socket:
            pass

    async with aiohttp.ClientSession() as client:
        lines = [await client.ws_connect(url, compress=0) for _ in range(sockets)]
        reading = [asyncio.create_task(read(line)) for line in lines]
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        for _ in range(int(seconds / PERIOD_S)):
            for line in lines:
                await line.send_frame(MESSAGE, WSMsgType.TEXT)
            due_s += PERIOD_S
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
    app.add_routes([web.get("/stock", stock), web.get("/direct", direct)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    for path in ("/stock", "/direct"):
        best_us = min([await cost_us(path, port, sockets, seconds) for _ in range(2)])
        print(f"{path[1:]:<8} {best_us:6.1f} us per message in and out")
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
