"""When Python's cycle collector may look at everything.

By itself it does so whenever the old objects have grown by a quarter, in one go and with all calls waiting:
at 5,000 sessions for a third of a second. Most of what it looks at belongs to calls that are on, and is no
garbage. Here young objects are looked at as ever, and old ones once enough calls have ended to make it worth
while, or when there is none.
"""

import gc
from collections.abc import Callable

from agent.clock import Clock, Timer

THRESHOLDS = (2_000, 10, 1_000_000)
"""New objects before a young collection, those before a middle one (together some 2 ms), and those before a
full one: never. See `gc.set_threshold`."""
CHECK_MS = 1_000.0
"""Between looks at how many calls have ended."""
MIN_ENDED = 200
"""Ended calls that make a full collection worth while, and twice as many as are on: so it costs each ended
call the same whatever the load, and garbage is never more than some calls' worth."""


class FullCollections:
    """Times them by the calls of this process. `start`, and `stop` at the end."""

    def __init__(self, clock: Clock, live: Callable[[], int], ended: Callable[[], int]) -> None:
        """`live()`: calls that are on. `ended()`: calls that have ended since the start."""
        self._clock = clock
        self._live = live
        self._ended = ended
        self._counted = 0
        self._before: tuple[int, int, int] | None = None
        self._timer: Timer | None = None
        self.count = 0
        """Full collections so far."""

    def start(self) -> None:
        """Take over. What is loaded by now stays for good, and is not looked at again."""
        if self._before is None:
            gc.collect()
            gc.freeze()
            self._before = gc.get_threshold()
            gc.set_threshold(*THRESHOLDS)
            self._look_later()

    def stop(self) -> None:
        """Leave it to Python again. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._before is not None:
            gc.set_threshold(*self._before)
            self._before = None

    def _look_later(self) -> None:
        self._timer = self._clock.call_later(CHECK_MS, self._look)

    def _look(self) -> None:
        ended, live = self._ended() - self._counted, self._live()
        if ended and (live == 0 or ended >= max(MIN_ENDED, 2 * live)):
            self._counted += ended
            self.count += 1
            gc.collect()
        self._look_later()
