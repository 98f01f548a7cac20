"""Our share where a reply changes hands, measured on the wire.

    python -m bench.handover [--turns 40] [--json FILE]

One caller on Twilio media, a real server on a core of its own, and simulators of Deepgram, an
OpenAI-compatible model and Cartesia in a process on the other core, at the published speeds of fast ones. All
sockets but Deepgram's go through taps in this process, which note on one clock:

- from the model's token that completed the first sentence (before it is passed on to the server) to the
  request for its speech on Cartesia's socket;
- from Cartesia's first chunk of audio (before it is passed on) to the first frame on the caller's socket. The
  simulator's chunks are 100 ms, so there is no wait for a whole frame in it.

Sockets, wake-ups and the taps themselves are in the figures: the server's true share is smaller.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import orjson
import uvloop

from agent.clock import LoopClock
from agent.sentences import SentenceSplitter
from loadtest.bulk.dialect import TWILIO
from loadtest.bulk.figures import percentiles
from loadtest.bulk.media_fleet import MediaFleet
from loadtest.bulk.script import Script
from loadtest.bulk.socket import Target
from loadtest.bulk.speech import caller_speech
from loadtest.callers.local_server import free_ports
from loadtest.scenarios.server import OwnServer
from loadtest.scenarios.services import FAST_DELAYS, vendor_services

TO_TTS_P95_MS, TO_CALLER_P95_MS = 1.0, 2.0
"""Targets."""
CORES = sorted(os.sched_getaffinity(0))
TEXT_FRAMES = (b"\x81", b"\xc1")
"""First byte of a WebSocket message of text, plain or compressed (RFC 6455, 5.2; RFC 7692)."""
PATIENCE_S = 10.0
"""Per turn."""

Passed = Callable[[bytes], None]


class Tap(asyncio.Protocol):
    """One side of a connection that is passed on. `passes` sees what this side sends before it goes on."""

    def __init__(self, passes: Passed) -> None:
        self._passes = passes
        self._early = bytearray()
        self.transport: asyncio.Transport | None = None
        self.other: Tap | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not of asyncio's classes.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._passes(data)
        if self.other is None or self.other.transport is None:
            self._early += data
        else:
            self.other.transport.write(data)

    def joined(self, other: "Tap") -> None:
        """The other side is there."""
        self.other = other
        assert other.transport is not None
        if self._early:
            other.transport.write(bytes(self._early))
            self._early.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


async def tap(port: int, up: Callable[[], Passed], down: Callable[[], Passed]) -> int:
    """Pass connections on to `port` of this machine. Returns the port of the tap.

    `up()` and `down()` are asked once per connection: who sees what the client sends, and what comes back.
    """
    loop = asyncio.get_running_loop()
    joining: set[asyncio.Task[None]] = set()

    async def join(near: Tap) -> None:
        _, far = await loop.create_connection(lambda: Tap(down()), "127.0.0.1", port)
        far.other = near
        near.joined(far)

    class Near(Tap):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            task = loop.create_task(join(self))
            joining.add(task)
            task.add_done_callback(joining.discard)

    (near_port,) = free_ports(1)
    await loop.create_server(lambda: Near(up()), "127.0.0.1", near_port)
    return near_port


class Handovers:
    """Puts what the taps see together, turn by turn."""

    def __init__(self, clock: LoopClock, turns: int) -> None:
        """`complete` is set after so many turns."""
        self.complete = asyncio.Event()
        self._turns = turns
        self._now_ms = clock.now_ms
        self._sentence_ms: float | None = None
        self._asked_ms: float | None = None
        self._audio_ms: float | None = None
        self._frame_ms: float | None = None
        self.to_tts_ms: list[float] = []
        self.to_caller_ms: list[float] = []

    def model_asked(self, data: bytes) -> None:
        """Up to the model: a request begins a turn."""
        if b"POST " in data[:8]:
            self._sentence_ms = self._asked_ms = self._audio_ms = self._frame_ms = None

    def model_answers(self) -> Passed:
        """Down from the model: until a sentence is whole, by the rule that the server has."""
        splitter, begun = SentenceSplitter(), bytearray()

        def passes(data: bytes) -> None:
            nonlocal splitter
            begun.extend(data)
            *lines, rest = begun.split(b"\n")
            begun[:] = rest
            for line in lines:
                if line.startswith(b"data: [DONE]"):
                    splitter = SentenceSplitter()
                elif line.startswith(b"data: {"):
                    choices = orjson.loads(line[6:]).get("choices") or [{}]
                    text = choices[0].get("delta", {}).get("content") or ""
                    if splitter.feed(text) and self._sentence_ms is None:
                        self._sentence_ms = self._now_ms()

        return passes

    def speech_asked(self, data: bytes) -> None:
        """Up to the speech synthesis: the first message (no ping) after the sentence is the request."""
        if self._sentence_ms is not None and self._asked_ms is None and data[:1] in TEXT_FRAMES:
            self._asked_ms = self._now_ms()
            self.to_tts_ms.append(self._asked_ms - self._sentence_ms)

    def speech_comes(self, data: bytes) -> None:
        """Down from the speech synthesis."""
        if self._asked_ms is not None and self._audio_ms is None and b'"chunk"' in data:
            self._audio_ms = self._now_ms()

    def caller_hears(self, data: bytes) -> None:
        """Down to the caller."""
        if self._audio_ms is not None and self._frame_ms is None and b'"media"' in data:
            self._frame_ms = self._now_ms()
            self.to_caller_ms.append(self._frame_ms - self._audio_ms)
            if len(self.to_caller_ms) == self._turns:
                self.complete.set()


def nothing(_data: bytes) -> None:
    """What passes is of no interest."""


async def measure(turns: int) -> Handovers:
    """One call of so many turns."""
    clock = LoopClock()
    seen = Handovers(clock, turns)
    services = await vendor_services(clock, spare=False, delays=FAST_DELAYS)
    assert services.primary is not None
    _, openai, cartesia = services.primary.ports
    openai_tap = await tap(openai, lambda: seen.model_asked, seen.model_answers)
    cartesia_tap = await tap(cartesia, lambda: seen.speech_asked, lambda: seen.speech_comes)
    agent = services.agent.replace(f":{openai}/", f":{openai_tap}/").replace(
        f":{cartesia}", f":{cartesia_tap}"
    )
    server = OwnServer(dataclasses.replace(services, agent=agent), clock, os.environ, 1)
    try:
        await server.start(CORES[0])
        caller_tap = await tap(server.target.port, lambda: nothing, lambda: seen.caller_hears)
        fleet = MediaFleet(
            Target("127.0.0.1", caller_tap),
            clock,
            await caller_speech(clock, os.environ),
            (TWILIO,),
            Script(think_ms=(300.0, 600.0), barge_every=1, barge_after_ms=600.0),
        )
        await fleet.open(1, 1.0)
        async with asyncio.timeout(PATIENCE_S * turns):
            await seen.complete.wait()
        fleet.close()
        await fleet.gone()
    finally:
        await server.stop()
    return seen


def main() -> int:
    """Exit status: 0 both targets reached, 1 one missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    os.sched_setaffinity(0, {CORES[-1]})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(measure(args.turns))
    missed = False
    rows = {}
    for name, values_ms, target_ms in (
        ("first sentence to speech asked for", seen.to_tts_ms, TO_TTS_P95_MS),
        ("first audio to first frame to the caller", seen.to_caller_ms, TO_CALLER_P95_MS),
    ):
        rows[name] = row = {key: round(value, 3) for key, value in percentiles(values_ms).items()}
        missed |= row["p95"] > target_ms
        print(
            f"{name:<42} p50 {row['p50']:.2f}, p95 {row['p95']:.2f} ms (<= {target_ms:g}),"
            f" {len(values_ms)} turns"
        )
    if args.json is not None:
        Path(args.json).write_text(json.dumps(rows, indent=2))
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
