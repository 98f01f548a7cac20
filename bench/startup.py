"""Process start to listening and to ready, and what the idle server weighs.

    python -m bench.startup [RUNS]

Starts `parley serve` on free loopback ports RUNS times (5 unless told) and reads its banner. Memory is the
resident set a moment after it is ready, children (the embedded recogniser's process) apart.
"""

import asyncio
import os
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

import aiohttp

_RUN = "import sys; from agent.cli import main; sys.exit(main())"
_ARGUMENTS = ("serve", "--host", "127.0.0.1", "--port", "0", "--side-port", "0")
_TIMEOUT_S = 60.0
_SETTLE_S = 0.5


class Start(NamedTuple):
    """One start. Milliseconds since the process was begun, and kB."""

    listening_ms: float
    ready_ms: float
    rss_kb: int
    children_kb: int


async def start() -> Start:
    """Start a server, wait until it is ready, weigh it, stop it."""
    began_s = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _RUN, *_ARGUMENTS,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=_environ(),
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            side = ""
            while not side:
                line = (await process.stdout.readline()).decode()
                if not line:
                    raise RuntimeError("the server ended before it listened: run `parley serve` to see why")
                words = line.split()
                side = words[1] if words[:1] == ["side"] else ""
            listening_ms = (time.perf_counter() - began_s) * 1000
            async with aiohttp.ClientSession() as client:
                while True:
                    async with client.get(f"{side}/readyz") as answer:
                        if answer.status == 200:
                            break
                    await asyncio.sleep(0.005)
            ready_ms = (time.perf_counter() - began_s) * 1000
            await asyncio.sleep(_SETTLE_S)
            return Start(
                listening_ms, ready_ms, _rss_kb(process.pid), sum(map(_rss_kb, _children(process.pid)))
            )
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}


def _rss_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def _children(pid: int) -> list[int]:
    listed = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for children in listed for child in children]


async def measure(runs: int) -> None:
    """Print the best and the median of `runs` starts."""
    starts = [await start() for _ in range(runs)]
    for name, values in (
        ("start to listening, ms", [each.listening_ms for each in starts]),
        ("start to ready, ms", [each.ready_ms for each in starts]),
        ("RSS of the server, MB", [each.rss_kb / 1000 for each in starts]),
        ("RSS of its children, MB", [each.children_kb / 1000 for each in starts]),
    ):
        print(f"{name:<24} best {min(values):7.1f}  median {statistics.median(values):7.1f}  ({runs} runs)")


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
