"""The far end's play buffer of one bulk call: what was sent to us plays one after the other. No IO.

It only keeps times, never audio, so that it costs next to nothing. Theory: audio that arrives while earlier
audio still plays is heard behind it; audio that arrives later is heard at once, after a silence. Within a
sentence that silence is a gap, if it is longer than the network's own playout buffer can hide.
"""

from collections import deque

from loadtest.bulk.figures import Figures

PLAYOUT_MS = 60.0
"""What a telephone network buffers before it plays: a gap is heard where that was not enough."""
_BURST_MS = 5.0
"""Messages closer than this were sent in one go: their distance says nothing about pacing."""
DEAD_AIR_MS = 2_000.0
"""Silence after which callers ask whether anybody is there."""


class Playback:
    """Times of what the caller hears."""

    __slots__ = ("_arrived_ms", "_duration_ms", "_in_sentence", "heard_any", "marks", "until_ms")

    def __init__(self) -> None:
        self.until_ms = 0.0
        """When the buffer will have run dry."""
        self.heard_any = False
        self._in_sentence = False
        self._arrived_ms = 0.0
        self._duration_ms = 0.0
        self.marks: deque[tuple[float, str]] = deque()
        """Those that have not been reached, and when they will be."""

    def arrived(self, duration_ms: float, now_ms: float, figures: Figures) -> float:
        """Audio came: when it begins to be heard."""
        slack_ms = self.until_ms - now_ms
        plays_ms = max(self.until_ms, now_ms)
        if self._in_sentence:
            figures.slack_ms.append(slack_ms)
            if slack_ms < -PLAYOUT_MS:
                figures.gaps += 1
                figures.gap_ms += -slack_ms - PLAYOUT_MS
            apart_ms = now_ms - self._arrived_ms
            if apart_ms > _BURST_MS:
                figures.jitter_ms.append(abs(apart_ms - self._duration_ms))
        figures.heard_ms += duration_ms
        self._arrived_ms, self._duration_ms = now_ms, duration_ms
        self._in_sentence = self.heard_any = True
        self.until_ms = plays_ms + duration_ms
        return plays_ms

    def mark(self, name: str) -> None:
        """The server wants to know when all audio so far has been heard: the end of a sentence."""
        self.marks.append((self.until_ms, name))
        self._in_sentence = False

    def reached(self, now_ms: float) -> list[str]:
        """The marks that have been passed since the last time."""
        found: list[str] = []
        while self.marks and self.marks[0][0] <= now_ms:
            found.append(self.marks.popleft()[1])
        return found

    def clear(self, now_ms: float) -> list[str]:
        """Throw away what waits. All pending marks come back at once."""
        self.until_ms = min(self.until_ms, now_ms)
        self._in_sentence = False
        marks, self.marks = self.marks, deque()
        return [name for _, name in marks]

    def pause(self) -> None:
        """The next audio is another sentence, whatever lies in between."""
        self._in_sentence = False
