"""Embedded speech: espeak-ng, streaming, in the line's own format. No key, no network.

It is understood well and sounds like a robot; it is there so that everything works on one machine.
"""

import asyncio
import logging
import unicodedata
from collections.abc import AsyncIterator

import numpy as np

from agent.audio.convert import Converter, make_converter
from agent.audio.formats import AudioFormat, linear
from agent.errors import ConfigError, ProviderRejected, ProviderTimeout, ProviderUnavailable
from agent.providers import ProviderContext, SpeechChunk, SpeechRequest, WordTime
from providers.embedded.espeak import BUFFER_MS, Espeak, EspeakError, Job
from providers.embedded.voices import Voices

logger = logging.getLogger(__name__)

WORDS_PER_MINUTE = 165
"""A little slower than espeak's own 175: prices and times are understood better over the telephone."""
SILENCE_LEVEL = 60
"""Samples below this (about -55 dBFS) before the first sound are espeak's lead-in, not speech."""
CHUNK_MS = 160
"""Audio per chunk after the first, which comes as soon as it is there: fewer wake-ups of the event loop."""
MAX_TEXT_CHARS = 4_000
"""Longest text: some four minutes of speech. Sentences of a reply are cut at a tenth of that."""
MAX_CHUNKS = 4_096
"""Chunks of one text that may wait for the event loop: more than its longest text makes."""
READY_S = 10.0
STALL_S = 10.0
"""Longest wait for the next chunk. A full queue of requests in front is served in a fifth of that."""
_WRITTEN_ONLY = frozenset("<>[]{}*_`~|^\\#•·")
"""Markup that espeak would read out ("asterisk")."""
_SYMBOLS_SAID = frozenset("°©®™")


class EmbeddedTTS:
    """`agent.providers.TTS` on espeak-ng. Options: none."""

    name = "embedded"

    def __init__(self, context: ProviderContext) -> None:
        """Raises `ConfigError` for a voice or a language that espeak-ng does not have.

        Where another service is first in the chain, voices carry that one's names: the language's own voice
        stands in for them.
        """
        self._espeak: Espeak | None = None
        self._voices = Voices()
        agent = context.agent
        self._spoken = agent.languages
        first = agent.providers.tts[0].provider == self.name
        for language in agent.languages:
            if first and self._voices.of_language(language) is None:
                raise ConfigError(f"embedded speech has no {language!r}; allowed: {self._voices.allowed()}")
        for language, voice in agent.voices.items():
            if first and voice.name is not None and self._voices.named(voice.name) is None:
                wrong = f"voices.{language}: embedded speech has no voice {voice.name!r}"
                raise ConfigError(f"{wrong}; allowed: {self._voices.allowed()}")

    async def warm(self) -> None:
        """Load the library, and the dictionary of each language: some 30 ms that no caller has to wait."""
        try:
            await asyncio.to_thread(self._ready().wait_ready, READY_S)
        except EspeakError as error:
            raise ProviderUnavailable(self.name, str(error)) from None
        for language in self._spoken:
            if self._voices.of_language(language) is not None:
                async for _ in self.speak(SpeechRequest("1", language, linear(8_000))):
                    pass

    async def close(self) -> None:
        """Stop the synthesiser's thread. What is being spoken ends with `ProviderUnavailable`."""
        espeak, self._espeak = self._espeak, None
        if espeak is not None:
            await asyncio.to_thread(espeak.close)

    async def speak(self, request: SpeechRequest) -> AsyncIterator[SpeechChunk]:
        """See `agent.providers.TTS`. Audio comes in the line's format; the first after some 3 ms."""
        if len(request.text) > MAX_TEXT_CHARS:
            raise ProviderRejected(self.name, f"a text is longer than {MAX_TEXT_CHARS} characters")
        voice = self._voice(request)
        espeak = self._ready()
        stream = _Stream(espeak, request.audio)
        job = Job(
            spoken(request.text), voice, round(WORDS_PER_MINUTE * request.speed), stream.audio, stream.ended
        )
        try:
            espeak.speak(job)
            while (chunk := await stream.next()) is not None:
                yield chunk
        except EspeakError as error:
            raise ProviderUnavailable(self.name, str(error)) from None
        except TimeoutError:
            raise ProviderTimeout(self.name, f"no audio for {STALL_S:.0f} s") from None
        finally:
            job.cancelled.set()

    def _voice(self, request: SpeechRequest) -> str:
        named = self._voices.named(request.voice) if request.voice is not None else None
        voice = named or self._voices.of_language(request.language)
        if voice is None:
            raise ProviderRejected(self.name, f"espeak-ng does not speak {request.language!r}")
        return voice

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
        self._first_sent = False
        self._audio = b""
        self._words: list[WordTime] = []
        self._waiting: asyncio.Queue[SpeechChunk | Exception | None] = asyncio.Queue(MAX_CHUNKS)

    async def next(self) -> SpeechChunk | None:
        """The next chunk; None at the end. Raises `EspeakError`, or `TimeoutError` where none comes."""
        if self._waiting.empty():
            async with asyncio.timeout(STALL_S):
                item = await self._waiting.get()
        else:
            item = self._waiting.get_nowait()
        if isinstance(item, Exception):
            raise item if isinstance(item, EspeakError) else EspeakError(repr(item)) from item
        return item

    # Called on the synthesiser's thread.

    def audio(self, pcm: bytes, words: list[tuple[int, float]]) -> None:
        if self._converter is None:
            self._converter = make_converter(linear(self._espeak.rate_hz), self._target)
        if not self._sounding:
            pcm = self._without_silence(pcm)
        self._words += [WordTime(offset, max(at_ms - self._trimmed_ms, 0.0)) for offset, at_ms in words]
        self._audio += self._converter.convert(pcm)
        wanted_ms = CHUNK_MS if self._first_sent else BUFFER_MS / 2
        if self._audio and self._target.duration_ms(len(self._audio)) >= wanted_ms:
            self._first_sent = True
            self._send()

    def ended(self, error: Exception | None) -> None:
        if error is not None:
            self._hand_over(error)
            return
        if self._converter is not None:
            self._audio += self._converter.flush()
        if self._audio or self._words:
            self._send()
        self._hand_over(None)

    def _send(self) -> None:
        self._hand_over(SpeechChunk(self._audio, self._target, tuple(self._words)))
        self._audio, self._words = b"", []

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

    # On the event loop.

    def _put(self, item: SpeechChunk | Exception | None) -> None:
        if self._waiting.full():
            # The longest text does not make so many; if it did, the end that is missing is seen as a stall.
            logger.warning("embedded speech: %d chunks wait, the rest is dropped", MAX_CHUNKS)
            return
        self._waiting.put_nowait(item)


def spoken(text: str) -> str:
    """Text without what espeak would take for control, or read out though it was only written (markup,
    emoji), of the same length."""
    return "".join(" " if _unsaid(char) else char for char in text) or " "


def _unsaid(char: str) -> bool:
    if char in _WRITTEN_ONLY or not char.isprintable():
        return True
    # So: pictures; Sk, Mn, Me behind them: their colour and style; Co: private use.
    return unicodedata.category(char) in ("So", "Sk", "Me", "Co") and char not in _SYMBOLS_SAID
