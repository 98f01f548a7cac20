"""The caller's latest audio, for a recogniser that opens late or takes over from one that failed. Pure."""

from collections import deque

from agent.audio.formats import AudioFormat


class Backlog:
    """A bounded queue of payloads as they came from the line."""

    __slots__ = ("_bytes", "_bytes_per_ms", "_payloads")

    def __init__(self, audio: AudioFormat) -> None:
        self._bytes_per_ms = audio.bytes_per_ms
        self._payloads: deque[bytes] = deque()
        self._bytes = 0

    @property
    def ms(self) -> float:
        """How much there is."""
        return self._bytes / self._bytes_per_ms

    def append(self, payload: bytes, keep_ms: float) -> None:
        """Add `payload` and forget what is older than `keep_ms`: whole payloads only."""
        payloads = self._payloads
        payloads.append(payload)
        kept = self._bytes + len(payload)
        limit = keep_ms * self._bytes_per_ms
        if kept > limit > 0:
            while (rest := kept - len(payloads[0])) >= limit:
                payloads.popleft()
                kept = rest
        self._bytes = kept

    def last(self, ms: float) -> list[bytes]:
        """The payloads that hold the last `ms`, oldest first: whole ones, so a little more at the front."""
        wanted = ms * self._bytes_per_ms
        found: list[bytes] = []
        for payload in reversed(self._payloads):
            if wanted <= 0:
                break
            found.append(payload)
            wanted -= len(payload)
        found.reverse()
        return found
