"""What a process costs, as Linux accounts for it: the server's own counters cannot flatter it."""

import time
from dataclasses import dataclass
from pathlib import Path

_CPU_CLOCK = 2
"""`CPUCLOCK_SCHED` of linux/posix-timers.h: with a process's id it makes the clock of its CPU time, as
`clock_getcpuclockid(3)` does, which Python has for threads only."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Since the process began."""

    cpu_ms: float
    """On a processor: all threads, also those that have ended."""
    waited_ms: float
    """Ready to run, but others had the processor: noise of the machine, not of the server. Live threads."""


def cost(pid: int) -> Cost:
    """Raises `OSError` if the process has gone."""
    cpu_s = time.clock_gettime(~pid << 3 | _CPU_CLOCK)
    waited_ns = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            waited_ns += int((thread / "schedstat").read_text().split()[1])
        except OSError:
            continue  # a thread that ended meanwhile
    return Cost(cpu_s * 1000, waited_ns / 1e6)


def rss_kb(pid: int) -> int:
    """Resident set of a process, its children apart. Raises `OSError` if it has gone."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0
