"""One sentence on its way: what came for it and was not read yet, turned into speech chunks."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from agent.audio.formats import AudioFormat
from agent.errors import ProviderError, ProviderTimeout, ProviderUnavailable
from agent.providers import SpeechChunk, WordTime
from providers.cartesia.words import WordPlaces

MAX_PENDING_BYTES = 4 * 1024 * 1024
"""Audio of one sentence that nobody reads: eight minutes of telephone audio. The socket is shared, so its
reading cannot be stopped for one of its users; that one fails instead."""
STALL_MS = 5_000.0
"""Longest wait for the first message of a sentence. The slowest published first audio is under 300 ms."""
GAP_MS = 2_000.0
"""The same between two messages: the service is ahead of the ear from its first audio on, so a gap this long
is heard."""
END_MS = 1_000.0
"""The same once the last word has begun: audio comes faster than it plays, so nothing is cut off, and a
sentence that was heard is not called failed because its `done` is late."""


class ConnectionGone(ProviderUnavailable):
    """The shared socket went away. As long as nothing was heard, another one can say it all."""


class ContextGone(ProviderUnavailable):
    """A context that was kept open for this sentence was not there any more."""


class Utterance:
    """One sentence. Filled by its socket, read by one caller of `chunks`."""

    def __init__(self, provider: str, text: str, audio: AudioFormat, offset_ms: float = 0.0) -> None:
        """`offset_ms`: audio of the same context before this sentence; word times count from there."""
        self.over = False
        """Its end has come, or it failed: nothing more will."""
        self.audio_bytes = 0
        """Audio that came for it."""
        self._provider = provider
        self._format = audio
        self._offset_ms = offset_ms
        self._places = WordPlaces(text)
        self._sample_bytes = 2 if audio.is_linear else 1
        self._odd = b""
        self._audio: deque[bytes] = deque()
        self._pending_bytes = 0
        self._words: list[WordTime] = []
        self._error: ProviderError | None = None
        self._waiter: asyncio.Future[None] | None = None

    # --- the socket's side -------------------------------------------------------------------------

    def add_audio(self, audio: bytes) -> bool:
        """Audio came. False if nobody reads it: then the utterance has failed."""
        self.audio_bytes += len(audio)
        self._pending_bytes += len(audio)
        if self._pending_bytes > MAX_PENDING_BYTES:
            self.fail(ProviderUnavailable(self._provider, "more audio came than anybody read"))
            return False
        self._audio.append(audio)
        self._wake()
        return True

    def add_words(self, words: tuple[tuple[str, float], ...]) -> None:
        """Words and when they start in the context. They go out with the next audio."""
        for word, at_ms in words:
            found = self._places.place(word, at_ms - self._offset_ms)
            if found is not None:
                self._words.append(found)

    def end(self) -> None:
        """The sentence is complete."""
        self.over = True
        self._wake()

    def fail(self, error: ProviderError) -> None:
        """It will not be complete. What came before the error is still read."""
        if not self.over:
            self.over = True
            self._error = error
            self._wake()

    # --- the reader's side -------------------------------------------------------------------------

    async def chunks(self) -> AsyncIterator[SpeechChunk]:
        """Speech as it comes. Raises `ProviderError`."""
        while True:
            while self._audio:
                audio = self._odd + self._audio.popleft()
                self._pending_bytes -= len(audio) - len(self._odd)
                whole = len(audio) - len(audio) % self._sample_bytes
                self._odd = audio[whole:]
                yield SpeechChunk(audio[:whole], self._format, self._take_words())
            if self.over:
                break
            await self._news()
        if self._error is not None:
            raise self._error
        if self._words:
            # Their times are known only now, their audio has gone already.
            yield SpeechChunk(b"", self._format, self._take_words())

    async def _news(self) -> None:
        said = self.audio_bytes > 0 and self._places.complete
        wait_ms = END_MS if said else GAP_MS if self.audio_bytes else STALL_MS
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(wait_ms / 1000):
                await self._waiter
        except TimeoutError:
            if not said:
                detail = f"nothing more came of a sentence for {wait_ms:.0f} ms"
                raise ProviderTimeout(self._provider, detail) from None
            self.end()
        finally:
            self._waiter = None

    def _take_words(self) -> tuple[WordTime, ...]:
        words, self._words = tuple(self._words), []
        return words

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
