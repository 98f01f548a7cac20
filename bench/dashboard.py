"""What the dashboard costs with 200 calls live: while nobody watches, while one page does, and per turn.

    python -m bench.dashboard [--calls 200] [--seconds 10] [--json FILE]

The dashboard is on a real port, and the page is another process that reads the feed. Figures are CPU of the
event loop's thread: while nobody watches yet (the loop alone), while watched, and when the page is closed.
Targets: 1 % of a core while watched, 0 while not, 100 us a turn for all instruments together.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import uvloop
from aiohttp import web

from agent.dashboard.snapshot import Snapshots
from agent.garbage import FullCollections
from bench.figures import Figure, conclude, parser
from tests.agent.dashboard.scene import Theatre, stages_of

SETTLE_S = 1.0
NOTHING = 0.02
"""Percent of a core that counts as 0: what a thread that sleeps is told by Linux in ten seconds."""
WATCHER = """
import http.client, sys
asked = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
asked.request("GET", "/dashboard/feed")
feed = asked.getresponse()
print("open", flush=True)
while feed.readline():
    pass
"""


def us(work: Callable[[], object], rounds: int = 200) -> float:
    """Median microseconds of `work`."""
    times: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1e6)
    return statistics.median(times)


@asynccontextmanager
async def watcher(port: int) -> AsyncIterator[None]:
    """A page that reads the feed, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WATCHER, str(port), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await asyncio.wait_for(process.stdout.readline(), 20)
    try:
        yield
    finally:
        process.kill()
        await asyncio.wait_for(process.wait(), 10)


async def share(seconds: float) -> float:
    """Percent of a core that this thread uses meanwhile."""
    await asyncio.sleep(SETTLE_S)
    began = time.thread_time()
    await asyncio.sleep(seconds)
    return 100 * (time.thread_time() - began) / seconds


async def watched(stage: Theatre, seconds: float) -> list[Figure]:
    """Before, while and after somebody watches."""
    application = web.Application()
    stage.dashboard.mount(application)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    before = await share(seconds)
    async with watcher(runner.addresses[0][1]):
        during = await share(seconds)
        watchers = stage.dashboard.watchers
    after = await share(seconds)
    left = stage.dashboard.watchers
    await runner.cleanup()
    assert (watchers, left) == (1, 0), "the page did not watch, or did not leave"
    print(f"the loop alone {before:.3f} % of a core, watched {during:.3f} %, afterwards {after:.3f} %")
    return [
        Figure("while watched by one page", during - before, "%", 1.0),
        Figure("while not watched any more", max(after - before, 0.0), "%", NOTHING),
    ]


async def measure(calls: int, seconds: float) -> list[Figure]:
    """Everything."""
    stage = Theatre()
    stage.hour()
    for number in range(20):
        stage.ended_call(f"c{number}", 5)
    for call in stage.live(calls):
        # They are looked at, and do nothing by themselves meanwhile, such as ask whether anybody is there.
        call.scope.stop_timers()
    # As `agent.server` has it: full collections would be taken for the page's doing.
    collections = FullCollections(stage.process.clock, lambda: calls, lambda: 0)
    collections.start()
    await asyncio.sleep(SETTLE_S)
    found = await watched(stage, seconds)
    collections.stop()
    snapshots = Snapshots(stage.sources)
    record = next(iter(stage.process.calls.live)).record
    turn = record.turns[0]
    turn.stages = stages_of(stage.random)
    turn.providers = {"stt": "a", "llm": "b", "tts": "c"}
    print(f"a message, {calls} calls     {us(snapshots.present):8.0f} us, {len(snapshots.present())} bytes")
    print(f"greeting of a new page  {us(snapshots.greeting):8.0f} us")
    print(f"one call's trace        {us(lambda: snapshots.call(record)):8.0f} us")
    turn_us = us(lambda: stage.turns.turn_ended(record, turn), 2_000)
    state_us = us(lambda: stage.timelines.state_changed(record), 2_000)
    await stage.process.close()
    return [*found, Figure("a turn noted, and its five states", turn_us + 5 * state_us, "us", 100.0)]


def main() -> None:
    """The command line. Exit status 1 where a target is missed."""
    command = parser(__doc__, "live calls")
    command.add_argument("--seconds", type=float, default=10.0, help="each, of three (10)")
    arguments = command.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(measure(arguments.calls, arguments.seconds))
    sys.exit(conclude(figures, arguments.json))


if __name__ == "__main__":
    main()
