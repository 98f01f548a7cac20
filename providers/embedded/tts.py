"""Embedded speech: espeak-ng, streaming, in the line's own format. No key, no network.

It is understood well and sounds like a robot; it is there so that everything works on one machine.
"""

import asyncio
import re
from collections.abc import AsyncIterator

import numpy as np

from agent.audio.convert import Converter, make_converter
from agent.audio.formats import AudioFormat, linear
from agent.errors import ProviderRejected, ProviderUnavailable
from agent.providers import ProviderContext, SpeechChunk, SpeechRequest, WordTime
from providers.embedded.espeak import Espeak, EspeakError, Job

WORDS_PER_MINUTE = 165
"""A little slower than espeak's own 175: prices and times are understood better over the telephone."""
SILENCE_LEVEL = 60
"""Samples below this (about -55 dBFS) before the first sound are espeak's lead-in, not speech."""
MAX_CHUNKS = 4_096
"""Chunks of one sentence that may wait for the event loop: minutes of audio."""
_VOICES = {
    "en": "en-us", "en-us": "en-us", "en-gb": "en", "en-za": "en", "en-au": "en", "es": "es",
    "es-mx": "es-419", "es-us": "es-419", "es-419": "es-419", "pt": "pt", "pt-br": "pt-br", "fr": "fr-fr",
    "de": "de", "it": "it", "nl": "nl", "zh": "cmn", "zh-cn": "cmn", "zh-hk": "yue", "yue": "yue",
    "pl": "pl", "ru": "ru", "tr": "tr", "hi": "hi", "ar": "ar", "sv": "sv", "af": "af",
}  # fmt: skip
_VOICE_NAME = re.compile(r"^[A-Za-z0-9_\-]{1,40}(\+[A-Za-z0-9_\-]{1,40})?$")


class EmbeddedTTS:
    """`agent.providers.TTS` on espeak-ng. Options: none."""

    name = "embedded"

    def __init__(self, context: ProviderContext) -> None:
        self._espeak: Espeak | None = None

    async def warm(self) -> None:
        """Load the library and its voices."""
        try:
            await asyncio.to_thread(self._ready().wait_ready, 10.0)
        except EspeakError as error:
            raise ProviderUnavailable(self.name, str(error)) from None

    async def close(self) -> None:
        """Stop the synthesiser's thread."""
        espeak, self._espeak = self._espeak, None
        if espeak is not None:
            await asyncio.to_thread(espeak.close)

    async def speak(self, request: SpeechRequest) -> AsyncIterator[SpeechChunk]:
        """See `agent.providers.TTS`. Audio comes in the line's format."""
        espeak = self._ready()
        voice = voice_for(request.voice, request.language)
        stream = _Stream(espeak, request.audio)
        job = Job(
            spoken(request.text), voice, round(WORDS_PER_MINUTE * request.speed), stream.audio, stream.ended
        )
        try:
            espeak.speak(job)
            while (chunk := await stream.next()) is not None:
                yield chunk
        except EspeakError as error:
            kind = ProviderRejected if "voice" in str(error) else ProviderUnavailable
            raise kind(self.name, str(error)) from None
        finally:
            job.cancelled.set()

    def _ready(self) -> Espeak:
        if self._espeak is None:
            self._espeak = Espeak()
        return self._espeak


class _Stream:
    """Brings one job's audio from the synthesiser's thread to the event loop, converted on the way."""

    def __init__(self, espeak: Espeak, target: AudioFormat) -> None:
        self._loop = asyncio.get_running_loop()
        self._espeak = espeak
        self._target = target
        self._converter: Converter | None = None
        self._trimmed_ms = 0.0
        self._sounding = False
        self._waiting: asyncio.Queue[SpeechChunk | Exception | None] = asyncio.Queue(MAX_CHUNKS)

    async def next(self) -> SpeechChunk | None:
        """The next chunk; None at the end. Raises what went wrong."""
        item = await self._waiting.get()
        if isinstance(item, Exception):
            raise EspeakError(str(item)) if not isinstance(item, EspeakError) else item
        return item

    # Called on the synthesiser's thread.

    def audio(self, pcm: bytes, words: list[tuple[int, float]]) -> None:
        if self._converter is None:
            self._converter = make_converter(linear(self._espeak.rate_hz), self._target)
        if not self._sounding:
            pcm = self._without_silence(pcm)
        times = tuple(WordTime(offset, max(at_ms - self._trimmed_ms, 0.0)) for offset, at_ms in words)
        self._hand_over(SpeechChunk(self._converter.convert(pcm), self._target, times))

    def ended(self, error: Exception | None) -> None:
        if error is not None:
            self._hand_over(error)
            return
        if self._converter is not None:
            self._hand_over(SpeechChunk(self._converter.flush(), self._target))
        self._hand_over(None)

    def _without_silence(self, pcm: bytes) -> bytes:
        samples = np.frombuffer(pcm, dtype="<i2")
        loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > SILENCE_LEVEL)
        quiet = int(loud[0]) if loud.size else samples.size
        self._trimmed_ms += quiet * 1000 / self._espeak.rate_hz
        self._sounding = bool(loud.size)
        return pcm[quiet * 2 :]

    def _hand_over(self, item: SpeechChunk | Exception | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._put, item)
        except RuntimeError:
            # The loop is closed: the process is going down, nobody waits for this audio.
            return

    def _put(self, item: SpeechChunk | Exception | None) -> None:
        if not self._waiting.full():
            self._waiting.put_nowait(item)


def voice_for(voice: str | None, language: str) -> str:
    """The espeak voice for a request. Raises `ProviderRejected` for a name that cannot be one."""
    if voice is not None:
        if not _VOICE_NAME.match(voice):
            raise ProviderRejected("embedded", f"{voice!r} is no espeak-ng voice name, such as en-gb+f3")
        # espeak-ng files British English under plain "en".
        name, plus, variant = voice.partition("+")
        return _VOICES.get(name.casefold(), name) + plus + variant
    tag = language.casefold()
    found = _VOICES.get(tag) or _VOICES.get(tag.split("-")[0])
    if found is None:
        if not _VOICE_NAME.match(language):
            raise ProviderRejected("embedded", f"{language!r} is no language tag, such as en-GB")
        return tag
    return found


def spoken(text: str) -> str:
    """Text without what espeak would take for markup or control, of the same length."""
    return "".join(" " if char in "<>[]" or not char.isprintable() else char for char in text) or " "
