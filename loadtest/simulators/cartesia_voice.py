"""What a simulated voice sounds like: the same text always gives the same audio, and its words have times.

`tones` is a code that a listener can tell words apart by: cheap enough for hundreds of calls. `EmbeddedVoice`
is real speech, for calls that people (or recognition) listen to.
"""

import zlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np

from agent.audio.codec import make_encoder
from agent.audio.formats import AudioFormat
from agent.providers import TTS, SpeechRequest

CHAR_MS = 65.0
"""Pace: some 15 characters a second, as synthesised speech has it (Twilio sheet 6.1)."""
PAUSE_MS = 20.0
"""Silence between words."""
TONES_HZ = (440, 523, 587, 659, 740, 831, 932, 1047)
"""Which of them a word sounds like: its checksum says."""
_AMPLITUDE = 8_000
MAX_KEPT = 256
"""Sentences kept by `EmbeddedVoice`."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """Audio of a text, and when each word starts and ends in it (ms)."""

    audio: bytes
    words: tuple[tuple[str, float, float], ...]


Voice = Callable[[str, str, AudioFormat], Awaitable[Spoken]]
"""Text, language code and format to audio. May take its time; the same sentence is asked for often."""


def tone_of(word: str) -> int:
    """The frequency in Hz that stands for a word."""
    return TONES_HZ[zlib.crc32(word.strip(".,;:!?").lower().encode()) % len(TONES_HZ)]


async def tones(text: str, language: str, audio: AudioFormat) -> Spoken:
    """Each word as a tone of its own, as long as its letters. G.722 is not made (`ValueError`)."""
    audio.silence(0)  # raises for formats whose encoder is stateful
    pcm: list[bytes] = []
    words: list[tuple[str, float, float]] = []
    at_ms = 0.0
    for word in text.split():
        length_ms = round(len(word) * CHAR_MS)
        times = np.arange(length_ms * audio.rate_hz // 1000) / audio.rate_hz
        sound = _AMPLITUDE * np.sin(2 * np.pi * tone_of(word) * times)
        silence = np.zeros(int(PAUSE_MS * audio.rate_hz / 1000))
        pcm.append(np.concatenate((sound, silence)).astype("<i2").tobytes())
        words.append((word, at_ms, at_ms + length_ms))
        at_ms += length_ms + PAUSE_MS
    return Spoken(make_encoder(audio).encode(b"".join(pcm)), tuple(words))


class EmbeddedVoice:
    """Real speech by any `agent.providers.TTS`, kept: a load test says the same sentences all the time."""

    def __init__(self, tts: TTS) -> None:
        self._tts = tts
        self._kept: OrderedDict[tuple[str, str, AudioFormat], Spoken] = OrderedDict()

    async def __call__(self, text: str, language: str, audio: AudioFormat) -> Spoken:
        """See `Voice`. Raises `agent.errors.ProviderError`."""
        key = (text, language, audio)
        if key not in self._kept:
            self._kept[key] = await self._speak(text, language, audio)
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    async def _speak(self, text: str, language: str, audio: AudioFormat) -> Spoken:
        parts: list[bytes] = []
        starts: list[tuple[int, float]] = []
        async for chunk in self._tts.speak(SpeechRequest(text, language, audio)):
            parts.append(chunk.audio)
            starts += [(word.offset, word.at_ms) for word in chunk.words]
        whole = b"".join(parts)
        ends_ms = [*(at_ms for _, at_ms in starts[1:]), audio.duration_ms(len(whole))]
        words = tuple(
            (text[offset:].split(maxsplit=1)[0], at_ms, max(end_ms, at_ms))
            for (offset, at_ms), end_ms in zip(starts, ends_ms, strict=False)
            if text[offset:].strip()
        )
        return Spoken(whole, words)
