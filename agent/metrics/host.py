"""What the machine, or the cgroup around the process, does to it: CPU throttling, memory, disk.

Read when somebody scrapes. Loop lag that comes from a CPU quota looks just like a blocked loop from inside;
only the cgroup's own counters tell them apart.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Throttling:
    """How often and for how long the CPU quota kept the process waiting."""

    periods: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes."""

    used: int
    limit: int


class Host:
    """Reads `/proc` and `/sys/fs/cgroup` below `root`. Files that are not there are None, never zero."""

    def __init__(self, root: Path = ROOT, working_directory: Path | None = None) -> None:
        self._root = root
        self._directory = working_directory or Path.cwd()
        self._cpu = self._files("cpu", "cpu.stat")
        self._memory = self._files("memory", "memory.current", "memory.usage_in_bytes")

    def throttling(self) -> Throttling | None:
        """From `cpu.stat`: microseconds in version 2 (`throttled_usec`), nanoseconds in 1 (`throttled_time`).

        Of the nearest cgroup upwards that has a quota's counters; None outside any.
        """
        for path in self._cpu:
            found = _pairs(path)
            if "nr_throttled" not in found:
                continue
            seconds = found.get("throttled_usec", 0) / 1e6 + found.get("throttled_time", 0) / 1e9
            return Throttling(found["nr_throttled"], seconds)
        return None

    def memory(self) -> Memory | None:
        """Of the nearest cgroup that has a limit; else of the machine: all that is not available is used."""
        machine = _pairs(self._root / "proc/meminfo")
        total, available = machine.get("MemTotal:"), machine.get("MemAvailable:")
        for path in self._memory:
            v2 = path.name == "memory.current"
            limit = _number(path.with_name("memory.max" if v2 else "memory.limit_in_bytes"))
            used = _number(path)
            # Version 1 says "no limit" by a number greater than any machine's memory.
            if limit is not None and used is not None and (total is None or limit <= total * 1024):
                # The page cache counts as used in a cgroup, but is given back before anything else is.
                idle = _pairs(path.with_name("memory.stat")).get(
                    "inactive_file" if v2 else "total_inactive_file", 0
                )
                return Memory(max(used - idle, 0), limit)
        if total is None or available is None:
            return None
        return Memory((total - available) * 1024, total * 1024)

    def disk_used(self) -> float | None:
        """Used share of the working directory's file system, 0 to 1, as `df` counts."""
        try:
            usage = shutil.disk_usage(self._directory)
        except OSError:
            return None
        return usage.used / (usage.used + usage.free) if usage.used + usage.free else None

    def _files(self, controller: str, *names: str) -> list[Path]:
        """Where the controller's files may be, the nearest cgroup first."""
        mount = self._root / "sys/fs/cgroup"
        found: list[Path] = []
        for line in _lines(self._root / "proc/self/cgroup"):
            # "0::/path" in version 2; "4:cpu,cpuacct:/path" in version 1. See cgroups(7).
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if number == "0" and not controllers:
                bases = [mount, mount / "unified"]
            elif controller in controllers.split(","):
                bases = [mount / controller, mount / controllers]
            else:
                continue
            # Inside a container the path may be the host's, while the mount shows only our part of it.
            place = Path(path.lstrip("/"))
            places = [place, *place.parents]
            found += [base / inner / name for base in bases for inner in places for name in names]
        return [path for path in dict.fromkeys(found) if os.access(path, os.R_OK)]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []


def _pairs(path: Path) -> dict[str, int]:
    """A file of lines with a name and a whole number."""
    split = (line.split() for line in _lines(path))
    return {words[0]: int(words[1]) for words in split if len(words) >= 2 and words[1].isdigit()}


def _number(path: Path) -> int | None:
    """None where it is not there, or says `max`."""
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].strip().isdigit() else None
