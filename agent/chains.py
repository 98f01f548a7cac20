"""Ordered lists of providers: the next one takes over when one fails.

A provider may be replaced as long as nothing of its answer has been used. After that its error is the
caller's to handle (`agent.reply` keeps what was said and apologises). Hedging and health belong here later;
a reply never sees more than one provider.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from agent.agentfile.schema import Limits
from agent.audio.formats import AudioFormat
from agent.errors import ProviderError, ProviderTimeout, ProviderUnavailable
from agent.providers import (
    LLM,
    STT,
    TTS,
    ChatRequest,
    ListenRequest,
    LLMEvent,
    Provider,
    SpeechChunk,
    SpeechRequest,
    STTStream,
    TranscriptListener,
)

logger = logging.getLogger(__name__)

P = TypeVar("P", bound=Provider)
T = TypeVar("T")

NEXT_EVENT_MS = 10_000
"""Bound on the wait between two events of a running stream: an open stream that goes silent is the commonest
failure of providers in the field."""

Served = Callable[[str], None]
"""Told the name of the provider whose answer is used."""


class _Chain(Generic[P]):
    """What the three kinds share."""

    kind = ""

    def __init__(self, providers: Sequence[P], limits: Limits) -> None:
        if not providers:
            raise ValueError(f"a {self.kind} chain needs a provider")
        self.providers = tuple(providers)
        self.limits = limits
        self.failures: Counter[str] = Counter()
        """By provider name."""

    async def warm(self) -> None:
        """Warm all providers. One that cannot be warmed stays in the chain: it may recover."""
        results = await asyncio.gather(
            *(provider.warm() for provider in self.providers), return_exceptions=True
        )
        for provider, result in zip(self.providers, results, strict=True):
            if isinstance(result, ProviderError):
                self.failed(result, provider.name)
            elif isinstance(result, BaseException):
                raise result

    async def close(self) -> None:
        """Close all providers."""
        for provider in self.providers:
            await provider.close()

    def failed(self, error: ProviderError, name: str) -> None:
        """Count and log a failure."""
        self.failures[name] += 1
        logger.warning("%s provider %s failed: %s", self.kind, name, error.detail)

    def exhausted(self, errors: list[ProviderError]) -> ProviderUnavailable:
        """What to raise when the last one failed."""
        return ProviderUnavailable(self.kind, "all failed: " + "; ".join(str(error) for error in errors))


async def _stream(
    name: str, source: AsyncIterator[T], first_ms: float, next_ms: float = NEXT_EVENT_MS
) -> AsyncGenerator[T, None]:
    """`source` with a bound on each wait; closed when this generator is."""
    bound_ms = first_ms
    try:
        while True:
            try:
                async with asyncio.timeout(bound_ms / 1000):
                    item = await anext(source)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise ProviderTimeout(name, f"nothing for {bound_ms:.0f} ms") from None
            bound_ms = next_ms
            yield item
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()


async def _first_that_works(
    chain: _Chain[P],
    first_ms: float,
    start: Callable[[P], AsyncIterator[T]],
    served: Served,
) -> AsyncGenerator[T, None]:
    errors: list[ProviderError] = []
    for provider in chain.providers:
        stream = _stream(provider.name, start(provider), first_ms)
        used = False
        try:
            async for item in stream:
                if not used:
                    used = True
                    served(provider.name)
                yield item
            return
        except ProviderError as error:
            chain.failed(error, provider.name)
            if used:
                raise
            errors.append(error)
        finally:
            await stream.aclose()
    raise chain.exhausted(errors)


class LLMChain(_Chain[LLM]):
    """Language models."""

    kind = "llm"

    def reply(self, request: ChatRequest, served: Served) -> AsyncGenerator[LLMEvent, None]:
        """As `LLM.reply`; the first token must come within `limits.llm_first_token_ms`."""
        return _first_that_works(self, self.limits.llm_first_token_ms, lambda llm: llm.reply(request), served)


class TTSChain(_Chain[TTS]):
    """Speech synthesis."""

    kind = "tts"

    def speak(self, request: SpeechRequest, served: Served) -> AsyncGenerator[SpeechChunk, None]:
        """As `TTS.speak`; the first audio must come within `limits.tts_first_audio_ms`."""
        return _first_that_works(self, self.limits.tts_first_audio_ms, lambda tts: tts.speak(request), served)


@dataclass(frozen=True, slots=True)
class OpenedSTT:
    """A recognition stream, the provider behind it, and the format that it is fed."""

    provider: str
    audio: AudioFormat
    stream: STTStream


class STTChain(_Chain[STT]):
    """Recognition."""

    kind = "stt"

    async def open(
        self,
        line: AudioFormat,
        languages: tuple[str, ...],
        phrases: tuple[str, ...],
        listener: TranscriptListener,
        *,
        after: str | None = None,
    ) -> OpenedSTT:
        """Open the first stream that works. `after`: the provider that has just failed; the next is first.

        Raises `ProviderUnavailable` when none works.
        """
        names = [provider.name for provider in self.providers]
        start = names.index(after) + 1 if after in names else 0
        errors: list[ProviderError] = []
        for provider in self.providers[start:] + self.providers[:start]:
            audio = provider.input_format(line)
            request = ListenRequest(audio, languages, phrases)
            try:
                async with asyncio.timeout(self.limits.stt_open_ms / 1000):
                    return OpenedSTT(provider.name, audio, await provider.open(request, listener))
            except TimeoutError:
                error: ProviderError = ProviderTimeout(provider.name, "could not be opened in time")
            except ProviderError as raised:
                error = raised
            self.failed(error, provider.name)
            errors.append(error)
        raise self.exhausted(errors)
