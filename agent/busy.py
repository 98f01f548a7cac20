"""How full the event loop's core is, and whether another call still fits on it.

Loop lag tells that a core is full when it is: calls that were let in a moment before then starve with the
rest, since most of what a text call costs comes seconds after it was let in. So the share of its time for
which the loop has work is measured, and what the newest calls have not cost yet is added.

The share is work over work and idleness, as the kernel accounts for the loop's thread: what neighbours take
of the core is neither, but leaves less of it. Where a cgroup has a CPU quota, the share of that counts too.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from agent.clock import Clock, Timer
from agent.cpu_time import CpuQuota, ThreadTime, read_thread

SAMPLE_MS = 250.0
WINDOW_MS = 3_000.0
"""What the share is taken of: longer than a burst of turns, shorter than a ramp of calls."""
RIPE_MS = 10_000.0
"""Until a text call costs what it will go on costing: a greeting and a first question take 6 to 12 s."""
CROWDED = 0.75
"""Share from which what is to come is estimated. Below it there is room for being wrong, and what opening
calls costs would be taken for what they cost later."""
_BUCKET_MS = 500.0
_RIPE_BUCKETS = int(RIPE_MS / _BUCKET_MS)
_BUCKETS = _RIPE_BUCKETS + int(WINDOW_MS / 2 / _BUCKET_MS)
"""A share over three seconds shows what was half of that ago."""


class _Sample(NamedTuple):
    at_ms: float
    thread: ThreadTime
    quota_ms: float | None
    """CPU time used up of the quota."""


class LoopBusy:
    """Share of the event loop's core in use, over the last three seconds. `start` it on the loop's thread."""

    def __init__(
        self,
        clock: Clock,
        read: Callable[[], ThreadTime | None] = read_thread,
        quota: CpuQuota | None = None,
    ) -> None:
        """`read`: the CPU time of the calling thread; None where the system does not tell."""
        self._clock = clock
        self._read = read
        self._quota = quota
        self._samples: deque[_Sample] = deque(maxlen=int(WINDOW_MS / SAMPLE_MS) + 1)
        self._timer: Timer | None = None
        self.share = 0.0
        """0 to 1; 0 until there is a whole window, and where the system does not tell."""

    def start(self) -> None:
        """Begin sampling."""
        self._sample()

    def stop(self) -> None:
        """End sampling. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sample(self) -> None:
        thread = self._read()
        if thread is None:
            return
        quota = self._quota
        self._samples.append(
            _Sample(self._clock.now_ms(), thread, None if quota is None else quota.used_ms())
        )
        if len(self._samples) == self._samples.maxlen:
            self.share = self._share(self._samples[0], self._samples[-1])
        self._timer = self._clock.call_later(SAMPLE_MS, self._sample)

    def _share(self, first: _Sample, last: _Sample) -> float:
        passed_ms = last.at_ms - first.at_ms
        worked_ms = last.thread.cpu_ms - first.thread.cpu_ms
        given_ms = passed_ms - (last.thread.waited_ms - first.thread.waited_ms)
        share = worked_ms / max(given_ms, worked_ms, 1.0)
        if self._quota is not None and first.quota_ms is not None and last.quota_ms is not None:
            used_ms = last.quota_ms - first.quota_ms
            share = max(share, used_ms / max(passed_ms * self._quota.cores, 1.0))
        return min(share, 1.0)


class Ripening:
    """Calls that began within the last seconds, weighed by how much of their cost is still to come.

    Counted in buckets of half a second, so that it takes the same room however many they are.
    """

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self._bucket = 0

    def add(self, now_ms: float) -> None:
        """A call has begun."""
        self._forget(now_ms)
        self._counts[self._bucket % _BUCKETS] += 1

    def calls(self, now_ms: float) -> float:
        """As many calls as would cost what those do not cost yet, as far as the measured share shows."""
        self._forget(now_ms)
        return sum(
            self._counts[(self._bucket - age) % _BUCKETS] * min((_BUCKETS - age) / _RIPE_BUCKETS, 1.0)
            for age in range(_BUCKETS)
        )

    def _forget(self, now_ms: float) -> None:
        bucket = int(now_ms // _BUCKET_MS)
        for stale in range(max(self._bucket + 1, bucket - _BUCKETS + 1), bucket + 1):
            self._counts[stale % _BUCKETS] = 0
        self._bucket = max(bucket, self._bucket)


class CoreRoom:
    """Whether another call fits on the loop's core."""

    def __init__(self, busy: LoopBusy, clock: Clock, limit: float | None) -> None:
        """`limit`: share of the core beyond which no call is taken; None: there is no such limit."""
        self._busy = busy
        self._clock = clock
        self._limit = limit
        self._ripening = Ripening()

    @property
    def share(self) -> float:
        """Of the core in use now, 0 to 1."""
        return self._busy.share

    def text_call_began(self) -> None:
        """A call whose cost is still to come: the platform speaks and hears, turns begin in some seconds.

        Media calls cost what they cost from their first frame on.
        """
        self._ripening.add(self._clock.now_ms())

    def expected(self, live: int) -> float:
        """Share that the `live` calls will have in use, once the newest of them have come to their turns."""
        share = self._busy.share
        if share < CROWDED:
            return share
        ripe = max(live - self._ripening.calls(self._clock.now_ms()), 1.0)
        return share * max(live / ripe, 1.0)

    def full(self, live: int) -> bool:
        """True if those `live` calls are as many as the core can carry."""
        return self._limit is not None and self.expected(live) > self._limit
