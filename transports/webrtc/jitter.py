"""Puts a stream's packets into order and decides when to stop waiting for one. Pure: time comes in.

Nobody listens here: recognition and voice activity take audio as it comes. So a packet in order is passed on
at once, without the delay that a playing receiver needs, and only a gap is waited out: 20 to 60 ms, by how
much delays vary on this network. A packet that comes after that is dropped.
"""

from dataclasses import dataclass
from typing import NamedTuple

MIN_WAIT_MS = 20.0
"""One packet: plain reordering."""
MAX_WAIT_MS = 60.0
"""Beyond this the wait is worse for a conversation than the gap; longer speech loss is concealed."""
START_WAIT_MS = 40.0
RESYNC_PACKETS = 50
"""A jump by this much (1 s) is a new start of the stream, not loss."""
_WAIT_PER_JITTER = 3.0
"""Mean deviations that a wait covers: nearly all packets of a normal network."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A packet, in order. `sequence` is extended: it does not wrap."""

    sequence: int
    timestamp: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Missing:
    """A packet that did not come in time. `following` is the payload right behind it, if that one is here."""

    sequence: int
    following: bytes | None


class _Held(NamedTuple):
    timestamp: int
    payload: bytes
    arrived_ms: float


class JitterBuffer:
    """One stream. `push` and `poll` return what can be played now, in order."""

    def __init__(self) -> None:
        self.late = 0
        """Packets that came after they had been given up."""
        self.duplicates = 0
        self.lost = 0
        """Packets given up."""
        self.reordered = 0
        self.resyncs = 0
        self.wait_ms = START_WAIT_MS
        """How long a gap is waited out."""
        self._next: int | None = None
        self._held: dict[int, _Held] = {}

    def push(self, sequence: int, timestamp: int, payload: bytes, now_ms: float) -> list[Arrived | Missing]:
        """A packet came; `sequence` and `timestamp` as on the wire."""
        expected = self._next
        if expected is None:
            self._next = sequence + 1
            return [Arrived(sequence, timestamp, payload)]
        # The difference in 16 bits, signed: how far ahead of what is expected.
        ahead = (sequence - expected + 0x8000 & 0xFFFF) - 0x8000
        if ahead == 0 and not self._held:
            self._next = expected + 1
            return [Arrived(expected, timestamp, payload)]
        extended = expected + ahead
        if abs(ahead) >= RESYNC_PACKETS:
            return self._resync(extended, timestamp, payload)
        if ahead < 0:
            self.late += 1
            return []
        if extended in self._held:
            self.duplicates += 1
            return []
        if self._held and extended < max(self._held):
            self.reordered += 1
        self._held[extended] = _Held(timestamp, payload, now_ms)
        return self._release(now_ms)

    def poll(self, now_ms: float) -> list[Arrived | Missing]:
        """Time has passed. Cheap when nothing is held back."""
        return self._release(now_ms) if self._held else []

    def adapt(self, jitter_ms: float) -> None:
        """The stream's interarrival jitter (RFC 3550, 6.4.1) has changed."""
        self.wait_ms = min(max(jitter_ms * _WAIT_PER_JITTER, MIN_WAIT_MS), MAX_WAIT_MS)

    @property
    def waiting(self) -> bool:
        """A gap is being waited out."""
        return bool(self._held)

    def _release(self, now_ms: float) -> list[Arrived | Missing]:
        out: list[Arrived | Missing] = []
        number = self._next
        assert number is not None
        while self._held:
            held = self._held.pop(number, None)
            if held is not None:
                out.append(Arrived(number, held.timestamp, held.payload))
            else:
                # A gap is known since the first packet behind it came.
                since_ms = min(behind.arrived_ms for behind in self._held.values())
                if now_ms - since_ms < self.wait_ms:
                    break
                following = self._held.get(number + 1)
                out.append(Missing(number, following.payload if following is not None else None))
                self.lost += 1
            number += 1
        self._next = number
        return out

    def _resync(self, extended: int, timestamp: int, payload: bytes) -> list[Arrived | Missing]:
        out: list[Arrived | Missing] = [
            Arrived(number, held.timestamp, held.payload) for number, held in sorted(self._held.items())
        ]
        self._held.clear()
        self.resyncs += 1
        self._next = extended + 1
        return [*out, Arrived(extended, timestamp, payload)]
