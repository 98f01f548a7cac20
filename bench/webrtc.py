"""What a browser's call costs: our media path against stock aiortc's, in one run.

    python -m bench.webrtc [--peers 20] [--seconds 10] [--json FILE]

Both servers do the same work per peer: Opus in, decoded to 16 kHz, voice activity on each frame; Opus out for
40 % of the time, never the same samples twice. "cached" is ours with the same replies again and again. Each
server is a fresh process pinned to core 0. The peers are light (they send stored packets, decode nothing) and
run here, pinned to core 1. CPU is the server's own, per peer and second. Pacing is the deviation of the
interval between two packets of a talk spurt from their interval in RTP time: as sent, by the server's clock,
and as it arrives at the peers, with their own lateness. Added latency is from the moment when a peer's frame
was due to be sent until its voice activity is known, and from a reply's audio handed over to its first packet
on the socket. Begin the command with `chrt -f 20` (as root) to keep
the machine's other work out.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import uvloop
import webrtcvad
from aiohttp import web
from aiortc import (
    RTCCertificate,
)

from agent.clock import LoopClock
from agent.garbage import FullCollections
from agent.latency import CallCounters
from agent.playout import Playout
from agent.plugins import TransportContext
from agent.settings import Settings
from agent.ticker import Ticker
from bench.webrtc_peers import LightPeer
from bench.webrtc_replies import CYCLE_S, Replies, speech
from bench.webrtc_stock import stock_routes
from tests.transports.webrtc.fakes import BrowserHost, agent_file
from transports.webrtc import WebRTC, session
from transports.webrtc.opus import SILENCE, OpusEncoder
from transports.webrtc.sender import Sender

SERVER_CORE, PEERS_CORE = 0, 1
OFFERS = 40
SETTLE_S = 2.0


# --- servers ---------------------------------------------------------------------------------------


class OurCall:
    """Voice activity in; replies through the core's playout out."""

    def __init__(self, line: Any, ticker: Ticker, clock: LoopClock, replies: Replies) -> None:
        self._clock = clock
        self._replies = replies
        self._vad = webrtcvad.Vad(2)
        self._playout = Playout(line, ticker, CallCounters(), lambda *_: None, lambda: None)
        self._generation = 0
        self.over = False
        self._speak()

    def hear(self, payload: bytes, timestamp_ms: float) -> None:
        if len(payload) == 640:
            self._vad.is_speech(payload, 16_000)
            HEARD_MS.append(self._clock.now_ms() - timestamp_ms)

    def marked(self, name: str) -> None:
        self._playout.ledger.mark_returned(name, self._clock.now_ms())

    def bad_message(self, kind: str) -> None:
        print(kind, file=sys.stderr)

    async def hung_up(self, cause: str) -> None:
        self.over = True
        self._playout.close()

    def _speak(self) -> None:
        if self.over:
            return
        self._generation += 1
        now_ms = self._clock.now_ms()
        self._playout.begin(self._generation)
        reply = self._replies.next().tobytes()
        written_ms = self._clock.now_ms()
        self._playout.write(self._generation, reply, now_ms)
        SPOKEN_MS.append(self._clock.now_ms() - written_ms)
        self._playout.finish(self._generation, now_ms)
        self._clock.call_later(CYCLE_S * 1000, self._speak)


class OurHost(BrowserHost):
    """Answers with `OurCall`."""

    def __init__(self, clock: LoopClock, replies: Replies) -> None:
        super().__init__()
        self._clock = clock
        self._ticker = Ticker(clock)
        self._replies = replies

    def answer_media(self, line: Any, slot: Any, events: Any = None) -> Any:
        return OurCall(line, self._ticker, self._clock, self._replies)


def our_routes(*, cached: bool) -> list[web.RouteDef]:
    """Our transport with a small core."""
    clock = LoopClock()
    environ = {"PARLEY_WEBRTC_RATE": "1000000", "PARLEY_WEBRTC_BURST": "100000", "PARLEY_WEBRTC_PAGE": "off"}
    host = OurHost(clock, Replies(24_000, cached=cached))
    settings = Settings(environ=environ)
    return list(WebRTC(TransportContext(host, settings, agent_file(), clock, Ticker(clock))).routes())


class WatchedSender(Sender):
    """Notes by how much each frame of a spurt was sent too early or too late.

    Frames that DTX leaves out are no deviation: what counts is the step in RTP time since the last one sent.
    """

    _sent_timestamp = 0

    def _send(self, payload: bytes, now_ms: float, *, marker: bool) -> None:
        step_ms = (self._timestamp - self._sent_timestamp) / 48
        if not marker and payload != SILENCE and self._octets:
            DEVIATIONS_MS.append(abs(now_ms - self._sent_ms - step_ms))
        self._sent_timestamp = self._timestamp
        super()._send(payload, now_ms, marker=marker)


DEVIATIONS_MS: list[float] = []
HEARD_MS: list[float] = []
"""When each frame of callers' audio had been through voice activity, less its place in the stream."""
SPOKEN_MS: list[float] = []
"""From the reply's audio handed to the playout, to its first packet on the socket."""


def taken(values: list[float], percent: float) -> float:
    """A percentile of what has been noted since the last time asked."""
    noted, values[:] = list(values) or [0.0], []
    return float(np.percentile(noted, percent))


async def serve(kind: str) -> None:
    """One server, until it is killed; prints its port."""
    vars(session)["Sender"] = WatchedSender  # what a session makes; nothing hands one in

    async def cpu(request: web.Request) -> web.Response:
        return web.json_response(
            {
                "cpu_s": time.process_time(),
                "sent_p99_ms": taken(DEVIATIONS_MS, 99),
                "heard_p95_ms": taken(HEARD_MS, 95),
                "spoken_p95_ms": taken(SPOKEN_MS, 95),
            }
        )

    app = web.Application()
    app.add_routes(stock_routes() if kind == "stock" else our_routes(cached=kind == "cached"))
    if kind != "stock":
        # As `agent.server` has it: otherwise a full collection stops all peers for some 10 ms.
        FullCollections(LoopClock(), lambda: 1, lambda: 0).start()
    app.router.add_get("/cpu", cpu)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


# --- load ----------------------------------------------------------------------------------------------


def caller_packets() -> list[bytes]:
    """Speech as a browser encodes it: 48 kHz, 32 kbit/s."""
    pcm = speech(48_000)
    encoder = OpusEncoder(48_000, 32_000, 9)
    return [
        encoder.encode(pcm[at : at + 960].tobytes()) or b"\xf8\xff\xfe"
        for at in range(0, len(pcm) - 960, 960)
    ]


async def measure(kind: str, count: int, seconds: float) -> dict[str, float]:
    """One server under load."""
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.webrtc", "--serve", kind, stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    try:
        url = f"http://127.0.0.1:{int(await server.stdout.readline())}"
        certificate, packets = RTCCertificate.generateCertificate(), caller_packets()
        async with aiohttp.ClientSession() as client:
            answers = []
            for _ in range(OFFERS):
                one = LightPeer(packets, certificate)
                await one.connect(client, url)
                answers.append(one.answer_ms)
                await one.close(client, url)
            peers = [LightPeer(packets, certificate) for _ in range(count)]
            for one in peers:
                await one.connect(client, url)
                await asyncio.sleep(CYCLE_S / count)  # their replies are spread over time
            figures = await _load(client, url, peers, seconds)
            for one in peers:
                await one.close(client, url)
    finally:
        server.kill()
        await server.wait()
    figures["answer_p50_ms"], figures["answer_p95_ms"] = np.percentile(answers[5:], [50, 95])
    return figures


async def _load(
    client: aiohttp.ClientSession, url: str, peers: list[LightPeer], seconds: float
) -> dict[str, float]:
    # The same clock as the servers': what they heard when is compared with when it was due here.
    began_s, number, cpu_s, measured_s, worst_s = time.monotonic(), 0, 0.0, 0.0, 0.0
    stop = int((SETTLE_S + seconds) * 50)
    while number < stop:
        for one in peers:
            one.send(number)
        number += 1
        if number == int(SETTLE_S * 50):
            cpu_s, measured_s = (await _figures(client, url))["cpu_s"], time.monotonic()
            for one in peers:
                one.received = 0
                one.arrivals.clear()
        due_s = began_s + number * 0.02
        worst_s = max(worst_s, time.monotonic() - due_s)
        await asyncio.sleep(due_s - time.monotonic())
    took_s = time.monotonic() - measured_s
    figures = await _figures(client, url)
    pacing = np.concatenate([one.pacing_ms() for one in peers])
    return {
        "cpu_percent_per_peer": 100 * (figures["cpu_s"] - cpu_s) / took_s / len(peers),
        "packets_per_s_per_peer": sum(one.received for one in peers) / took_s / len(peers),
        "pacing_p50_ms": float(np.percentile(pacing, 50)),
        "pacing_p99_ms": float(np.percentile(pacing, 99)),
        "sent_p99_ms": figures["sent_p99_ms"],
        "to_vad_p95_ms": figures["heard_p95_ms"] - began_s * 1000,
        "to_socket_p95_ms": figures["spoken_p95_ms"],
        "peers_late_ms": worst_s * 1000,
    }


async def _figures(client: aiohttp.ClientSession, url: str) -> dict[str, float]:
    """Since the last time asked."""
    async with client.get(f"{url}/cpu") as response:
        figures: dict[str, float] = await response.json()
        return figures


async def compare(count: int, seconds: float) -> dict[str, dict[str, float]]:
    """All servers in turn, one line each."""
    rows = {}
    for kind in ("stock", "ours", "cached"):
        rows[kind] = row = await measure(kind, count, seconds)
        print(
            f"{kind:<7} {row['cpu_percent_per_peer']:5.2f} % of a core per peer,"
            f" offer to answer p50 {row['answer_p50_ms']:.1f} p95 {row['answer_p95_ms']:.1f} ms,"
            f" pacing p99 {row['sent_p99_ms']:.2f} ms as sent, {row['pacing_p99_ms']:.2f} ms as received,"
            f" {row['packets_per_s_per_peer']:.1f} packets/s out, peers late {row['peers_late_ms']:.0f} ms"
        )
        if kind != "stock":
            print(
                f"        added p95: {row['to_vad_p95_ms']:.2f} ms from a frame due at the peer to its voice"
                f" activity, {row['to_socket_p95_ms']:.2f} ms from a reply's audio to its first packet"
            )
    ratio = rows["stock"]["cpu_percent_per_peer"] / rows["ours"]["cpu_percent_per_peer"]
    print(f"{ratio:.1f} times as many peers per core as stock aiortc")
    return rows


def main() -> None:
    """Run either side."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10.0, help=f"from {CYCLE_S:g} on: a reply of each")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--serve", choices=("stock", "ours", "cached"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peers < 1 or args.seconds < CYCLE_S:
        parser.error(f"needs a peer at least, and {CYCLE_S:g} s: less may hold no reply to measure")
    os.sched_setaffinity(0, {SERVER_CORE if args.serve else PEERS_CORE})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if args.serve:
            runner.run(serve(args.serve))
            return
        rows = runner.run(compare(args.peers, args.seconds))
    if args.json is not None:
        Path(args.json).write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
