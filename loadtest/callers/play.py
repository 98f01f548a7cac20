"""What a media platform plays to its caller: a buffer that drains in real time.

Twilio sheet 2.4 and 7.5, Telnyx sheet 2.3 and 7: audio of any length is queued and played in order; a mark
comes back when everything queued before it has been played; `clear` empties the queue and every pending
mark comes back at once; a mark behind nothing comes back at once.
"""

from collections import deque
from dataclasses import dataclass

from agent.audio.formats import FRAME_MS
from loadtest.callers.codec import CALLER_RATE_HZ

FRAME_BYTES = CALLER_RATE_HZ * 2 * FRAME_MS // 1000
"""One 20 ms frame of the caller's audio: 320 bytes of PCM16 at 8 kHz."""
SILENT_FRAME = bytes(FRAME_BYTES)
MAX_QUEUED_BYTES = 600 * CALLER_RATE_HZ * 2
"""Ten minutes. Twilio throws audio away beyond a limit that it does not publish (31930)."""


@dataclass(frozen=True, slots=True)
class Played:
    """One frame as it begins to be heard, and the marks that were reached before it."""

    audio: bytes
    """20 ms of PCM16 at 8 kHz, filled up with silence."""
    queued_bytes: int
    """How much of it came from the queue: 0 when nothing was waiting."""
    marks: tuple[str, ...]


class PlayBuffer:
    """The platform's play queue. Call `play` once for every 20 ms; positions are in bytes of PCM16."""

    def __init__(self) -> None:
        self._chunks: deque[memoryview] = deque()  # views, so that taking 20 ms of a long chunk copies 20 ms
        self._queued = 0
        self._taken = 0
        """Bytes taken out of the queue since the start, by playing or clearing."""
        self._heard = 0
        """The same without the frame that is being played at this moment."""
        self._marks: deque[tuple[int, str]] = deque()
        self.overflowed_bytes = 0
        """Audio thrown away because the server sent far more than can be played."""

    @property
    def queued_ms(self) -> float:
        """Milliseconds of audio that wait to be played."""
        return self._queued * 1000 / (CALLER_RATE_HZ * 2)

    def queue(self, pcm: bytes) -> None:
        """Play `pcm` (PCM16 at 8 kHz, whole samples) after all that is queued."""
        if self._queued + len(pcm) > MAX_QUEUED_BYTES:
            self.overflowed_bytes += len(pcm)
            return
        if pcm:
            self._chunks.append(memoryview(pcm))
            self._queued += len(pcm)

    def mark(self, name: str) -> tuple[str, ...]:
        """Note a mark behind all that is queued; `play` returns it when it has been reached.

        Returns it here if nothing is queued or being played: the platform sends such a mark back at once.
        """
        self._marks.append((self._taken + self._queued, name))
        return self._reached()

    def play(self) -> Played:
        """Take the next 20 ms.

        The marks are those before which everything had been played when this frame begins: a mark behind
        the last byte of a frame comes back with the next one, 20 ms later.
        """
        self._heard = self._taken
        marks = self._reached()
        parts: list[memoryview] = []
        missing = FRAME_BYTES
        while missing and self._chunks:
            chunk = self._chunks[0]
            parts.append(chunk[:missing])
            if len(chunk) <= missing:
                self._chunks.popleft()
            else:
                self._chunks[0] = chunk[missing:]
            missing -= len(parts[-1])
        taken = FRAME_BYTES - missing
        self._queued -= taken
        self._taken += taken
        audio = b"".join(parts).ljust(FRAME_BYTES, b"\0") if taken else SILENT_FRAME
        return Played(audio, taken, marks)

    def clear(self) -> tuple[str, ...]:
        """Throw away what is queued. Returns all pending marks, which the platform sends back at once."""
        self._taken += self._queued
        self._heard = self._taken
        self._queued = 0
        self._chunks.clear()
        return self._reached()

    def _reached(self) -> tuple[str, ...]:
        marks: list[str] = []
        while self._marks and self._marks[0][0] <= self._heard:
            marks.append(self._marks.popleft()[1])
        return tuple(marks)
