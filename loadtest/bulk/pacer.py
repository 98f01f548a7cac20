"""Strict pacing for any number of calls: every call ticks every 20 ms on its own grid, for ever.

Calls are spread over phases of a millisecond. Deadlines are absolute, so a late beat is made up for and never
shifts those behind it; by how much each was late is kept, since a tester that lags measures itself.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.audio.formats import FRAME_MS
from agent.clock import Clock, Timer

PHASES = FRAME_MS
"""One per millisecond: as fine as uvloop's timers."""
_EARLY_MS = 0.3
"""Timers of a millisecond's grain fire this much early; waiting for the rest would cost a whole one."""
_BUCKETS_PER_MS = 10
_BUCKETS = 2_000
MOST_MS = _BUCKETS / _BUCKETS_PER_MS
"""The last bucket holds everything beyond: a percentile that says this may be any longer."""

Tick = Callable[[float], None]
"""Called with the time in ms. Must not block."""


@dataclass(slots=True)
class Lateness:
    """How late ticks were: a histogram with 0.1 ms buckets up to 200 ms."""

    counts: list[int] = field(default_factory=lambda: [0] * _BUCKETS)
    max_ms: float = 0.0

    def add(self, late_ms: float, ticks: int) -> None:
        """`ticks` ticks were up to `late_ms` late."""
        if late_ms > self.max_ms:
            self.max_ms = late_ms
        self.counts[min(max(int(late_ms * _BUCKETS_PER_MS), 0), _BUCKETS - 1)] += ticks

    def percentile(self, share: float) -> float:
        """Milliseconds that `share` (0 to 1) of the ticks did not exceed; 0 without ticks."""
        wanted = math.ceil(sum(self.counts) * share)
        seen = 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                return (bucket + 1) / _BUCKETS_PER_MS
        return 0.0

    def reset(self) -> None:
        """Begin to measure anew."""
        self.counts = [0] * _BUCKETS
        self.max_ms = 0.0


class Pacer:
    """Ticks its members. Start it once; it runs until `stop`."""

    def __init__(self, clock: Clock) -> None:
        self.lateness = Lateness()
        self._clock = clock
        self._phases: list[list[Tick]] = [[] for _ in range(PHASES)]
        self._origin_ms = 0.0
        self._beat = 0
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin to tick."""
        self._origin_ms = self._clock.now_ms()
        self._beat = 0
        self._wait()

    def stop(self) -> None:
        """End. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def add(self, tick: Tick) -> None:
        """Tick from now on, in the emptiest phase."""
        min(self._phases, key=len).append(tick)

    def remove(self, tick: Tick) -> None:
        """No more. Unknown ones are ignored."""
        for phase in self._phases:
            if tick in phase:
                phase.remove(tick)

    def _wait(self) -> None:
        due_ms = self._origin_ms + self._beat
        self._timer = self._clock.call_later(due_ms - self._clock.now_ms(), self._fire)

    def _fire(self) -> None:
        clock = self._clock
        while (due_ms := self._origin_ms + self._beat) <= clock.now_ms() + _EARLY_MS:
            members = self._phases[self._beat % PHASES]
            self._beat += 1
            if members:
                for tick in tuple(members):
                    tick(clock.now_ms())
                # What the last member of the phase saw, for all of them.
                self.lateness.add(clock.now_ms() - due_ms, len(members))
        if self._timer is not None:
            self._wait()
