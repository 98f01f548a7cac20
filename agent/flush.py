"""How long the far end takes to throw away what it has buffered (B4). Pure.

A platform answers no `clear`. But Twilio and Telnyx answer a mark at once when nothing waits to be played, so
a mark written right behind a `clear` comes back when that was carried out. It has a name that no sentence's
mark has.
"""

_PREFIX = "clear."


class FlushProbe:
    """One call's. At most one answer is waited for: the latest `clear`'s."""

    __slots__ = ("_count", "_name", "_written_ms")

    def __init__(self) -> None:
        self._count = 0
        self._name = ""
        self._written_ms = 0.0

    def cleared(self, now_ms: float) -> str:
        """A `clear` was written: the name of the mark that is to follow it."""
        self._count += 1
        self._name = f"{_PREFIX}{self._count}"
        self._written_ms = now_ms
        return self._name

    def returned(self, name: str, now_ms: float) -> float | None:
        """How long after its `clear` the mark came back, ms. None for any other mark, or an outdated one."""
        if not name or name != self._name:
            return None
        self._name = ""
        return now_ms - self._written_ms
