"""What the instruments cost: on the frame path, per turn, when scraped, and while nothing happens.

    python -m bench.instruments [--calls 200] [--json FILE]

The frame path is Twilio's media message, from the readable socket to the call's voice detection. "off" is the
same code with the lines that count and measure taken out of its source. Each message is sent twice, once for
"on" and once for "off", and the two are compared: what the machine does meanwhile meets both alike. The other
figures are CPU times of the loop's thread. That no frame is late because of a scrape shows `bench.scrape`.
"""

import ast
import asyncio
import inspect
import itertools
import queue
import random
import socket
import statistics
import struct
import sys
import tempfile
import textwrap
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import uvloop
from aiohttp import web

from agent import ears, latency
from agent.clock import LoopClock
from agent.dashboard import Timelines, TurnWatch
from agent.ears import Ears
from agent.latency import AudioClock, CallCounters, Stage
from agent.lines import CallInfo
from agent.metrics import LatencyBook, Metrics
from agent.observers import Observers
from agent.records import CallRecord, TurnRecord
from agent.stall import StallWatch
from agent.store import TurnStore
from bench.figures import Figure, conclude, parser
from tests import speech
from tests.agent.fakes import Process
from transports.twilio.media_codec import Media, MediaDecoder
from transports.websocket import MediaWebSocket

FRAMES = 500
ROUNDS = 100
TURNS = 10_000
STORE_BATCH_S = 0.3
STAGES = {
    Stage.ENDPOINTING: 310.0, Stage.STT_FINAL: 90.0, Stage.LLM_FIRST_TOKEN: 240.0,
    Stage.LLM_FIRST_SENTENCE: 330.0, Stage.TTS_FIRST_AUDIO: 120.0, Stage.RESPONSE: 853.0, Stage.ADDED: 3.0,
    Stage.ARRIVAL_JITTER: 2.0,
}  # fmt: skip
CLIENT = {
    "l1_capture_ms": 10.0, "l2_processing_ms": 5.0, "l8_rendering_ms": 40.0, "l9_output_ms": 20.0,
    "rtt_ms": 60.0, "jitter_ms": 4.0, "lost": 1.0, "received": 49.0,
}  # fmt: skip


# --- frame path ----------------------------------------------------------------------------------------


class _WithoutInstruments(ast.NodeTransformer):
    """Takes out what only counts or measures."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self.removed = 0

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.AugAssign | ast.Assign) and any(
            name in ast.unparse(node) for name in self._names
        ):
            self.removed += 1
            return None
        self.generic_visit(node)
        # What was asked only in order to count goes too.
        return None if isinstance(node, ast.If) and not node.body else node


def stripped(function: Callable[..., Any], module: Any, *names: str) -> Callable[..., Any]:
    """`function` without its assignments that mention one of `names`."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    transformer = _WithoutInstruments(names)
    tree = transformer.visit(tree)
    assert transformer.removed, f"{function.__qualname__} mentions none of {names}"
    found: dict[str, Any] = {}
    exec(compile(ast.fix_missing_locations(tree), function.__name__, "exec"), vars(module), found)
    made: Callable[..., Any] = found[function.__name__]
    return made


class _PlainClock(AudioClock):
    """Maps stream time, measures no jitter."""

    __slots__ = ()


SID = "MZ00000000000000000000000000000001"


def media_message(payload: bytes, number: int) -> bytes:
    """20 ms, as Twilio sends it."""
    media = {
        "track": "inbound", "chunk": str(number), "timestamp": str(number * 20),
        "payload": b64encode(payload).decode(),
    }  # fmt: skip
    return orjson.dumps({"event": "media", "sequenceNumber": str(number), "media": media, "streamSid": SID})


class Sender(threading.Thread):
    """A platform in a thread of its own: sends messages one by one, each in a packet of its own."""

    def __init__(self, port: int, messages: Sequence[bytes]) -> None:
        super().__init__(name="platform", daemon=True)
        self._frames = [_masked(message) for message in messages]
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(_HANDSHAKE)
        self.rounds: queue.SimpleQueue[bool] = queue.SimpleQueue()
        """Put True for each round, False to end."""

    def run(self) -> None:
        while self.rounds.get():
            for frame in self._frames:
                self._socket.sendall(frame)
                time.sleep(50e-6)
        self._socket.close()


_HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def _masked(message: bytes) -> bytes:
    """A client's text frame of 126 bytes to 64 kB, masked with zeros (RFC 6455, 5.2)."""
    return struct.pack("!BBH4x", 0x81, 0x80 | 126, len(message)) + message


class FramePath:
    """A server's socket, with a call's hearing behind it that can be had with and without instruments."""

    def __init__(self, process: Process) -> None:
        self._decoder = MediaDecoder()
        self._decoder.stream_sid = SID
        self._stream_ms = 0.0
        self._left = 0
        self._done = asyncio.Event()
        plainly = stripped(AudioClock.arrived, latency, "change_ms", "jitter_ms")
        _PlainClock.arrived = plainly  # type: ignore[method-assign]  # known only now
        plain = stripped(Ears.hear, ears, "_counters")
        process.media("on")
        process.media("off")
        on, off = (call.ears for call in process.calls.media)
        off._audio_clock = _PlainClock()
        self.feeds = {"on": on.hear, "off": plain.__get__(off)}
        self._count = 0
        self.taken: dict[str, list[int]] = {"on": [], "off": []}
        """Nanoseconds of each message, from the decoded message on: what is before has no instruments."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The platform's WebSocket."""
        return await MediaWebSocket(LoopClock(), LoopClock(), self).accept(request)

    def on_bad(self, kind: str, detail: str) -> None:
        raise AssertionError(f"{kind}: {detail}")

    def on_dropped(self) -> None:
        pass  # nothing is sent

    def on_end(self, code: int) -> None:
        pass  # the sender has closed

    def on_text(self, message: bytes) -> None:
        media = self._decoder.decode(message)
        assert isinstance(media, Media)
        # on, off, off, on, ...: neither always finds the caches as the other one left them.
        name = ("on", "off", "off", "on")[self._count % 4]
        self._count += 1
        feed, stream_ms = self.feeds[name], self._stream_ms + media.timestamp_ms
        began = time.perf_counter_ns()
        feed(media.payload, stream_ms)
        self.taken[name].append(time.perf_counter_ns() - began)
        self._left -= 1
        if not self._left:
            self._done.set()

    async def round(self, sender: Sender) -> float:
        """Microseconds of this thread per message."""
        self._left = 2 * FRAMES
        self._done.clear()
        began = time.thread_time()
        sender.rounds.put(True)
        await self._done.wait()
        self._stream_ms += FRAMES * 20.0
        return (time.thread_time() - began) / (2 * FRAMES) * 1e6


async def frame_path() -> list[Figure]:
    """Microseconds per frame, and how much of it are instruments."""
    talk = speech.mu_law(speech.speech("I would like to book an appointment for my daughter on Tuesday."))
    said = [talk[at : at + 160] for at in range(0, len(talk) - 160, 160)]
    payloads = itertools.islice(itertools.cycle(said + [b"\xff" * 160] * len(said)), FRAMES)
    messages = [media_message(payload, number) for number, payload in enumerate(payloads) for _ in "12"]
    process = Process(2)
    path = FramePath(process)
    app = web.Application()
    app.router.add_get("/", path.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sender = Sender(runner.addresses[0][1], messages)
    sender.start()
    rounds = [await path.round(sender) for _ in range(ROUNDS)]
    sender.rounds.put(False)
    await asyncio.to_thread(sender.join)
    await runner.cleanup()
    await process.close()
    # Medians: a message in which the machine did something else is no different from another one.
    whole_us = statistics.median(rounds)
    cost_us = statistics.median(
        (on - off) / 1000 for on, off in zip(path.taken["on"], path.taken["off"], strict=True)
    )
    pairs = ROUNDS * FRAMES
    print(f"frame path: {cost_us:.2f} of {whole_us:.2f} us are instruments (medians of {pairs} pairs)")
    return [Figure("frame path, instruments' share", 100 * cost_us / (whole_us - cost_us), "%", 2.0)]


# --- turns and scrapes ---------------------------------------------------------------------------------


def per_turn(clock: LoopClock) -> list[Figure]:
    """Microseconds of one turn with a barge-in, a blown budget and a client's report, told to all observers
    that a server has by default. Each state of the turn is told as well.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = TurnStore(Path(folder) / "turns.sqlite3", words=True)
        book = LatencyBook(["en", "es"], clock)
        told = Observers([book, TurnWatch(clock), Timelines(clock), store])
        call = CallRecord("c1", CallInfo("webrtc", "CA1"), 0.0, "en")
        taken_s = 0.0
        for number in range(TURNS):
            turn = _turn("en", number)
            call.turns.append(turn)
            if number % 1_000 == 0:
                time.sleep(STORE_BATCH_S)  # as in life, where the store keeps up: a call takes a turn in 5 s
            began = time.thread_time()
            _tell(told, call, turn)
            taken_s += time.thread_time() - began
        store.close()
        assert not store.dropped
    return [Figure("a turn, 18 stages, barge-in and client report in it", taken_s / TURNS * 1e6, "us", 100.0)]


def _tell(told: Observers, call: CallRecord, turn: TurnRecord) -> None:
    told.record_client(call, turn.index, CLIENT)
    for state in ("hearing", "replying", "speaking", "yielded", "idle"):
        call.state = state
        told.state_changed(call)
    told.budget_blown(call, Stage.LLM_FIRST_TOKEN, "filler")
    told.turn_ended(call, turn)
    told.record_stage(call, Stage.INTERRUPTION_DETECTION, 200.0)
    told.barge_in(call, 201.0)


def _turn(language: str, number: int) -> TurnRecord:
    source = random.Random(number)
    stages = {stage: value * source.lognormvariate(0.0, 0.3) for stage, value in STAGES.items()}
    llm = ("openai", "embedded")[number % 10 == 0]
    providers = {"stt": "deepgram", "llm": llm, "tts": "cartesia"}
    return TurnRecord(number, 0.0, language, stages=stages, providers=providers,
                      cache=("hit", "miss")[number % 3 > 0])  # fmt: skip


async def scrapes(calls: int) -> list[Figure]:
    """Milliseconds of `/metrics` and `/latency` with `calls` live, three transports, two languages."""
    process = Process(calls)
    metrics = Metrics(process.book, process.calls, process.lag, process.ticker)
    for number in range(calls):
        process.media(f"CA{number}")
    take_turns(process.book, TURNS // 2)
    series = sum(1 for _ in process.book.series())
    sizes = [len(metrics.exposition()), len(orjson.dumps(process.book.summary()))]
    print(f"{series} latency series; /metrics {sizes[0] // 1000} kB, /latency {sizes[1] // 1000} kB")
    found = [
        Figure(f"/metrics, {calls} calls", _worst_ms(metrics.exposition), "ms", 20.0),
        Figure(
            f"/latency, {calls} calls", _worst_ms(lambda: orjson.dumps(process.book.summary())), "ms", 20.0
        ),
        Figure("/latency?format=hdr", _worst_ms(lambda: orjson.dumps(process.book.encoded())), "ms", 20.0),
    ]
    await process.close()
    return found


def take_turns(book: LatencyBook, count: int) -> None:
    """Turns on three transports in two languages, with two models."""
    records = [
        CallRecord(f"c{transport}", CallInfo(transport, transport), 0.0, "en", counters=CallCounters())
        for transport in ("twilio-media", "telnyx-media", "webrtc")
    ]
    book.record_client(records[2], None, CLIENT)
    for number in range(count):
        record = records[number % 3]
        book.turn_ended(record, _turn(("en", "es")[number % 5 == 0], number))
        book.barge_in(record, 150.0 + number % 90)


def _worst_ms(work: Callable[[], object], times: int = 20) -> float:
    """The 95th of a hundred: what a frame would wait for."""
    taken = []
    for _ in range(times):
        began = time.thread_time()
        work()
        taken.append((time.thread_time() - began) * 1000)
    return sorted(taken)[int(times * 0.95) - 1]


# --- while nothing happens -----------------------------------------------------------------------------


async def idle(clock: LoopClock, seconds: float = 3.0) -> list[Figure]:
    """CPU of the stall watch on a loop that has nothing else to do: more than it costs a busy one."""

    async def cost() -> float:
        began = time.process_time()
        await asyncio.sleep(seconds)
        return time.process_time() - began

    without = await cost()
    watch = StallWatch(clock)
    watch.start()
    watched = await cost()
    watch.stop()
    return [Figure("stall watch, of a core", 100 * (watched - without) / seconds, "%", 1.0)]


async def measure(calls: int) -> list[Figure]:
    """Everything."""
    clock = LoopClock()
    return [*await frame_path(), *per_turn(clock), *await scrapes(calls), *await idle(clock)]


def main() -> None:
    """The command line. Exit status 1 where a target is missed."""
    command = parser(__doc__, "live calls while scraping")
    arguments = command.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(measure(arguments.calls))
    sys.exit(conclude(figures, arguments.json))


if __name__ == "__main__":
    main()
