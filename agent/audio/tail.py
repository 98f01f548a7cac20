"""Where an utterance really ended: the soft release behind the last frame that was called a voice.

webrtcvad weighs each frame against a model that it has learnt from the line. The burst of a final stop
consonant ("visit", "booked"), 20 to 80 ms of weak noise behind a closure, is at the edge of that model: the
very same samples were a voice in three calls of four and none in the fourth, by what the line had carried
before. A response time that begins there differs by as much from what the caller waited.

So the *moment* of the last sound, unlike the decision that somebody speaks, is told from level alone, out of
the frames around it: no model of the line takes part, and the same samples end in the same frame in every
call.
"""

from array import array

from agent.audio.formats import FRAME_MS
from agent.audio.vad import FALL_DB, MIN_SPEECH_DBFS, PEAK_DECAY_DB_S

REACH_MS = 120
"""How far behind the last voiced frame a release may lie: a closure lasts 80 to 100 ms, and what is later is
another sound, such as a receiver put down."""
QUIET_MS = 200
"""How much of the silence behind is looked at: shorter than any silence that ends a turn by default."""
MARGIN_DB = 12.0
"""How far a release stands out of the silence behind it. Noise whose level swings by less changes nothing."""

_REACH = REACH_MS // FRAME_MS
_QUIET = QUIET_MS // FRAME_MS
_MIN_RMS = 32768.0 * 10 ** (MIN_SPEECH_DBFS / 20)
_MARGIN = 10 ** (MARGIN_DB / 20)
_FALL = 10 ** (-FALL_DB / 20)
_PEAK_DECAY = 10 ** (-PEAK_DECAY_DB_S * FRAME_MS / 1000 / 20)


class SpeechTail:
    """Levels around the end of what was said last. Feed `add` with every frame, in order."""

    __slots__ = ("_behind", "_count", "_far_below", "_peak")

    def __init__(self) -> None:
        self._behind = array("H", bytes(2 * _QUIET))
        self._count = _QUIET
        self._far_below = 0
        """One bit for each of those frames that is too far below the speech before it."""
        self._peak = 0.0

    def add(self, rms: int, voiced: bool) -> None:
        """The next frame's level (of PCM16, 0 to 32768), and whether it was called a voice."""
        peak = self._peak * _PEAK_DECAY
        self._peak = peak if peak > rms else float(rms)
        if voiced:
            self._count = self._far_below = 0
        elif self._count < _QUIET:
            self._behind[self._count] = rms
            if rms < peak * _FALL:
                self._far_below |= 1 << self._count
            self._count += 1

    def release_ms(self) -> float:
        """How long the sound went on behind the last voiced frame: 0 to `REACH_MS`, whole frames."""
        behind = self._behind[: self._count]
        if not behind:
            return 0.0
        least = max(_MIN_RMS, min(behind) * _MARGIN)
        for index in range(min(self._count, _REACH) - 1, -1, -1):
            if behind[index] >= least and not self._far_below >> index & 1:
                return float((index + 1) * FRAME_MS)
        return 0.0
