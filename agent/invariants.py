"""What must hold in every live call, looked at each second and mended where it does not.

One for now: **speaking means bytes left.** A call that is in its speaking state, with nothing that holds it
back and nothing left at the far end, must have sent audio in the last 500 ms. Where it has not, something
lost its place in the playout: the call would be mute until the state's ceiling, tens of seconds later.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from agent.clock import Clock, Timer

logger = logging.getLogger(__name__)

CHECK_MS = 1_000.0
SILENT_MS = 500.0
GIVE_UP_MS = 3_000.0
"""A reply that is still mute after so long is given up: no caller waits longer for the rest of a sentence."""
SPEAKING = "speaking_sends_bytes"


class WatchedCall(Protocol):
    """What a call tells, and what can be done about it."""

    @property
    def call_id(self) -> str:
        """For the log."""

    def silent_ms(self, now_ms: float) -> float | None:
        """For how long the far end has had nothing to play although the agent speaks.

        None while it does not speak, is paused or held, or speaks through the platform (text lines).
        """

    def nudge(self) -> None:
        """Send what is due, and be called again for the rest: cures a playout that lost its ticker."""

    def give_up_reply(self) -> None:
        """End the reply that makes no sound; the call goes on and it is the caller's turn."""


class Invariants:
    """Checks all live calls each second. `start` and `stop` on the loop."""

    def __init__(self, clock: Clock, calls: Callable[[], Iterable[WatchedCall]]) -> None:
        self._clock = clock
        self._calls = calls
        self._timer: Timer | None = None
        self._due_ms = 0.0
        self._nudged: set[str] = set()
        self.violations: Counter[str] = Counter()
        """By invariant."""

    def start(self) -> None:
        """Begin."""
        self._due_ms = self._clock.now_ms() + CHECK_MS
        self._timer = self._clock.call_later(CHECK_MS, self._tick)

    def stop(self) -> None:
        """End. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def check(self, now_ms: float) -> None:
        """Look at all calls once."""
        silent: set[str] = set()
        # Mending a call may end it, and with that change the collection of live ones.
        for call in list(self._calls()):
            silent_ms = call.silent_ms(now_ms)
            if silent_ms is None or silent_ms <= SILENT_MS:
                continue
            silent.add(call.call_id)
            if call.call_id not in self._nudged:
                self.violations[SPEAKING] += 1
                logger.warning("call %s: speaking, but mute for %.0f ms: nudged", call.call_id, silent_ms)
                call.nudge()
            elif silent_ms > GIVE_UP_MS:
                logger.error("call %s: mute for %.0f ms: the reply is given up", call.call_id, silent_ms)
                call.give_up_reply()
        # One violation is counted once, however long it takes to mend.
        self._nudged = silent

    def _tick(self) -> None:
        now_ms = self._clock.now_ms()
        self._due_ms = max(self._due_ms + CHECK_MS, now_ms)
        self._timer = self._clock.call_later(self._due_ms - now_ms, self._tick)
        try:
            self.check(now_ms)
        except Exception:  # the check must go on, whatever one call does
            logger.exception("an invariant could not be checked")
            self.violations["check_failed"] += 1
