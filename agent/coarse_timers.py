"""Timers that may be a little late, thousands of them for the price of one.

A timer of the event loop costs some 750 bytes with uvloop, and each call waits for several things that are
minutes away: the caller's silence, a state's ceiling, a ping, its maximum length. Here such a wait is one
small object in a hierarchical timing wheel (Varghese and Lauck 1987: setting and cancelling take constant
time), and all of them share one timer of the loop, which rests while nobody waits. Where tens of milliseconds
matter (endpointing, playout, latency budgets) `Clock.call_later` is the right one.
"""

import logging
from collections.abc import Callable
from typing import Protocol

from agent.clock import Clock, Timer

logger = logging.getLogger(__name__)

TICK_MS = 100.0
"""How late a timer may be: of what waits here (seconds to an hour) nobody can tell a tenth of a second, and
ten wake-ups a second cost a process next to nothing."""
SLOT_BITS = 6
SLOTS = 1 << SLOT_BITS
"""Per level: the first reaches 6.4 s ahead, the second 7 minutes, the third 7 hours, the fourth 19 days."""
LEVELS = 4
_MASK = SLOTS - 1
_FURTHEST = (1 << SLOT_BITS * LEVELS) - 1

Callback = Callable[[], object]


class Timers(Protocol):
    """What can call back later: a `Clock`, or `CoarseTimers`."""

    def call_later(self, delay_ms: float, callback: Callback) -> Timer:
        """Call `callback` on the event loop after `delay_ms`, never before."""


class WheelTimer:
    """One callback in a wheel: a link in the ring of its slot. Made by `Wheel.add`."""

    __slots__ = ("after", "before", "callback", "due")

    def __init__(self, due: int, callback: Callback | None) -> None:
        self.due = due
        self.callback = callback
        self.before: WheelTimer = self
        self.after: WheelTimer = self

    def cancel(self) -> None:
        """Drop the callback. Safe to call twice, and after it ran."""
        self.callback = None
        self.unlink()

    def unlink(self) -> None:
        """Leave the ring."""
        before, after = self.before, self.after
        before.after, after.before = after, before
        self.before = self.after = self

    def link(self, timer: "WheelTimer") -> None:
        """Put `timer` last into the ring of which this is the head."""
        last = self.before
        timer.before, timer.after = last, self
        last.after = self.before = timer


class Wheel:
    """Timers by tick, without a clock. Ticks are whole numbers that only grow."""

    __slots__ = ("_levels", "now")

    def __init__(self, now: int = 0) -> None:
        self.now = now
        """The last tick that is over."""
        self._levels = [[WheelTimer(0, None) for _ in range(SLOTS)] for _ in range(LEVELS)]

    @property
    def empty(self) -> bool:
        """Nobody waits. Looks at every slot: some microseconds."""
        return all(head.after is head for level in self._levels for head in level)

    def add(self, due: int, callback: Callback) -> WheelTimer:
        """Keep `callback` for the tick `due`, the next one at the earliest."""
        timer = WheelTimer(max(due, self.now + 1), callback)
        self._place(timer)
        return timer

    def step(self, run: Callable[[Callback], None]) -> None:
        """One tick passes: `run` gets each callback that is due, in the order in which they were added.

        What a callback adds is due in the next tick at the earliest; it may cancel any other.
        """
        self.now += 1
        self._descend()
        head = self._levels[0][self.now & _MASK]
        while (timer := head.after) is not head:
            timer.unlink()
            callback, timer.callback = timer.callback, None
            if callback is not None:
                run(callback)

    def _descend(self) -> None:
        """A slot of a higher level has come so near that its timers belong to lower ones."""
        turn = self.now
        for level in self._levels[1:]:
            if turn & _MASK:
                return
            turn >>= SLOT_BITS
            head = level[turn & _MASK]
            while (timer := head.after) is not head:
                timer.unlink()
                self._place(timer)

    def _place(self, timer: WheelTimer) -> None:
        # What is further away than the wheel reaches goes to its end, and is looked at again there.
        due = min(timer.due, self.now + _FURTHEST)
        ahead, level = due - self.now, 0
        while ahead >= SLOTS:
            ahead >>= SLOT_BITS
            level += 1
        self._levels[level][(due >> SLOT_BITS * level) & _MASK].link(timer)


class CoarseTimers:
    """A process's wheel on its clock. Event loop only. `close` at the end."""

    def __init__(self, clock: Clock, tick_ms: float = TICK_MS) -> None:
        self._clock = clock
        self._tick_ms = tick_ms
        self._began_ms = clock.now_ms()
        self._wheel = Wheel()
        self._beat: Timer | None = None
        self.faults = 0
        """Callbacks that raised, each logged: none of them is another's business."""

    def call_later(self, delay_ms: float, callback: Callback) -> WheelTimer:
        """Call `callback` on the event loop after `delay_ms`, and at most a tick later than that."""
        passed_ms = self._clock.now_ms() - self._began_ms
        if self._beat is None:
            # It rested since nobody waited: no timer is passed over.
            self._wheel.now = max(self._wheel.now, int(passed_ms // self._tick_ms))
            self._wait()
        return self._wheel.add(-int(-(passed_ms + max(delay_ms, 0.0)) // self._tick_ms), callback)

    def close(self) -> None:
        """Call nobody any more. Idempotent."""
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        self._wheel = Wheel(self._wheel.now)

    def _wait(self) -> None:
        next_ms = self._began_ms + (self._wheel.now + 1) * self._tick_ms
        self._beat = self._clock.call_later(next_ms - self._clock.now_ms(), self._advance)

    def _advance(self) -> None:
        wheel = self._wheel
        passed = int((self._clock.now_ms() - self._began_ms) // self._tick_ms)
        while wheel.now < passed:
            wheel.step(self._run)
            if wheel is not self._wheel:
                return  # closed by a callback
        # Looked at once per turn of the first level: that is often enough to find rest.
        if wheel.now & _MASK == 0 and wheel.empty:
            self._beat = None
        else:
            self._wait()

    def _run(self, callback: Callback) -> None:
        try:
            callback()
        except Exception:  # others wait in the same wheel
            self.faults += 1
            logger.exception("a timer's callback failed")
