"""CPU time as the kernel accounts for it: of the calling thread, and of a cgroup with a quota."""

import os
import resource
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/")
_SCHEDSTAT = "proc/thread-self/schedstat"


class ThreadTime(NamedTuple):
    """Since the thread began."""

    cpu_ms: float
    """On a processor."""
    waited_ms: float
    """Ready to run, while others had the processor (or the quota was used up); 0 where nobody tells."""


def read_thread(root: Path = ROOT) -> ThreadTime | None:
    """The calling thread's. None where the system does not tell (other systems than Linux).

    Some 20 us. `schedstat` has CPU and waiting time in nanoseconds (Linux, `Documentation/scheduler/
    sched-stats.rst`); kernels without it, or with zeros in it, still know the CPU time.
    """
    if sys.platform != "linux":
        return None
    try:
        cpu_ns, waited_ns = map(int, (root / _SCHEDSTAT).read_text(encoding="ascii").split()[:2])
    except (OSError, ValueError):
        cpu_ns = waited_ns = 0
    if cpu_ns:
        return ThreadTime(cpu_ns / 1e6, waited_ns / 1e6)
    usage = resource.getrusage(resource.RUSAGE_THREAD)
    return ThreadTime((usage.ru_utime + usage.ru_stime) * 1000, 0.0)


class CpuQuota:
    """The tightest CPU quota of the cgroups around this process, version 2 or 1.

    `used_ms` is the whole cgroup's, other processes in it included, since they share the quota.
    """

    def __init__(self, cores: float, usage: Path, unit_ms: float) -> None:
        self.cores = cores
        """CPU seconds that may be used per second."""
        self._usage = usage
        self._unit_ms = unit_ms

    def used_ms(self) -> float | None:
        """CPU time that the cgroup has used; None if it cannot be read any more."""
        try:
            text = self._usage.read_text(encoding="ascii")
        except OSError:
            return None
        # cpu.stat has lines "usage_usec 123"; cpuacct.usage is the number alone.
        words = text.split()
        try:
            return int(words[words.index("usage_usec") + 1 if "usage_usec" in words else 0]) * self._unit_ms
        except (ValueError, IndexError):
            return None


def find_quota(root: Path = ROOT) -> CpuQuota | None:
    """None without a quota, or where it cannot be read. See cgroups(7) and the kernel's `cgroup-v2.rst`."""
    found: list[CpuQuota] = []
    mount = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        # Inside a container the path may be the host's, while the mount shows only our part of it.
        place = Path(path.lstrip("/"))
        if number == "0" and not controllers:
            found += [quota for inner in (place, *place.parents) if (quota := _version_2(mount / inner))]
        elif "cpu" in controllers.split(","):
            for base in dict.fromkeys((mount / controllers, mount / "cpu")):
                accounts = base.parent / ("cpuacct" if controllers == "cpu" else base.name)
                found += [
                    quota
                    for inner in (place, *place.parents)
                    if (quota := _version_1(base / inner, accounts / inner))
                ]
    return min(found, key=lambda quota: quota.cores, default=None)


def _version_2(folder: Path) -> CpuQuota | None:
    words = _text(folder / "cpu.max").split()
    if len(words) != 2 or not (words[0].isdigit() and words[1].isdigit()) or words[1] == "0":
        return None
    return CpuQuota(int(words[0]) / int(words[1]), folder / "cpu.stat", 1e-3)


def _version_1(folder: Path, accounts: Path) -> CpuQuota | None:
    quota, period = (_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
    usage = accounts / "cpuacct.usage"
    if not quota.isdigit() or not period.isdigit() or period == "0" or not os.access(usage, os.R_OK):
        return None
    return CpuQuota(int(quota) / int(period), usage, 1e-6)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
