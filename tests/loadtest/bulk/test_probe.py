import mmap
import os
import subprocess
import sys
import time

import pytest

from loadtest.bulk.probe import cost, rss_kb


def burn(cpu_ms: float) -> None:
    until_s = time.process_time() + cpu_ms / 1000
    while time.process_time() < until_s:
        pass


def test_cpu_time_is_what_the_process_itself_counts() -> None:
    before, own_s = cost(os.getpid()), time.process_time()
    burn(50)
    after, own_ms = cost(os.getpid()), (time.process_time() - own_s) * 1000
    assert after.cpu_ms - before.cpu_ms == pytest.approx(own_ms, abs=2)
    assert after.waited_ms >= before.waited_ms


def test_resident_memory_grows_with_what_is_touched() -> None:
    # Pages of its own: what the process has freed before would be taken again without growing.
    with mmap.mmap(-1, 32 << 20) as block:
        before = rss_kb(os.getpid())
        block.write(b"x" * len(block))
        assert rss_kb(os.getpid()) - before > 24_000


def test_a_process_that_has_gone_is_an_error() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    for ask in (cost, rss_kb):
        with pytest.raises(OSError, match=r"."):
            ask(process.pid)
