"""Putting media messages back in order.

Telnyx's documentation says that they may come out of order and should be sorted by `chunk` (sheet 2.2). In
order they pass straight through. Behind a gap, up to `WINDOW` messages wait for the missing one, so a gap
costs at most 60 ms once and nothing afterwards; what comes later than that is dropped and counted.
"""

from collections.abc import Sequence

from agent.errors import WireError
from transports.telnyx.media_codec import NO_CHUNK, Media

WINDOW = 3
"""Messages of 20 ms that wait behind a gap."""
RESTART = 50
"""Further back than a second is no late message: the counter began anew."""
_MAX_VAIN = 8
"""Gaps in a row that never filled, after which none is waited for: the counter does not count by one."""


class Reorder:
    """Order of one stream. Bounded, synchronous."""

    __slots__ = ("_held", "_next", "_vain")

    def __init__(self) -> None:
        self._next = NO_CHUNK
        self._held: dict[int, Media] = {}
        self._vain = 0

    def push(self, media: Media) -> Sequence[Media]:
        """The messages that are due now, in order. Raises `WireError` for one that came too late or twice."""
        chunk = media.chunk
        if chunk == self._next and not self._held:
            self._next += 1
            return (media,)
        if chunk == NO_CHUNK:
            return (media,)
        if self._next == NO_CHUNK or self._next - chunk > RESTART:
            self._next = chunk + 1
            self._held.clear()
            return (media,)
        if chunk < self._next or chunk in self._held:
            raise WireError("late_media", f"chunk {chunk} after {self._next - 1}")
        return self._fill(media)

    def _fill(self, media: Media) -> list[Media]:
        held = self._held
        held[media.chunk] = media
        if self._vain >= _MAX_VAIN:
            due = [held.pop(chunk) for chunk in sorted(held)]
            self._next = due[-1].chunk + 1
            return due
        if media.chunk == self._next:
            self._vain = 0
        elif len(held) >= WINDOW:
            self._vain += 1
            self._next = min(held)
        due = []
        while self._next in held:
            due.append(held.pop(self._next))
            self._next += 1
        return due
