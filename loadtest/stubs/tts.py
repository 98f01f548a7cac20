"""Stub speech, entry point `parley.tts` `stub`."""

from collections.abc import AsyncGenerator

from agent.audio.formats import PCMU_8K
from agent.clock import Clock
from agent.providers import ProviderContext, SpeechChunk, SpeechRequest
from loadtest.stubs import frames
from loadtest.stubs.client import StubLink
from loadtest.stubs.script import StubScript


class StubTTS:
    """Says as much of the script's audio as a sentence takes, in mu-law."""

    name = "stub"

    def __init__(self, context: ProviderContext) -> None:
        """Options: `inprocess`, `address`, and those of `StubScript`. Raises `ConfigError`."""
        self._script = StubScript.from_options(context.options)
        self._clock: Clock = context.clock
        self._link: StubLink | None = None
        self._source = b""
        if context.options.get("inprocess"):
            self._source = self._script.speech_source()
        else:
            self._link = StubLink(context.options)

    async def warm(self) -> None:
        """Open the connection."""
        if self._link is not None:
            await self._link.get()

    async def close(self) -> None:
        """See `agent.providers.Provider`."""
        if self._link is not None:
            self._link.close()

    async def speak(self, request: SpeechRequest) -> AsyncGenerator[SpeechChunk, None]:
        """See `agent.providers.TTS`."""
        if self._link is None:
            if self._script.speech_ms:
                await self._clock.sleep(self._script.speech_ms)
            for chunk in self._script.speech_chunks(request.text, self._source):
                yield SpeechChunk(chunk, PCMU_8K)
            return
        connection = await self._link.get()
        async with connection.exchange(frames.SPEAK, request.text.encode()) as exchange:
            while (audio := await exchange.next()) is not None:
                yield SpeechChunk(audio, PCMU_8K)
