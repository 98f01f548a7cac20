"""Audio that stands for speech: its length follows the text, and each word is a tone of its own.

Two texts never sound the same, the same text always does, and pauses lie between the words, so that a
listener can tell what was said and a voice-activity detector hears talk. Pure but for a bounded cache.
"""

import zlib

import numpy as np

from agent.audio.convert import make_converter
from agent.audio.formats import AudioFormat, linear

MS_PER_CHARACTER = 65.0
"""About 15 characters a second, as people speak English."""
PAUSE_SHARE = 0.2
"""Of each word's time: the silence after it."""
MAX_CACHED = 512
"""Words kept: a load test says the same few sentences again and again."""
_LEVEL = 6_000.0
"""Peak of each of the two tones: together some -9 dBFS, as loud as speech on the telephone."""
_RAMP_MS = 4.0
"""Rise and fall of a word, so that it does not click."""


class Tones:
    """Makes audio in one format."""

    def __init__(self, audio: AudioFormat, speed: float = 1.0) -> None:
        self.audio = audio
        self._ms_per_character = MS_PER_CHARACTER / speed
        self._words: dict[str, bytes] = {}

    def speak(self, text: str) -> bytes:
        """The whole text, in whole samples."""
        return b"".join(self._word(word) for word in text.split())

    def _word(self, word: str) -> bytes:
        audio = self._words.get(word)
        if audio is None:
            if len(self._words) >= MAX_CACHED:
                self._words.clear()
            converter = make_converter(linear(self.audio.rate_hz), self.audio)
            audio = converter.convert(self._pcm(word)) + converter.flush()
            self._words[word] = audio
        return audio

    def _pcm(self, word: str) -> bytes:
        rate_hz = self.audio.rate_hz
        count = int(rate_hz * (len(word) + 1) * self._ms_per_character / 1000)
        voiced = int(count * (1 - PAUSE_SHARE))
        low_hz, high_hz = frequencies(word)
        at = np.arange(voiced) / rate_hz
        wave = _LEVEL * (np.sin(2 * np.pi * low_hz * at) + np.sin(2 * np.pi * high_hz * at))
        ramp = max(1, int(rate_hz * _RAMP_MS / 1000))
        edge = np.minimum(1.0, np.minimum(np.arange(1, voiced + 1), np.arange(voiced, 0, -1)) / ramp)
        pcm = np.concatenate([wave * edge, np.zeros(count - voiced)])
        return pcm.astype("<i2").tobytes()


def frequencies(word: str) -> tuple[float, float]:
    """The word's two tones in Hz, within what a telephone carries (300 to 3,400 Hz)."""
    code = zlib.crc32(word.lower().encode())
    return 300.0 + 10 * (code % 90), 1_300.0 + 20 * (code // 90 % 90)
