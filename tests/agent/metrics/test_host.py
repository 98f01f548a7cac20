"""What the cgroup and the machine say: both versions, read from files laid out as the kernel does."""

from pathlib import Path

import pytest

from agent.metrics.host import Host, Memory, Throttling

MEMINFO = "MemTotal:        8000 kB\nMemFree:  100 kB\nMemAvailable:    6000 kB\n"


def machine(root: Path, **files: str) -> Host:
    """`files`: content by path, with `__` for a slash."""
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return Host(root, root)


def write(root: Path, path: str, content: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(content)


def test_version_2_tells_throttling_in_microseconds_and_memory_with_its_limit(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/kube/pod7\n")
    write(tmp_path, "proc/meminfo", MEMINFO)
    stat = "usage_usec 9\nnr_periods 50\nnr_throttled 12\nthrottled_usec 3500000\n"
    write(tmp_path, "sys/fs/cgroup/kube/pod7/cpu.stat", stat)
    write(tmp_path, "sys/fs/cgroup/kube/pod7/memory.current", "3000000\n")
    write(tmp_path, "sys/fs/cgroup/kube/pod7/memory.max", "4000000\n")
    write(tmp_path, "sys/fs/cgroup/kube/pod7/memory.stat", "anon 1\ninactive_file 500000\n")
    host = machine(tmp_path)
    assert host.throttling() == Throttling(12, 3.5)
    assert host.memory() == Memory(2_500_000, 4_000_000)


def test_version_1_tells_throttling_in_nanoseconds(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "4:cpu,cpuacct:/docker/ab\n3:memory:/docker/ab\n0::/\n")
    write(tmp_path, "proc/meminfo", MEMINFO)
    stat = "nr_periods 50\nnr_throttled 3\nthrottled_time 2000000000\n"
    write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/docker/ab/cpu.stat", stat)
    write(tmp_path, "sys/fs/cgroup/memory/docker/ab/memory.usage_in_bytes", "100\n")
    write(tmp_path, "sys/fs/cgroup/memory/docker/ab/memory.limit_in_bytes", "200\n")
    host = machine(tmp_path)
    assert host.throttling() == Throttling(3, 2.0)
    assert host.memory() == Memory(100, 200)


def test_in_a_container_the_mount_is_our_own_part_of_the_tree(tmp_path: Path) -> None:
    # /proc/self/cgroup may show the host's path, of which the container sees only the end.
    write(tmp_path, "proc/self/cgroup", "0::/system.slice/docker-ab.scope\n")
    write(tmp_path, "sys/fs/cgroup/cpu.stat", "nr_throttled 1\nthrottled_usec 1000\n")
    assert machine(tmp_path).throttling() == Throttling(1, 0.001)


def test_a_limit_of_the_parent_counts_where_the_own_cgroup_has_none(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/pod/one\n")
    write(tmp_path, "proc/meminfo", MEMINFO)
    for place, limit in (("pod/one", "max"), ("pod", "5000")):
        write(tmp_path, f"sys/fs/cgroup/{place}/memory.current", "1000\n")
        write(tmp_path, f"sys/fs/cgroup/{place}/memory.max", f"{limit}\n")
    assert machine(tmp_path).memory() == Memory(1000, 5000)


@pytest.mark.parametrize("limit", ["max", "9223372036854771712"])
def test_without_a_limit_the_machine_is_the_limit(tmp_path: Path, limit: str) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/\n")
    write(tmp_path, "proc/meminfo", MEMINFO)
    write(tmp_path, "sys/fs/cgroup/memory.current", "1000\n")
    write(tmp_path, "sys/fs/cgroup/memory.max", limit)
    assert machine(tmp_path).memory() == Memory(2000 * 1024, 8000 * 1024)


def test_what_cannot_be_read_is_absent_never_zero(tmp_path: Path) -> None:
    host = machine(tmp_path)
    assert (host.throttling(), host.memory()) == (None, None)
    write(tmp_path, "proc/self/cgroup", "nonsense\n0::/\n")
    write(tmp_path, "sys/fs/cgroup/cpu.stat", "usage_usec 12\n")  # no cpu controller: no such counters
    assert machine(tmp_path).throttling() is None


def test_this_machine_has_memory_and_a_disk() -> None:
    memory, disk = Host().memory(), Host().disk_used()
    assert memory is not None
    assert 0 < memory.used < memory.limit
    assert disk is not None
    assert 0 < disk <= 1
    assert Host(working_directory=Path("/nowhere")).disk_used() is None
