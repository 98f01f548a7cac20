"""The process-wide clock beat that paces all playouts.

One timer serves every call. Members are spread over phases, so that 800 calls do not all send in the same
instant, and deadlines are absolute: a late beat is followed by an earlier next one, never by drift (relative
sleeps gave up to 60 % comfort silence under 10-25 ms stalls in another project's measurement).
"""

import logging
from collections.abc import Callable

from agent.clock import Clock, Timer

logger = logging.getLogger(__name__)

PERIOD_MS = 20.0
"""Each member is called once per period: one frame."""
PHASES = 10
"""2 ms between phases. A reply's first frame goes out when it is there, and its second with the next phase:
with 5 ms between them that came up to 2.5 ms early or late, most of what a browser saw of uneven pacing.
Phases without members cost nothing."""

Tick = Callable[[float], None]
"""Called with the time in ms. Must not block and must not raise."""


class Ticker:
    """Calls its members every 20 ms while there are any. Costs nothing while there are none."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._phases: list[dict[Tick, None]] = [{} for _ in range(PHASES)]
        self._beat = 0
        self._origin_ms = 0.0
        self._timer: Timer | None = None
        self.max_late_ms = 0.0
        """Latest beat so far, in ms after its deadline."""
        self.faults = 0
        """Members that raised, and were removed."""

    def add(self, tick: Tick) -> None:
        """Call `tick` from now on, first about one period from now. Adding twice does no harm.

        Members add themselves when they have sent something, so their phases are spread as their calls are.
        """
        if any(tick in phase for phase in self._phases):
            return
        now_ms = self._clock.now_ms()
        if self._timer is None:
            self._origin_ms = now_ms
            self._beat = 1
        beat_ms = PERIOD_MS / PHASES
        self._phases[round((now_ms - self._origin_ms) / beat_ms) % PHASES][tick] = None
        if self._timer is None:
            self._schedule(now_ms)

    def remove(self, tick: Tick) -> None:
        """Stop calling `tick`. Unknown members are ignored."""
        for phase in self._phases:
            phase.pop(tick, None)

    def close(self) -> None:
        """Forget all members and stop."""
        for phase in self._phases:
            phase.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self, now_ms: float) -> None:
        # Whoever adds itself meanwhile is due a period from then: never before the phase found here.
        while not self._phases[self._beat % PHASES]:
            self._beat += 1
        deadline_ms = self._origin_ms + self._beat * (PERIOD_MS / PHASES)
        self._timer = self._clock.call_later(deadline_ms - now_ms, self._fire)

    def _fire(self) -> None:
        now_ms = self._clock.now_ms()
        late_ms = now_ms - (self._origin_ms + self._beat * (PERIOD_MS / PHASES))
        if late_ms > self.max_late_ms:
            self.max_late_ms = late_ms
        # After a stall every phase that was due gets its beat now, but only one: members work out by
        # the clock how much they owe.
        due = min(1 + int(max(late_ms, 0.0) // (PERIOD_MS / PHASES)), PHASES)
        for offset in range(due):
            phase = self._phases[(self._beat + offset) % PHASES]
            for tick in tuple(phase):
                if tick not in phase:
                    continue  # removed by a member before it
                try:
                    tick(now_ms)
                except Exception:  # one call's fault must not stop the others' audio
                    self.faults += 1
                    self.remove(tick)
                    logger.exception("a playout failed and was stopped")
        self._beat += max(due, 1 + int(max(late_ms, 0.0) // (PERIOD_MS / PHASES)))
        if any(self._phases):
            self._schedule(self._clock.now_ms())
        else:
            self._timer = None
