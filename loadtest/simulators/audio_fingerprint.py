"""Which of the known sentences is being said, by the sound alone: recognition for simulators.

The callers of a load test say sentences that are known beforehand, so recognising them is looking them up.
Where the audio arrives as the caller's codec made it (the server passes it straight through), a 20 ms frame
is looked up whole: under a microsecond. Where it was transcoded on the way, the shape of its spectrum over
time is compared instead, and only when words are asked for.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.audio.codec import make_decoder
from agent.audio.formats import FRAME_MS, PCMA_8K, PCMU_8K, AudioFormat, Encoding, linear
from loadtest.callers.codec import codec_for

RATE_HZ = 8_000
"""Of the known sentences: telephone audio."""
AUDIBLE_RMS = 120.0
"""Energy from which a frame is speech, as `loadtest.callers.ear` has it."""
_HOP = RATE_HZ * FRAME_MS // 1000
_WINDOW = 256
_BANDS_HZ = (200, 350, 550, 800, 1100, 1500, 2000, 2700, 3500)
_FLOOR = 1e4
"""Added to a band's power: the lowest steps of G.711 are alike in all bands."""
_MIN_FRAMES = 15
"""Frames that a comparison takes: 300 ms say which of some dozen sentences it is."""
_MAX_LAG = 3
"""Frames that the beginning may be off by: voice detection is late on a soft first sound."""
_ALIKE = 0.75
"""Cosine from which spectra are the same sentence: the same one through G.722 gave 0.98 and more, the first
400 ms of another in the same voice 0.49 at most."""
FORGET_MS = 400.0
"""Silence within a sentence is shorter than this."""
_ALMOST = 0.8
"""Share of a sentence from which silence means its end."""
_LOUD_SHARE = 0.05
"""Loud samples that make a frame of G.711 voiced."""
_MAX_SEGMENT_MS = 30_000.0
"""Audio kept for a comparison."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A known sentence and its sound."""

    words: tuple[str, ...]
    ends_ms: tuple[float, ...]
    """When each word is over, from the first frame; by the share of its letters."""
    duration_ms: float
    spectrum: NDArray[np.float32]
    """Log power, bands by frames of 20 ms."""

    def heard(self, position_ms: float) -> int:
        """How many words are over at `position_ms`."""
        return sum(end_ms <= position_ms + FRAME_MS for end_ms in self.ends_ms)


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word and its time in milliseconds of the stream."""

    text: str
    start_ms: float
    end_ms: float


class Fingerprints:
    """The known sentences, shared by all streams of a simulator.

    `sentences` maps each text to its PCM16 audio at 8 kHz, cut to 20 ms frames as the callers send them
    (`loadtest.callers.utterance`). Indexing costs about a millisecond per second of audio.
    """

    def __init__(self, sentences: Mapping[str, bytes]) -> None:
        self.sentences = tuple(_sentence(text, pcm) for text, pcm in sentences.items())
        self._pcm = tuple(sentences.values())
        self._lengths = np.array([each.spectrum.shape[1] for each in self.sentences], np.int64)
        self._spectra = np.zeros((len(self.sentences), len(_BANDS_HZ) - 1, max(self._lengths, default=0)))
        """Sentences by bands by frames, zeros behind their ends: all are compared at once."""
        for number, each in enumerate(self.sentences):
            self._spectra[number, :, : each.spectrum.shape[1]] = each.spectrum
        self._frames: dict[AudioFormat, Mapping[bytes, tuple[int, int]]] = {}

    def stream(self, audio: AudioFormat) -> "Hearing":
        """Hearing for one stream in that format. Raises `ValueError` for G.722, which has no frames."""
        if audio.encoding is Encoding.G722:
            raise ValueError("G.722 is decoded before recognition")
        return Hearing(self, audio)

    def frames(self, audio: AudioFormat) -> Mapping[bytes, tuple[int, int]]:
        """Frames of that format to (sentence, frame number). Empty where callers' frames cannot come."""
        if audio not in self._frames:
            known = audio in (PCMU_8K, PCMA_8K, linear(RATE_HZ))
            self._frames[audio] = self._index(audio) if known else {}
        return self._frames[audio]

    def alike(self, spectrum: NDArray[np.float32]) -> int | None:
        """The sentence that begins like this; None if none does, or the spectrum is too short to tell."""
        if spectrum.shape[1] < _MIN_FRAMES or not self.sentences:
            return None
        heard = spectrum.astype(np.float64)
        lags = range(-_MAX_LAG, _MAX_LAG + 1)
        scores = np.max([self._likeness(heard[:, max(-lag, 0) :], max(lag, 0)) for lag in lags], axis=0)
        best = int(np.argmax(scores))
        return best if scores[best] >= _ALIKE else None

    def _likeness(self, heard: NDArray[np.float64], start: int) -> NDArray[np.float64]:
        """Cosine to each sentence from its frame `start` on, band by band about the mean; -1 where the sound
        is too long or too short for it. The shorter one decides how much is compared."""
        left = self._lengths - start
        known = self._spectra[:, :, start : start + heard.shape[1]]
        sound = heard[:, : known.shape[2]]
        size = np.minimum(left, heard.shape[1])
        # A sentence that is over long before the sound is another one.
        fits = (size >= _MIN_FRAMES) & (heard.shape[1] <= left + FORGET_MS / FRAME_MS)
        counts = np.maximum(size, 1)
        # 1 where both have sound. What is known is 0 elsewhere already.
        both = (np.arange(known.shape[2]) < size[:, None]).astype(np.float64)
        known_sums, sound_sums = known.sum(axis=2), both @ sound.T
        across = np.einsum("sbt,bt->s", known, sound) - (known_sums * sound_sums).sum(axis=1) / counts
        own = np.einsum("sbt,sbt->s", known, known) - np.square(known_sums).sum(axis=1) / counts
        others = both @ np.square(sound).sum(axis=0) - np.square(sound_sums).sum(axis=1) / counts
        scale = np.sqrt(np.maximum(own, 0.0) * np.maximum(others, 0.0))
        return np.where(fits & (scale > 0), across / np.where(scale > 0, scale, 1.0), -1.0)

    def _index(self, audio: AudioFormat) -> Mapping[bytes, tuple[int, int]]:
        found: dict[bytes, tuple[int, int]] = {}
        ambiguous: set[bytes] = set()
        # The callers' own encoder: another one rounds some samples of each frame to the next code.
        encode = bytes if audio.is_linear else codec_for(audio).encode
        for number, pcm in enumerate(self._pcm):
            for at, start in enumerate(range(0, len(pcm), 2 * _HOP)):
                frame = pcm[start : start + 2 * _HOP]
                if not _is_voiced(np.frombuffer(frame, "<i2")):
                    continue
                key = encode(frame)
                if key in found:
                    ambiguous.add(key)
                found[key] = (number, at)
        return {key: place for key, place in found.items() if key not in ambiguous}


class Hearing:
    """One stream's recognition. Positions are milliseconds of audio fed; nothing else is time here."""

    __slots__ = (
        "_before", "_current", "_decode", "_done", "_format", "_frame_bytes", "_frames", "_known", "_quiet",
        "_rest", "_segment", "_segment_ms", "_segment_voiced_ms", "position_ms", "silent_ms", "unknown_ms",
    )  # fmt: skip

    def __init__(self, known: Fingerprints, audio: AudioFormat) -> None:
        self.position_ms = 0.0
        self.silent_ms = 0.0
        """Since the last voiced frame, or since the beginning."""
        self.unknown_ms = 0.0
        """Voiced audio that was no known sentence, in all."""
        self._known = known
        self._format = audio
        self._frame_bytes = audio.frame_bytes
        self._frames = known.frames(audio)
        self._decode: Callable[[bytes], bytes] = make_decoder(audio).decode
        self._quiet = _quiet_codes(audio)
        self._rest = b""
        self._before: list[HeardWord] = []  # of sentences that another one followed
        self._current: tuple[Sentence, float] | None = None  # and the position of its first frame
        self._done = 0  # words of it that were taken
        self._segment = bytearray()  # sound that was not recognised yet
        self._segment_ms = self._segment_voiced_ms = 0.0

    def feed(self, audio: bytes) -> None:
        """Audio of any length."""
        if self._rest:
            audio = self._rest + audio
        size = self._frame_bytes
        whole = len(audio) - len(audio) % size
        for start in range(0, whole, size):
            self._frame(audio[start : start + size])
        self._rest = audio[whole:]

    def words(self) -> list[HeardWord]:
        """The words that are over and were not taken, in order."""
        if self._segment:
            self._compare()
        return self._before + self._rest_of_current(whole=self.silent_ms >= FORGET_MS / 2)

    def take(self) -> list[HeardWord]:
        """As `words`, which are then done with."""
        words = self.words()
        self._done += len(words) - len(self._before)
        self._before = []
        return words

    def _frame(self, frame: bytes) -> None:
        self.position_ms += FRAME_MS
        place = self._frames.get(frame)
        if place is not None:
            number, at = place
            self._begin(self._known.sentences[number], self.position_ms - (at + 1) * FRAME_MS)
            self._drop_segment()
            self.silent_ms = 0.0
        elif self._is_quiet(frame):
            self.silent_ms += FRAME_MS
            if self._segment:
                self._keep(frame, 0.0)
        else:
            if self.silent_ms > FORGET_MS:
                self._drop_segment(unknown=True)
            self.silent_ms = 0.0
            if not self._covers(self.position_ms):
                self._keep(frame, FRAME_MS)

    def _begin(self, sentence: Sentence, start_ms: float) -> None:
        current = self._current
        if current is None or current[0] is not sentence or abs(start_ms - current[1]) > FORGET_MS:
            self._before += self._rest_of_current(whole=self.silent_ms >= FORGET_MS / 2)
            self._done = 0
            self._current = (sentence, start_ms)

    def _rest_of_current(self, *, whole: bool) -> list[HeardWord]:
        """Words of the running sentence that are over. Behind its end (`whole`, or its time is up) all are,
        whatever the shares of their letters say."""
        if self._current is None:
            return []
        sentence, start_ms = self._current
        into_ms = self.position_ms - start_ms
        # A pause within the sentence is not its end.
        whole = whole and into_ms >= sentence.duration_ms * _ALMOST
        count = len(sentence.words) if whole else sentence.heard(into_ms)
        starts_ms = (0.0, *sentence.ends_ms)
        return [
            HeardWord(sentence.words[at], start_ms + starts_ms[at], start_ms + sentence.ends_ms[at])
            for at in range(self._done, count)
        ]

    def _covers(self, position_ms: float) -> bool:
        """The running sentence explains sound at that position."""
        if self._current is None:
            return False
        sentence, start_ms = self._current
        return position_ms - start_ms <= sentence.duration_ms + _MAX_LAG * FRAME_MS

    def _keep(self, frame: bytes, voiced_ms: float) -> None:
        if not self._segment:
            self._segment_ms = self.position_ms - FRAME_MS
        self._segment_voiced_ms += voiced_ms
        if len(self._segment) < self._format.bytes_per_ms * _MAX_SEGMENT_MS:
            self._segment += frame

    def _drop_segment(self, *, unknown: bool = False) -> None:
        if unknown:
            self.unknown_ms += self._segment_voiced_ms
        self._segment.clear()
        self._segment_voiced_ms = 0.0

    def _compare(self) -> None:
        samples = np.frombuffer(self._decode(bytes(self._segment)), "<i2")
        number = self._known.alike(_spectrum(_at_telephone_rate(samples, self._format.rate_hz)))
        if number is not None:
            self._begin(self._known.sentences[number], self._segment_ms)
            self._drop_segment()

    def _is_quiet(self, frame: bytes) -> bool:
        if self._quiet is not None:
            return len(frame.translate(None, self._quiet)) < len(frame) * _LOUD_SHARE
        return not _is_voiced(np.frombuffer(self._decode(frame), "<i2"))


def _sentence(text: str, pcm: bytes) -> Sentence:
    words = tuple(text.split())
    duration_ms = len(pcm) / (2 * RATE_HZ / 1000)
    letters = np.cumsum([len(word) + 1 for word in words])
    ends = tuple(float(end) for end in letters / letters[-1] * duration_ms) if words else ()
    return Sentence(words, ends, duration_ms, _spectrum(np.frombuffer(pcm, "<i2")))


def _is_voiced(samples: NDArray[np.int16]) -> bool:
    return len(samples) > 0 and float(np.sqrt(np.mean(np.square(samples.astype(np.float32))))) >= AUDIBLE_RMS


def _quiet_codes(audio: AudioFormat) -> bytes | None:
    """Codes that nobody hears, for formats of one byte a sample."""
    if audio.encoding not in (Encoding.PCMU, Encoding.PCMA):
        return None
    decoder = make_decoder(audio)
    levels = ((code, np.frombuffer(decoder.decode(bytes((code,))), "<i2")[0]) for code in range(256))
    return bytes(code for code, level in levels if abs(int(level)) < 2 * AUDIBLE_RMS)


def _at_telephone_rate(samples: NDArray[np.int16], rate_hz: int) -> NDArray[np.int16]:
    """Every so-manyth sample: the bands compared lie far below the fold."""
    step = max(round(rate_hz / RATE_HZ), 1)
    return samples[::step]


def _spectrum(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Log power, bands by frames of 20 ms."""
    count = max((len(samples) - _WINDOW) // _HOP + 1, 0)
    bands = list(itertools.pairwise(_BANDS_HZ))
    if count == 0:
        return np.zeros((len(bands), 0), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP][:count]
    power = np.abs(np.fft.rfft(windows * np.hanning(_WINDOW), axis=1)) ** 2
    hz = np.fft.rfftfreq(_WINDOW, 1 / RATE_HZ)
    rows = [power[:, (hz >= low) & (hz < high)].sum(axis=1) for low, high in bands]
    return np.asarray(np.log(np.stack(rows) + _FLOOR), np.float32)
