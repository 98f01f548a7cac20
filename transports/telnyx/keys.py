"""Keys that the caller presses: told on the socket, by webhook or both, maybe out of order (sheet 2.2)."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from agent.clock import Clock, Timer

HOLD_MS = 150.0
"""How long a key waits for one that was pressed before it. Typing takes longer than this per key, and a turn
of keys ends by `#` or seconds of silence, so nobody waits for it."""
REPEAT_MS = 5_000.0
"""A key taken from a webhook and then told by the socket within this time is the same key."""
MAX_HELD = 64


class _Key(NamedTuple):
    occurred_at: str
    digit: str
    from_webhook: bool


class KeyBuffer:
    """Delivers each key once, in order. Where both tell, the socket wins."""

    def __init__(self, clock: Clock, deliver: Callable[[str], None]) -> None:
        self._clock = clock
        self._deliver = deliver
        self._held: list[_Key] = []
        self._timer: Timer | None = None
        self._socket_tells = False
        self._taken: deque[tuple[str, float]] = deque(maxlen=MAX_HELD)
        """Digit and time of keys delivered on a webhook's word."""

    def from_socket(self, digit: str, occurred_at: str) -> None:
        """A `dtmf` message."""
        self._socket_tells = True
        if not self._was_taken(digit):
            self._hold(_Key(occurred_at, digit, False))

    def from_webhook(self, digit: str, occurred_at: str) -> None:
        """A `call.dtmf.received` webhook."""
        if not self._socket_tells:
            self._hold(_Key(occurred_at, digit, True))

    def flush(self) -> None:
        """Deliver what is held now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        keys, self._held = self._held, []
        if self._socket_tells:
            keys = [key for key in keys if not key.from_webhook]
        if all(key.occurred_at for key in keys):
            keys.sort(key=lambda key: key.occurred_at)
        for key in keys:
            if key.from_webhook:
                self._taken.append((key.digit, self._clock.now_ms()))
            self._deliver(key.digit)

    def _hold(self, key: _Key) -> None:
        self._held.append(key)
        if len(self._held) >= MAX_HELD:
            self.flush()
        elif self._timer is None:
            self._timer = self._clock.call_later(HOLD_MS, self.flush)

    def _was_taken(self, digit: str) -> bool:
        oldest_ms = self._clock.now_ms() - REPEAT_MS
        while self._taken and self._taken[0][1] < oldest_ms:
            self._taken.popleft()
        for taken in self._taken:
            if taken[0] == digit:
                self._taken.remove(taken)
                return True
        return False
