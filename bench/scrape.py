"""Whether a scrape makes a frame late: 200 calls hear their callers while the side port is asked.

    python -m bench.scrape [--calls 200] [--seconds 10] [--json FILE]

Every call hears a frame each 20 ms on the event loop, spread as the ticker spreads them; another process asks
for `/metrics` and `/latency` four times a second each over a real socket: sixty times as often as Prometheus
does. First as long without. A frame is late when it is read more than 40 ms after it was due
(`parley_frames_late_total`); it is so because of a scrape if it had been in time without the CPU time that
scrapes took meanwhile. Where frames are late without any scrape, the machine does something else, and tells
nothing about this one.

Exit status: 0 targets reached, 1 one missed, 2 the machine was too busy for an answer.
"""

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import uvloop
from aiohttp import web

from agent.clock import Clock
from agent.garbage import FullCollections
from agent.lines import MediaCall
from agent.metrics import Metrics
from agent.settings import Settings
from agent.side import Side
from bench.figures import Figure, conclude, parser
from bench.instruments import take_turns
from tests.agent.fakes import Process

T = TypeVar("T")
TURNS = 3_000
PAYLOAD = b"\xff" * 160
FRAME_MS = 20.0
SETTLE_S = 1.0
LATE_MS = 40.0
"""As `parley_frames_late_total` counts."""
SCRAPER = """
import http.client, json, sys, time
port, seconds = int(sys.argv[1]), float(sys.argv[2])
taken = {"/metrics": [], "/latency": []}
ends = time.monotonic() + seconds
while time.monotonic() < ends:
    for path in taken:
        began = time.perf_counter()
        asked = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        asked.request("GET", path)
        answer = asked.getresponse()
        assert answer.status == 200 and len(answer.read()) > 1000, path
        asked.close()
        taken[path].append((time.perf_counter() - began) * 1000)
        time.sleep(0.125)
print(json.dumps(taken))
"""


class Caller:
    """One call's audio, each frame due 20 ms after the one before."""

    def __init__(self, call: MediaCall, clock: Clock, told: Callable[[float, float], None]) -> None:
        """`told`: when a frame was due, and how late it was, in ms."""
        self._call = call
        self._clock = clock
        self._told = told
        self._stream_ms = 0.0
        self._began_ms: float | None = None

    def tick(self, now_ms: float) -> None:
        """All frames that are due: the ticker calls once after a stall, however long it was."""
        if self._began_ms is None:
            self._began_ms = now_ms
        while (due_ms := self._began_ms + self._stream_ms) <= now_ms:
            self._told(due_ms, self._clock.now_ms() - due_ms)
            self._call.hear(PAYLOAD, self._stream_ms)
            self._stream_ms += FRAME_MS


class Scrapes:
    """What scrapes took of the event loop's thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._latest: deque[tuple[float, float]] = deque(maxlen=4_096)
        self.taken: dict[str, list[float]] = {"/metrics": [], "/latency": []}
        """By path: CPU time of each answer's pieces, ms."""
        self.longest_ms = 0.0
        """The longest piece: calls wait for that one."""

    def timed(self, path: str, pieces: Callable[..., Iterator[T]]) -> Callable[..., Iterator[T]]:
        """In place of `pieces`, from which the handler of that path makes its answer bit by bit."""

        def watched(*given: Any) -> Iterator[T]:
            whole_ms, made = 0.0, pieces(*given)
            while True:
                began = time.thread_time()
                piece = next(made, None)
                taken_ms = (time.thread_time() - began) * 1000
                whole_ms += taken_ms
                self.longest_ms = max(self.longest_ms, taken_ms)
                self._latest.append((self._clock.now_ms(), taken_ms))
                if piece is None:
                    self.taken[path].append(whole_ms)
                    return
                yield piece

        return watched

    def since(self, at_ms: float) -> float:
        """Milliseconds taken by those that ended since then."""
        return sum(taken_ms for ended_ms, taken_ms in self._latest if ended_ms >= at_ms)


class Lateness:
    """Of all calls' frames."""

    def __init__(self, scrapes: Scrapes) -> None:
        self._scrapes = scrapes
        self.frames = self.late = self.because = 0
        self.worst_ms = 0.0

    def add(self, due_ms: float, late_ms: float) -> None:
        """One frame."""
        self.frames += 1
        self.worst_ms = max(self.worst_ms, late_ms)
        if late_ms > LATE_MS:
            self.late += 1
            self.because += late_ms - self._scrapes.since(due_ms) <= LATE_MS

    def __str__(self) -> str:
        return f"{self.frames} frames, {self.late} late, the worst by {self.worst_ms:.1f} ms"


async def scraped(port: int, seconds: float) -> dict[str, list[float]]:
    """Milliseconds of each answer as seen from outside, by path."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRAPER, str(port), str(seconds), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), seconds + 30)
    found: dict[str, list[float]] = json.loads(out)
    return found


async def measure(calls: int, seconds: float) -> list[Figure] | None:
    """Without scrapes, then with. None: frames were late without."""
    process = Process(calls)
    metrics = Metrics(process.book, process.calls, process.lag, process.ticker)
    take_turns(process.book, TURNS)
    side = Side(process.calls, metrics, Settings(), lambda: None, process.lag)
    scrapes = Scrapes(process.clock)
    pieces = scrapes.timed("/metrics", metrics.exposition_pieces)
    metrics.exposition_pieces = pieces  # type: ignore[method-assign]  # the same, timed
    book = process.book
    summary = scrapes.timed("/latency", book.summary_pieces)
    book.summary_pieces = summary  # type: ignore[method-assign]  # likewise
    runner = web.AppRunner(side.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    watching = Lateness(scrapes)

    def told(due_ms: float, late_ms: float) -> None:
        watching.add(due_ms, late_ms)

    for number in range(calls):
        process.media(f"CA{number}")
    for call in process.calls.media:
        process.ticker.add(Caller(call, process.clock, told).tick)
        await asyncio.sleep(FRAME_MS / 1000 / calls)
    # As `agent.server` has it: full collections would be taken for the scrapes' doing.
    collections = FullCollections(process.clock, lambda: calls, lambda: 0)
    collections.start()
    await asyncio.sleep(SETTLE_S)
    alone = watching = Lateness(scrapes)
    cpu_s = time.thread_time()
    await asyncio.sleep(seconds)
    cpu_s = time.thread_time() - cpu_s
    beside = watching = Lateness(scrapes)
    taken = await scraped(port, seconds)
    collections.stop()
    await runner.cleanup()
    await process.close()
    print(f"{calls} calls hearing take {100 * cpu_s / seconds:.1f} % of a core")
    print(f"not scraped: {alone}\nscraped:     {beside}")
    for path, times in taken.items():
        print(f"{path} as seen from outside: p95 {sorted(times)[int(len(times) * 0.95) - 1]:.1f} ms")
    if alone.late:
        return None
    return [
        Figure("frames late because of scrapes", beside.because, "frames", 0.0),
        *(
            Figure(f"{path}: the loop's CPU, worst of {len(times)}", max(times), "ms", 20.0)
            for path, times in scrapes.taken.items()
        ),
        Figure("the longest piece of a scrape that calls wait for", scrapes.longest_ms, "ms", LATE_MS / 2),
    ]


def main() -> None:
    """The command line."""
    command = parser(__doc__, "live calls")
    command.add_argument("--seconds", type=float, default=10.0, help="with scrapes, and as long without (10)")
    arguments = command.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(measure(arguments.calls, arguments.seconds))
    if figures is None:
        print("the machine was too busy: frames were late without any scrape")
        sys.exit(2)
    sys.exit(conclude(figures, arguments.json))


if __name__ == "__main__":
    main()
