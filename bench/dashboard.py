"""What the dashboard costs: with 200 calls live, while watched and per turn.

    python -m bench.dashboard [--calls 200] [--rounds 200]

In one process, without sockets: making a message is what grows with the number of calls; writing it to a
watcher is one `write` a second. Targets: 1 % of a core (10 ms a second) while watched, 100 us a turn.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable

from agent.dashboard.snapshot import Snapshots
from tests.agent.dashboard.scene import Theatre, stages_of


def us(work: Callable[[], object], rounds: int) -> float:
    """Median microseconds of `work`."""
    times: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1e6)
    return statistics.median(times)


async def measure(calls: int, rounds: int) -> None:
    stage = Theatre()
    stage.hour()
    for number in range(20):
        stage.ended_call(f"c{number}", 5)
    stage.live(calls)
    snapshots = Snapshots(stage.sources)
    began = time.process_time()
    for _ in range(rounds):
        snapshots.present()
    present_us = (time.process_time() - began) / rounds * 1e6
    record = next(iter(stage.process.calls.live)).record
    turn = record.turns[0]
    turn.stages = stages_of(stage.random)
    turn.providers = {"stt": "a", "llm": "b", "tts": "c"}
    print(f"message a second, {calls} calls   {present_us:8.0f} us  = {present_us / 1e4:.3f} % of a core")
    print(f"its size                      {len(snapshots.present()):8} bytes")
    print(f"greeting of a new watcher     {us(snapshots.greeting, rounds):8.0f} us")
    print(f"one call's trace              {us(lambda: snapshots.call(record), rounds):8.0f} us")
    print(f"a turn noted                  {us(lambda: stage.turns.turn_ended(record, turn), 2_000):8.1f} us")
    print(f"a change of state noted       {us(lambda: stage.timelines.state_changed(record), 2_000):8.1f} us")
    await stage.process.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=200)
    args = parser.parse_args()
    asyncio.run(measure(args.calls, args.rounds))


if __name__ == "__main__":
    main()
