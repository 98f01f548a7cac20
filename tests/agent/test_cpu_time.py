"""The kernel's account of a thread, and the quotas of cgroups, from files as the kernel writes them."""

import sys
import threading
from pathlib import Path

import pytest

from agent.cpu_time import find_quota, read_thread

linux = pytest.mark.skipif(sys.platform != "linux", reason="told by Linux alone")


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


@linux
def test_a_thread_is_told_its_own_time_from_the_scheduler(tmp_path: Path) -> None:
    put(tmp_path, "proc/thread-self/schedstat", "1500000000 250000000 42\n")
    assert read_thread(tmp_path) == (1_500.0, 250.0)


@linux
@pytest.mark.parametrize("text", [None, "0 0 0\n", "nonsense"])
def test_without_the_schedulers_account_the_cpu_time_is_known_all_the_same(
    tmp_path: Path, text: str | None
) -> None:
    if text is not None:
        put(tmp_path, "proc/thread-self/schedstat", text)
    found = read_thread(tmp_path)
    assert found is not None
    assert found.cpu_ms > 0
    assert found.waited_ms == 0


@linux
def test_work_of_another_thread_is_not_counted() -> None:
    before = read_thread()
    other = threading.Thread(target=lambda: sum(number * number for number in range(3_000_000)))
    other.start()
    other.join()
    after = read_thread()
    own: list[float] = []

    def measured() -> None:
        begun = read_thread()
        sum(number * number for number in range(3_000_000))
        ended = read_thread()
        assert begun is not None
        assert ended is not None
        own.append(ended.cpu_ms - begun.cpu_ms)

    third = threading.Thread(target=measured)
    third.start()
    third.join()
    assert before is not None
    assert after is not None
    assert after.cpu_ms - before.cpu_ms < own[0]


def test_no_quota_where_there_is_none(tmp_path: Path) -> None:
    assert find_quota(tmp_path) is None
    put(tmp_path, "proc/self/cgroup", "0::/\n")
    put(tmp_path, "sys/fs/cgroup/cpu.max", "max 100000\n")
    assert find_quota(tmp_path) is None


def test_the_tightest_quota_of_the_groups_around_us_counts(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/pods/ours\n")
    put(tmp_path, "sys/fs/cgroup/pods/ours/cpu.max", "max 100000\n")
    put(tmp_path, "sys/fs/cgroup/pods/cpu.max", "150000 100000\n")
    put(tmp_path, "sys/fs/cgroup/pods/cpu.stat", "usage_usec 2500000\nuser_usec 1\nnr_throttled 0\n")
    put(tmp_path, "sys/fs/cgroup/cpu.max", "400000 100000\n")
    quota = find_quota(tmp_path)
    assert quota is not None
    assert (quota.cores, quota.used_ms()) == (1.5, 2_500.0)


def test_in_a_container_only_our_part_of_the_tree_is_seen(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/host/path/that/is/not/here\n")
    put(tmp_path, "sys/fs/cgroup/cpu.max", "50000 100000\n")
    put(tmp_path, "sys/fs/cgroup/cpu.stat", "usage_usec 7000\n")
    quota = find_quota(tmp_path)
    assert quota is not None
    assert (quota.cores, quota.used_ms()) == (0.5, 7.0)


@pytest.mark.parametrize("folder", ["cpu,cpuacct", "cpu"])
def test_version_1_has_its_quota_and_its_account_in_files_of_their_own(tmp_path: Path, folder: str) -> None:
    controllers = folder
    accounts = "cpuacct" if folder == "cpu" else folder
    put(tmp_path, "proc/self/cgroup", f"4:{controllers}:/ours\n")
    put(tmp_path, f"sys/fs/cgroup/{folder}/ours/cpu.cfs_quota_us", "200000\n")
    put(tmp_path, f"sys/fs/cgroup/{folder}/ours/cpu.cfs_period_us", "100000\n")
    put(tmp_path, f"sys/fs/cgroup/{accounts}/ours/cpuacct.usage", "5000000000\n")
    quota = find_quota(tmp_path)
    assert quota is not None
    assert (quota.cores, quota.used_ms()) == (2.0, 5_000.0)


def test_version_1_says_no_quota_by_a_negative_number(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "4:cpu,cpuacct:/\n")
    put(tmp_path, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
    put(tmp_path, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    put(tmp_path, "sys/fs/cgroup/cpu,cpuacct/cpuacct.usage", "5000000000\n")
    assert find_quota(tmp_path) is None


def test_an_account_that_has_gone_or_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/\n")
    put(tmp_path, "sys/fs/cgroup/cpu.max", "50000 100000\n")
    quota = find_quota(tmp_path)
    assert quota is not None
    assert quota.used_ms() is None
    put(tmp_path, "sys/fs/cgroup/cpu.stat", "usage_usec\n")
    assert quota.used_ms() is None
