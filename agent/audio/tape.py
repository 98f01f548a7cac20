"""Audio that is written at one end, read by position, and forgotten at the other.

Kept in blocks of one size: nothing is moved or reallocated while it grows, what is forgotten goes back to the
heap at once, and the next call's block fits where it was. (A `bytearray` per call held 35 kB on average where
20 were in use, and left holes between the calls.)
"""

BLOCK_BYTES = 4_096
"""Half a second of G.711."""


class Tape:
    """Positions are bytes from the first that was ever written. `len` is what is kept."""

    __slots__ = ("_base", "_blocks", "end", "start")

    def __init__(self, start: int = 0) -> None:
        """Empty, with `start` as the position of the first byte to come."""
        self._blocks: list[bytearray] = []  # some ten: a deque alone takes as much as 80 entries
        self._base = start
        self.start = start
        """What lies before this is forgotten."""
        self.end = start
        """Where the next byte goes."""

    def __len__(self) -> int:
        return self.end - self.start

    def append(self, audio: bytes) -> None:
        """Write at the end."""
        at, size = 0, len(audio)
        while at < size:
            offset = (self.end - self._base) % BLOCK_BYTES
            if not offset:
                self._blocks.append(bytearray(BLOCK_BYTES))
            part = min(BLOCK_BYTES - offset, size - at)
            self._blocks[-1][offset : offset + part] = audio[at : at + part]
            at += part
            self.end += part

    def read(self, position: int, size: int) -> bytes:
        """`size` bytes from `position` on, less at the end. Raises `ValueError` for what was forgotten."""
        if position < self.start:
            raise ValueError(f"position {position} was forgotten: {self.start} is the first")
        size = max(min(size, self.end - position), 0)
        number, offset = divmod(position - self._base, BLOCK_BYTES)
        if offset + size <= BLOCK_BYTES:
            return bytes(memoryview(self._blocks[number])[offset : offset + size]) if size else b""
        parts = bytearray()
        while len(parts) < size:
            parts += self._blocks[number][offset : offset + size - len(parts)]
            number, offset = number + 1, 0
        return bytes(parts)

    def forget(self, position: int) -> None:
        """Give back what lies before `position`, which is no further than `end`."""
        self.start = max(self.start, min(position, self.end))
        while self._blocks and self._base + BLOCK_BYTES <= self.start:
            del self._blocks[0]
            self._base += BLOCK_BYTES
