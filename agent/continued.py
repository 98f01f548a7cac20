"""A sentence whose voice broke off, or that comes slower than it is spoken: another voice says the rest.

The rest begins at the word that was cut, as far as the word times tell, so the caller hears half a word twice
at worst. To whoever reads it, it stays one sentence in one format with one run of word times.
"""

import asyncio
import re
from bisect import bisect_left
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Protocol

from agent.audio.convert import Converter, make_converter
from agent.audio.formats import AudioFormat
from agent.errors import ProviderError
from agent.providers import SpeechChunk, SpeechRequest, WordTime
from agent.spoken import chars_in, speaking_ms, whole_words

MAX_VOICES = 3
"""Voices that one sentence may be said with: where this many fail in the middle, it ends there."""
SLOW_MS = 1_200.0
"""How far behind the caller's ear a sentence may fall: a gap that long has been heard already, and services
that are well are ahead of it from their first audio on."""
_TAIL = re.compile(r"\W+\Z")
"""Behind the last word: nothing that is heard."""


class Voices(Protocol):
    """Who speaks."""

    def speak(self, request: SpeechRequest) -> AsyncGenerator[SpeechChunk, None]:
        """As `agent.providers.TTS.speak`, by the first of those not asked yet that works."""

    def too_slow(self, behind_ms: float) -> bool:
        """The one that speaks is that far behind. True if another should go on."""


class _Said:
    """What has come of a sentence."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.audio_ms = 0.0
        self._words: list[WordTime] = []
        self._format: AudioFormat | None = None
        self._converter: Converter | None = None
        self._base_chars = 0
        self._base_ms = 0.0
        self._began_s: float | None = None

    def add(self, chunk: SpeechChunk) -> SpeechChunk:
        """A chunk of the present voice, as part of the whole sentence."""
        if self._began_s is None:
            self._began_s = asyncio.get_running_loop().time()
        if self._format is None:
            self._format = chunk.format
        audio = chunk.audio
        if chunk.format != self._format:
            self._converter = self._converter or make_converter(chunk.format, self._format)
            audio = self._converter.convert(audio)
        words = chunk.words
        if self._base_chars or self._base_ms:
            words = tuple(
                WordTime(word.offset + self._base_chars, word.at_ms + self._base_ms) for word in words
            )
        self._words += words
        self.audio_ms += self._format.duration_ms(len(audio))
        return SpeechChunk(audio, self._format, words)

    def end(self) -> SpeechChunk | None:
        """What the conversion has held back."""
        if self._converter is None or self._format is None:
            return None
        return SpeechChunk(self._converter.flush(), self._format)

    def behind_ms(self) -> float:
        """How long the caller's ear has been waiting: what is still to be heard of it counts against that."""
        if self._began_s is None:
            return 0.0
        return (asyncio.get_running_loop().time() - self._began_s) * 1000 - self.audio_ms

    def rest(self) -> str:
        """What another voice has to say; empty if nothing is missing. What follows is counted from there."""
        begun = bisect_left(self._words, self.audio_ms, key=lambda word: word.at_ms)
        if begun:
            word = self._words[begun - 1]
            missing = speaking_ms(_TAIL.sub("", self.text[word.offset :])) > self.audio_ms - word.at_ms
            at = word.offset if missing else len(self.text)
        else:
            at = whole_words(self.text, chars_in(self.text, self.audio_ms))
        text = self.text[at:]
        self._base_chars = at + len(text) - len(text.lstrip())
        self._base_ms = self.audio_ms
        self._converter = self._began_s = None
        del self._words[begun:]
        return text.strip()


async def continued(request: SpeechRequest, voices: Voices) -> AsyncGenerator[SpeechChunk, None]:
    """The sentence, by as many voices as it takes. Raises `ProviderError` as long as nothing was heard, and
    when nobody can say the rest."""
    said = _Said(request.text)
    rest = request
    for left in reversed(range(MAX_VOICES)):
        before_ms = said.audio_ms
        chunks = voices.speak(rest)
        try:
            async for chunk in chunks:
                late_ms = said.behind_ms()
                yield said.add(chunk)
                if left and late_ms > SLOW_MS and voices.too_slow(late_ms):
                    break
            else:
                if (end := said.end()) is not None:
                    yield end
                return
        except ProviderError:
            if not left or said.audio_ms == before_ms:
                raise
        finally:
            await chunks.aclose()
        text = said.rest()
        if not any(char.isalnum() for char in text):
            return
        # No service goes on in a context that another one began.
        rest = replace(request, text=text, context="", position="only")
