"""The keys of one call: presses in, digits of a turn out, with the pause that ends them."""

from collections.abc import Callable

from agent.clock import Clock
from agent.scope import CallScope
from agent.turns.keypad import TERMINATOR, VALID, Keypad

_TIMER = "keypad"


class Keys:
    """Collects key presses. `on_digits(digits, pressed_ms, closed)` gets them when they are complete.

    `closed`: the caller ended them with `#` or pressed as many as were asked for; else there was a pause.
    """

    def __init__(
        self,
        timeout_ms: float,
        clock: Clock,
        scope: CallScope,
        on_digits: Callable[[str, float, bool], None],
    ) -> None:
        self._keypad = Keypad(timeout_ms)
        self._clock = clock
        self._scope = scope
        self._on_digits = on_digits
        self._pressed_ms = 0.0
        self._taken_ms: float | None = None

    @property
    def pending(self) -> bool:
        """Keys were pressed that are no turn yet."""
        return bool(self._keypad.pending)

    def press(self, digit: str, expected: int | None, interrupt: Callable[[], None]) -> None:
        """One key. `expected`: how many digits the agent has asked for, if that is known.

        `interrupt` is called before anything else when the key does not complete the digits.
        """
        now_ms = self._clock.now_ms()
        if digit not in VALID or self._is_trailing_hash(digit, now_ms):
            return
        if not self._keypad.pending:
            self._keypad.expected = expected
        self._pressed_ms = now_ms
        digits = self._keypad.press(digit, now_ms)
        self._scope.cancel_timer(_TIMER)
        if digits is not None:
            self._taken_ms = None if digit == TERMINATOR else now_ms
            self._on_digits(digits, now_ms, True)
        else:
            interrupt()
            self._scope.after(_TIMER, self._keypad.timeout_ms, self._paused)

    def _is_trailing_hash(self, digit: str, now_ms: float) -> bool:
        """People end a number with # also when it was complete before: that is no new turn, and must not
        cut off the answer to the digits."""
        taken_ms, self._taken_ms = self._taken_ms, None
        return digit == TERMINATOR and taken_ms is not None and now_ms - taken_ms <= self._keypad.timeout_ms

    def _paused(self) -> None:
        # The timer may come a little early by its own rounding.
        digits = self._keypad.expire(self._clock.now_ms() + 1.0)
        if digits is not None:
            self._taken_ms = self._clock.now_ms()
            self._on_digits(digits, self._pressed_ms, False)
