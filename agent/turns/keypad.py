"""Keys that the caller presses (DTMF), collected into a turn. Pure: time comes in."""

TERMINATOR = "#"
MAX_DIGITS = 64
"""Longer than any number that people key in; more is somebody leaning on the keypad."""
VALID = frozenset("0123456789*#ABCD")


class Keypad:
    """Collects digits until `#`, the expected count, or a pause."""

    __slots__ = ("_digits", "_last_ms", "expected", "timeout_ms")

    def __init__(self, timeout_ms: float) -> None:
        self.timeout_ms = timeout_ms
        self.expected: int | None = None
        """How many digits were asked for, if that is known."""
        self._digits = ""
        self._last_ms = 0.0

    @property
    def pending(self) -> str:
        """Digits pressed so far."""
        return self._digits

    def press(self, digit: str, now_ms: float) -> str | None:
        """One key. Returns the digits when they are complete, else None. Invalid keys are ignored."""
        if digit not in VALID:
            return None
        self._last_ms = now_ms
        if digit == TERMINATOR:
            # A lone # is a key of its own ("press hash to repeat").
            return self._take() if self._digits else TERMINATOR
        self._digits += digit
        if len(self._digits) in (self.expected, MAX_DIGITS):
            return self._take()
        return None

    def expire(self, now_ms: float) -> str | None:
        """Digits whose caller has paused for `timeout_ms`, else None."""
        if self._digits and now_ms - self._last_ms >= self.timeout_ms:
            return self._take()
        return None

    def _take(self) -> str:
        digits, self._digits = self._digits, ""
        return digits
