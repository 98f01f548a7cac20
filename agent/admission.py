"""Who may come in: slots, measured loop lag, room on the core, and the tickets that hold a slot until the
socket comes.

A call that this process could not carry well is refused at the door, so that it cannot hurt those inside.
"""

import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from agent.busy import CoreRoom
from agent.clock import Clock, Timer
from agent.errors import RefusalReason, Refused, TicketError

TICKET_MS = 30_000
"""A platform opens its socket within a second or two of the webhook's answer; its own limit is 15 s."""
LAG_PERIOD_MS = 25.0
LAG_SMOOTHING = 0.1
"""Weight of each sample: the lag of about the last quarter second."""
_MAX_MISSED = 40
"""Beats made up for after one stall, a second's worth: then the average is the stall's own."""


class LoopLag:
    """How late the event loop runs its timers, sampled all the time.

    Beats have absolute deadlines. Those that a busy loop missed are made up for in one go, each with its own
    lateness: the average is over time, so that a loop which runs less often does not count for less.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timer: Timer | None = None
        self._due_ms = 0.0
        self.smoothed_ms = 0.0
        self.max_ms = 0.0

    def start(self) -> None:
        """Begin sampling."""
        self._due_ms = self._clock.now_ms() + LAG_PERIOD_MS
        self._timer = self._clock.call_later(LAG_PERIOD_MS, self._sample)

    def stop(self) -> None:
        """End sampling."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sample(self) -> None:
        now_ms = self._clock.now_ms()
        self.max_ms = max(self.max_ms, now_ms - self._due_ms)
        # A machine that was asleep does not replay its night.
        self._due_ms = max(self._due_ms, now_ms - _MAX_MISSED * LAG_PERIOD_MS)
        while True:
            lag_ms = max(now_ms - self._due_ms, 0.0)
            self.smoothed_ms += (lag_ms - self.smoothed_ms) * LAG_SMOOTHING
            self._due_ms += LAG_PERIOD_MS
            if self._due_ms > now_ms:
                break
        self._timer = self._clock.call_later(self._due_ms - now_ms, self._sample)


class _Slot:
    __slots__ = ("_free",)

    def __init__(self, free: Callable[[], None]) -> None:
        self._free: Callable[[], None] | None = free

    def release(self) -> None:
        """See `agent.lines.Slot`."""
        free, self._free = self._free, None
        if free is not None:
            free()


class Admission:
    """Counts slots. One counter decides; load only lowers the limit."""

    def __init__(self, max_calls: int, max_lag_ms: float, lag: LoopLag, core: CoreRoom | None = None) -> None:
        """Without `core` only slots and lag count."""
        self.core = core
        self.max_calls = max_calls
        self.taken = 0
        self.released = 0
        """Slots given back since the start."""
        self.draining = False
        self.refused: Counter[RefusalReason] = Counter()
        """By `RefusalReason`."""
        self._max_lag_ms = max_lag_ms
        self._lag = lag

    def reserve(self) -> _Slot:
        """A slot. Raises `Refused`. With no call live, load alone never refuses one."""
        reason: RefusalReason | None = None
        if self.draining:
            reason = RefusalReason.DRAINING
        elif self.taken >= self.max_calls:
            reason = RefusalReason.FULL
        elif self.taken and self._lag.smoothed_ms > self._max_lag_ms:
            reason = RefusalReason.OVERLOADED
        elif self.taken and self.core is not None and self.core.full(self.taken):
            reason = RefusalReason.CORE_FULL
        if reason is not None:
            self.refused[reason] += 1
            raise Refused(reason)
        return self._take()

    def readmit(self) -> _Slot:
        """A slot for the new socket of a live call, which holds one already: never refused.

        For the moment until the socket has come this may be one slot beyond the limit.
        """
        return self._take()

    def _take(self) -> _Slot:
        self.taken += 1
        return _Slot(self._freed)

    def _freed(self) -> None:
        self.taken -= 1
        self.released += 1


@dataclass(slots=True)
class _Ticket:
    secret: str
    slot: _Slot
    expiry: Timer


class TicketOffice:
    """Implements `agent.lines.Tickets`."""

    def __init__(
        self, admission: Admission, clock: Clock, is_live: Callable[[str], bool] = lambda _: False
    ) -> None:
        """`is_live(platform_call_id)`: such a call only wants a new socket, so load cannot refuse it."""
        self.is_live = is_live
        self.on_gone: Callable[[], None] = lambda: None
        """Called after a ticket was used, has expired or was cancelled."""
        self._admission = admission
        self._clock = clock
        self._tickets: dict[str, _Ticket] = {}

    def issue(self, platform_call_id: str) -> str:
        """See `agent.lines.Tickets`. Bounded by the slots."""
        known = self._tickets.pop(platform_call_id, None)
        if known is not None:
            known.expiry.cancel()
            slot = known.slot
        elif self.is_live(platform_call_id):
            slot = self._admission.readmit()
        else:
            slot = self._admission.reserve()
        secret = secrets.token_urlsafe(24)
        expiry = self._clock.call_later(TICKET_MS, lambda: self.cancel(platform_call_id))
        self._tickets[platform_call_id] = _Ticket(secret, slot, expiry)
        return secret

    def redeem(self, ticket: str, platform_call_id: str) -> _Slot:
        """See `agent.lines.Tickets`."""
        held = self._tickets.get(platform_call_id)
        if held is None or not secrets.compare_digest(held.secret.encode(), ticket.encode()):
            raise TicketError("the socket's ticket is missing, unknown, used or expired")
        del self._tickets[platform_call_id]
        held.expiry.cancel()
        self.on_gone()
        return held.slot

    @property
    def outstanding(self) -> int:
        """Tickets whose socket has not come yet."""
        return len(self._tickets)

    def cancel(self, platform_call_id: str) -> None:
        """See `agent.lines.Tickets`."""
        held = self._tickets.pop(platform_call_id, None)
        if held is not None:
            held.expiry.cancel()
            held.slot.release()
            self.on_gone()

    def close(self) -> None:
        """Cancel all."""
        for platform_call_id in list(self._tickets):
            self.cancel(platform_call_id)
