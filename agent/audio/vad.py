"""Voice activity on telephone audio: is there a voice in this frame, did somebody begin or stop speaking.

Theory of operation
-------------------
`VoiceDetector` judges single frames, by two witnesses that must agree:

* webrtcvad knows what a voice sounds like, but takes babble, hum and swelling traffic for one, and goes on
  saying "voice" for some 110 ms after the last syllable (its hangover). As the last voiced frame is where
  the response time of the agent starts, that hangover would be a lie in our favour: waits that begin with
  it are too long by it, and figures that begin with it too good.
* the level must stand out: above an absolute threshold, above the line's own noise, and not too far below
  the speech that has just been heard (a voice does not fall by 30 dB from one frame to the next; the tail of
  a hangover does).

The noise is the quietest smoothed frame of the last 1.6 s: it follows downwards at once, and upwards as
soon as the older, quieter frames have been forgotten. Speech has pauses and closures that keep it down;
noise, hum and most music have none. What is not known yet (the first frames of a call) counts as quiet,
so a call that begins with speech is heard from its first syllable.

`SpeechGate` turns the stream of yes and no into beginnings and ends, with hysteresis: single clicks do not
begin speech, short gaps do not end it. `PreRoll` keeps the last frames, so that the recogniser also gets
the syllable that made the gate open. All are plain objects without a clock: time is counted in frames.

`python -m bench.hearing` measures all of it; figures quoted below are from there.
"""

import math
from collections import deque
from enum import StrEnum

import _webrtcvad

from agent.audio.formats import FRAME_MS
from agent.audio.g711 import rms as root_mean_square

_process = _webrtcvad.process

RATES_HZ = (8000, 16000, 32000, 48000)
"""Sample rates that webrtcvad takes."""

_FULL_SCALE = 32768.0
_QUIETEST = 1e-5
"""-100 dBFS: what digital silence is called."""


MIN_SPEECH_DBFS = -58.0
"""Softer than this is never a voice. A talker at -38 dBFS, 12 dB below nominal telephone level, has weak
consonants around -55; idle lines and comfort noise lie at -60 and below."""
MARGIN_DB = 6.0
"""How far a voice stands out of the noise: a trade. With 4, 6 and 9 dB, 13, 23 and 43 % of the speech
frames are missed in pink noise at 10 dB SNR, 3, 7 and 18 % at 15 dB. In cafe noise at 15 dB SNR the last
voiced frame of one utterance in ten is 220 ms late with 4 dB, 7 ms with 6 and 9; at 10 dB SNR it is 430 ms
late with 4 and 6."""
FALL_DB = 30.0
"""Within a second or so of speech, frames this far below its peaks are an echo of it or the hangover."""
PEAK_DECAY_DB_S = 20.0
"""How fast the peak is forgotten, so that a soft speaker after a loud one is heard within a second."""
STEADY_DB = 4.5
"""A level that stays within this for 400 ms is noise. Speech never did (lowest of 113 spans: 4.9 dB); white,
pink, comfort noise, hum and music do. Without it webrtcvad takes noise that sets in for speech until the
quiet has been forgotten, 1.6 s later."""
FIRST_FRAMES = 5
FIRST_SPEECH_DBFS = -45.0
"""webrtcvad calls whatever it hears in its first 80 to 100 ms a voice, so there the level has to be plain."""

_BUCKET_FRAMES = 10
_BUCKETS = 8
"""The floor's memory: 8 x 200 ms. Shorter, and a long phrase becomes its own noise; longer, and a talker in
a car that drives off is unheard for longer."""


def _ratio(db: float) -> float:
    return float(10 ** (db / 20))


_MIN_SPEECH_RMS = _FULL_SCALE * _ratio(MIN_SPEECH_DBFS)
_FIRST_SPEECH_RMS = _FULL_SCALE * _ratio(FIRST_SPEECH_DBFS)
_MARGIN = _ratio(MARGIN_DB)
_FALL = _ratio(-FALL_DB)
_PEAK_DECAY = _ratio(-PEAK_DECAY_DB_S * FRAME_MS / 1000)
_STEADY = _ratio(STEADY_DB)


class VoiceDetector:
    """Tells for each 20 ms of one caller's audio whether there is a voice in it.

    `rate_hz` is one of `RATES_HZ`; `aggressiveness` is webrtcvad's mode, 0 (takes most for voice) to 3. The
    level decides most of it: 2 misses 4 % of a talker at -38 dBFS, 3 misses 13 %; 0 and 1 take more babble
    for a voice. In all else they are alike.
    Raises `ValueError` for others. About 2 us a frame.
    """

    __slots__ = (
        "_bucket_high", "_bucket_left", "_bucket_low", "_first_left", "_floor", "_frame_bytes",
        "_frame_samples", "_last_high", "_last_low", "_lows", "_peak", "_rate_hz", "_rms", "_smooth", "_vad",
    )  # fmt: skip

    def __init__(self, rate_hz: int, aggressiveness: int = 2) -> None:
        if rate_hz not in RATES_HZ:
            raise ValueError(f"rate_hz is {rate_hz}: use one of {RATES_HZ}, or resample")
        if not 0 <= aggressiveness <= 3:
            raise ValueError(f"aggressiveness is {aggressiveness}: use 0 to 3")
        # The C function itself: the package's `Vad` checks again what `is_voiced` has checked.
        self._vad = _webrtcvad.create()
        _webrtcvad.init(self._vad)
        _webrtcvad.set_mode(self._vad, aggressiveness)
        self._rate_hz = rate_hz
        self._frame_samples = rate_hz * FRAME_MS // 1000
        self._frame_bytes = rate_hz * FRAME_MS // 1000 * 2
        self._rms = 0
        self._smooth = 0.0
        self._peak = 0.0
        self._first_left = FIRST_FRAMES
        # What came before the call counts as quiet: a call may begin with speech.
        self._floor = 0.0
        self._lows = deque([0.0] * (_BUCKETS - 1), maxlen=_BUCKETS - 1)
        self._bucket_left = _BUCKET_FRAMES
        self._bucket_low = math.inf
        self._bucket_high = 0.0
        self._last_low = 0.0
        self._last_high = math.inf

    @property
    def rms(self) -> int:
        """Level of the last frame, of PCM16: 0 to 32768."""
        return self._rms

    @property
    def level_dbfs(self) -> float:
        """Level of the last frame; -100 for digital silence."""
        return _dbfs(self._rms)

    @property
    def noise_dbfs(self) -> float:
        """Level of the noise under it, as far as it is known; -100 at first."""
        return _dbfs(self._floor)

    def is_voiced(self, frame: bytes) -> bool:
        """True if there is a voice in `frame` (20 ms of PCM16). Raises `ValueError` for another length."""
        if len(frame) != self._frame_bytes:
            raise ValueError(f"a frame of {len(frame)} bytes: 20 ms are {self._frame_bytes}")
        self._rms = rms = root_mean_square(frame, 2)
        # The mean of neighbours: a single soft frame must not make the floor.
        self._smooth = smooth = (self._smooth + rms) / 2
        if smooth < self._bucket_low:
            self._bucket_low = smooth
            if smooth < self._floor:
                self._floor = smooth
        if smooth > self._bucket_high:
            self._bucket_high = smooth
        self._bucket_left -= 1
        if not self._bucket_left:
            self._next_bucket()
        self._peak = peak = self._peak * _PEAK_DECAY
        # Asked on every frame, also soft ones: it learns what the line sounds like.
        likely = _process(self._vad, self._rate_hz, frame, self._frame_samples)
        if self._first_left:
            self._first_left -= 1
            likely = likely and rms >= _FIRST_SPEECH_RMS
        if not likely or rms < _MIN_SPEECH_RMS or rms < self._floor * _MARGIN or rms < peak * _FALL:
            return False
        if rms > peak:
            self._peak = float(rms)
        return True

    def _next_bucket(self) -> None:
        """Every 200 ms: forget the oldest fifth of a second of noise, or everything before a steady sound."""
        low = min(self._bucket_low, self._last_low)
        if max(self._bucket_high, self._last_high) < low * _STEADY:
            self._lows.extend([low] * (_BUCKETS - 1))
        else:
            self._lows.append(self._bucket_low)
        self._floor = min(self._lows)
        self._last_low, self._last_high = self._bucket_low, self._bucket_high
        self._bucket_low, self._bucket_high = math.inf, 0.0
        self._bucket_left = _BUCKET_FRAMES


def _dbfs(rms: float) -> float:
    return 20 * math.log10(max(rms / _FULL_SCALE, _QUIETEST))


class SpeechChange(StrEnum):
    """What a `SpeechGate` noticed."""

    STARTED = "started"
    STOPPED = "stopped"


class SpeechGate:
    """Beginning and end of speech, out of voiced and unvoiced frames.

    Speech has started when `start_ms` of the last `window_ms` were voiced (rounded up to whole frames), and
    stopped when `hangover_ms` in a row were not. While a run of voice goes on:

    * `speaking` is True from STARTED to STOPPED;
    * `onset_frames` is how many frames before the latest one the run's first voiced frame was: feed that
      many and the latest to the recogniser, and some pre-roll for the consonant before;
    * `voiced_ms` counts the run's voiced frames. Before STARTED only those in the window count.

    `silence_ms` is the time since the last voiced frame (infinite before the first), whether it counted as
    speech or not.
    """

    __slots__ = (
        "_hangover", "_needed", "_recent", "_since_onset", "_unvoiced", "_voiced", "_window", "speaking",
    )  # fmt: skip

    def __init__(self, start_ms: float = 60.0, window_ms: float = 100.0, hangover_ms: float = 200.0) -> None:
        self._needed = max(1, math.ceil(start_ms / FRAME_MS))
        self._window = math.ceil(window_ms / FRAME_MS)
        self._hangover = max(1, math.ceil(hangover_ms / FRAME_MS))
        if self._window < self._needed:
            raise ValueError(f"{start_ms} ms of voice do not fit into a window of {window_ms} ms")
        self.speaking = False
        self._unvoiced: float = math.inf
        self._recent = 0
        self._voiced = 0
        self._since_onset = 0

    @property
    def silence_ms(self) -> float:
        """Milliseconds since the last voiced frame: 0 while there is voice."""
        return self._unvoiced * FRAME_MS

    @property
    def voiced_ms(self) -> float:
        """Milliseconds of voice in the present run; 0 when there is none."""
        return self._voiced * FRAME_MS

    @property
    def onset_frames(self) -> int:
        """How many frames ago the first voiced frame of the run was; 0 if it is the latest, or none is."""
        return self._since_onset

    def update(self, voiced: bool) -> SpeechChange | None:
        """Count one more frame."""
        if voiced:
            self._unvoiced = 0
        else:
            if self._unvoiced == math.inf:
                return None
            self._unvoiced += 1
        if self.speaking:
            return self._go_on(voiced)
        if not voiced and not self._recent:
            return None
        # One bit for each frame of the window, the latest lowest.
        self._recent = (self._recent << 1 | voiced) & ((1 << self._window) - 1)
        self._voiced = self._recent.bit_count()
        self._since_onset = max(self._recent.bit_length() - 1, 0)
        if self._voiced < self._needed:
            return None
        self.speaking = True
        return SpeechChange.STARTED

    def reset(self) -> None:
        """Forget the present run, as if nothing had been heard yet."""
        self.speaking = False
        self._unvoiced = math.inf
        self._end_run()

    def _go_on(self, voiced: bool) -> SpeechChange | None:
        self._since_onset += 1
        if voiced:
            self._voiced += 1
            return None
        if self._unvoiced < self._hangover:
            return None
        self.speaking = False
        self._end_run()
        return SpeechChange.STOPPED

    def _end_run(self) -> None:
        self._recent = 0
        self._voiced = 0
        self._since_onset = 0


class PreRoll:
    """The last `duration_ms` of frames, for the recogniser when speech turns out to have begun."""

    __slots__ = ("_frames",)

    def __init__(self, duration_ms: float) -> None:
        self._frames: deque[bytes] = deque(maxlen=math.ceil(duration_ms / FRAME_MS))

    def __len__(self) -> int:
        return len(self._frames)

    def append(self, frame: bytes) -> None:
        """Keep `frame` (any encoding) and let go of the oldest."""
        self._frames.append(frame)

    def drain(self) -> list[bytes]:
        """What is kept, oldest first; nothing is kept afterwards."""
        frames = list(self._frames)
        self._frames.clear()
        return frames
