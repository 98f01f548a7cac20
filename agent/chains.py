"""Ordered lists of providers: the next one takes over when one fails.

A provider may be replaced as long as nothing of its answer has been used. After that its error is the
caller's to handle (`agent.reply` keeps what was said and apologises). Where one is only slow, `agent.race`
runs two streams of a chain side by side; a reply never hears more than one provider.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from agent.agentfile.schema import Limits
from agent.audio.formats import AudioFormat
from agent.continued import continued
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
    TextDelta,
    TranscriptListener,
)

logger = logging.getLogger(__name__)

P = TypeVar("P", bound=Provider)
T = TypeVar("T")

NEXT_EVENT_MS = 10_000
"""Bound on the wait between two events of a running stream: an open stream that goes silent is the commonest
failure of providers in the field."""
WARM_MS = 30_000
"""Bound on warming one provider: loading a model from a slow disk."""
CLOSE_MS = 2_000
"""Bound on closing a stream or a provider: the ceiling of a call's teardown."""
_LOOK_AGAIN_S = 0.1
"""How late the end of a wait may be noticed."""
SMALLER = "#smaller"
"""Behind the name of the smaller model: it is often the same provider with another `model`."""
EMPTY = "ended without an answer"

Served = Callable[[str], None]
"""Told the name of the provider whose answer is used."""


class _Chain(Generic[P]):
    """What the three kinds share."""

    kind = ""

    def __init__(self, providers: Sequence[P], limits: Limits) -> None:
        if not providers:
            raise ValueError(f"a {self.kind} chain needs a provider")
        self.entries = tuple(zip(_labels(providers), providers, strict=True))
        """Providers in order, each with its name; a second one of the same name is `name#2`."""
        self.others: tuple[tuple[str, P], ...] = ()
        """Those that are asked only when somebody says so."""
        self.limits = limits
        self.failures: Counter[str] = Counter()
        """By provider name."""

    async def warm(self) -> None:
        """Warm all providers. One that cannot be warmed stays in the chain: it may recover."""

        async def one(name: str, provider: P) -> None:
            try:
                async with asyncio.timeout(WARM_MS / 1000):
                    await provider.warm()
            except ProviderError as error:
                self.failed(error, name)
            except TimeoutError:
                self.failed(ProviderTimeout(name, f"not warm within {WARM_MS} ms"), name)

        await asyncio.gather(*(one(name, provider) for name, provider in self.all))

    async def close(self) -> None:
        """Close all providers. One that fails or hangs does not keep the others open."""

        async def one(name: str, provider: P) -> None:
            try:
                async with asyncio.timeout(CLOSE_MS / 1000):
                    await provider.close()
            except Exception as error:  # noqa: BLE001  # nothing is left to do for this one; the rest must close
                self.failed(_as_provider_error(name, error), name)

        await asyncio.gather(*(one(name, provider) for name, provider in self.all))

    @property
    def all(self) -> tuple[tuple[str, P], ...]:
        """Every provider with its name."""
        return self.entries + self.others

    def failed(self, error: ProviderError, name: str) -> None:
        """Count and log a failure."""
        self.failures[name] += 1
        logger.warning("%s provider %s failed: %s", self.kind, name, error.detail)

    def exhausted(self, errors: list[ProviderError]) -> ProviderUnavailable:
        """What to raise when the last one failed; its `__cause__` is a group of all the causes."""
        raised = ProviderUnavailable(self.kind, "all failed: " + "; ".join(str(error) for error in errors))
        raised.__cause__ = ExceptionGroup(f"every {self.kind} provider failed", errors)
        return raised


def _labels(providers: Sequence[Provider]) -> list[str]:
    names = [provider.name for provider in providers]
    return [
        name if name not in names[:at] else f"{name}#{names[:at].count(name) + 1}"
        for at, name in enumerate(names)
    ]


def _as_provider_error(name: str, error: Exception) -> ProviderError:
    """A plugin's failure, also where it broke its contract and raised a library's own error."""
    if isinstance(error, ProviderError):
        return error
    if isinstance(error, TimeoutError):
        return ProviderTimeout(name, "no answer in time")
    logger.error("provider %s raised an error that is not a ProviderError", name, exc_info=error)
    return ProviderUnavailable(name, f"{type(error).__name__}: {error}")


class _Attempt(Generic[T]):
    """One provider's stream, with a bound on each wait.

    A reply has some forty items, so the bound is one timer that looks now and then how long the present wait
    has lasted: an `asyncio.timeout` for each item took 6 % of a busy server's time.
    """

    def __init__(
        self, name: str, source: AsyncIterator[T], first_ms: float, counts: Callable[[T], bool]
    ) -> None:
        self.used = False
        """Something that counts has been handed on."""
        self._name = name
        self._source = source
        self._counts = counts
        self._loop = asyncio.get_running_loop()
        self._bound_s = first_ms / 1000
        self._first_at = self._loop.time() + self._bound_s
        self._wait_until = self._first_at
        self._task: asyncio.Task[Any] | None = None
        self._waiting = self._expired = self._over = False
        self._timer: asyncio.TimerHandle | None = None

    def __aiter__(self) -> "_Attempt[T]":
        return self

    async def __anext__(self) -> T:
        """The next item. Raises `ProviderError`."""
        if self.used:
            self._wait_until = self._loop.time() + self._bound_s
        if self._timer is None:
            self._task = asyncio.current_task()
            self._timer = self._loop.call_at(self._wait_until, self._look)
        assert self._task is not None
        cancelling = self._task.cancelling()
        self._waiting = True
        try:
            item = await anext(self._source)
        except asyncio.CancelledError:
            if self._expired and self._task.uncancel() <= cancelling:
                raise ProviderTimeout(self._name, f"nothing for {self._bound_s * 1000:.0f} ms") from None
            raise
        except StopAsyncIteration:
            self._over = True
            raise
        except ProviderError:
            raise
        except Exception as error:  # one provider's fault must not end a call; logged there
            raise _as_provider_error(self._name, error) from error
        finally:
            self._waiting = False
        if not self.used and self._counts(item):
            self.used = True
            self._bound_s = NEXT_EVENT_MS / 1000
        return item

    def _look(self) -> None:
        """The timer: has the present wait lasted too long?"""
        now_s = self._loop.time()
        if self._waiting and now_s >= self._wait_until:
            self._expired = True
            assert self._task is not None
            self._task.cancel()
        else:
            again_at = (
                max(self._wait_until, now_s + _LOOK_AGAIN_S) if self._waiting else now_s + _LOOK_AGAIN_S
            )
            self._timer = self._loop.call_at(again_at, self._look)

    async def close(self) -> None:
        """Cancel what still runs."""
        if self._timer is not None:
            self._timer.cancel()
        if isinstance(self._source, AsyncGenerator) and not self._over:
            try:
                async with asyncio.timeout(CLOSE_MS / 1000):
                    await self._source.aclose()
            except Exception as error:  # noqa: BLE001  # its answer is complete or given up
                logger.warning("provider %s did not close its stream: %r", self._name, error)


def _untried_first(entries: Sequence[tuple[str, P]], tried: list[str] | None) -> Iterator[tuple[str, P]]:
    """The entries in order, those that were tried last; each is noted when it is its turn."""
    tried = [] if tried is None else tried
    left = list(entries)
    while left:
        entry = next((each for each in left if each[0] not in tried), left[0])
        left.remove(entry)
        tried.append(entry[0])
        yield entry


async def _first_that_works(
    chain: _Chain[P],
    entries: Iterable[tuple[str, P]],
    first_ms: float,
    start: Callable[[P], AsyncIterator[T]],
    counts: Callable[[T], bool],
    served: Served,
) -> AsyncGenerator[T, None]:
    """The answer of the first provider that gives one. Where all end without a word, so does this."""
    errors: list[ProviderError] = []
    for name, provider in entries:
        attempt = _Attempt(name, start(provider), first_ms, counts)
        told = False
        try:
            async for item in attempt:
                if attempt.used and not told:
                    told = True
                    served(name)
                yield item
            if attempt.used:
                return
            raise ProviderUnavailable(name, EMPTY)
        except ProviderError as error:
            chain.failed(error, name)
            if attempt.used:
                raise
            errors.append(error)
        finally:
            await attempt.close()
    if any(error.detail != EMPTY for error in errors):
        raise chain.exhausted(errors)


class LLMChain(_Chain[LLM]):
    """Language models."""

    kind = "llm"

    def __init__(self, providers: Sequence[LLM], limits: Limits, smaller: LLM | None = None) -> None:
        """`smaller`: who answers where the others are too slow (`agent.agentfile.schema.Budgets`)."""
        super().__init__(providers, limits)
        if smaller is not None:
            self.others = ((f"{smaller.name}{SMALLER}", smaller),)

    def reply(
        self, request: ChatRequest, served: Served, tried: list[str] | None = None, *, smaller: bool = False
    ) -> AsyncGenerator[LLMEvent, None]:
        """As `LLM.reply`; the first token must come within `limits.llm_first_token_ms`.

        `tried` is filled with the names of those that are asked; those in it already are asked last. Two
        streams that share one begin with different providers. `smaller`: ask the smaller model alone.
        """
        entries = self.others if smaller else _untried_first(self.entries, tried)
        bound_ms = self.limits.llm_first_token_ms
        return _first_that_works(
            self, entries, bound_ms, lambda llm: llm.reply(request), says_something, served
        )


class TTSChain(_Chain[TTS]):
    """Speech synthesis."""

    kind = "tts"

    def speak(
        self, request: SpeechRequest, served: Served, tried: list[str] | None = None
    ) -> AsyncGenerator[SpeechChunk, None]:
        """As `TTS.speak`; the first audio must come within `limits.tts_first_audio_ms`.

        `tried` as in `LLMChain.reply`. A sentence that one breaks off in the middle is gone on with by the
        next (`agent.continued`).
        """
        return continued(request, _Voices(self, served, [] if tried is None else tried))


class _Voices:
    """A chain's providers, as one sentence is said by them."""

    def __init__(self, chain: TTSChain, served: Served, tried: list[str]) -> None:
        self._chain = chain
        self._told = served
        self._tried = tried
        self._speaking = ""

    def speak(self, request: SpeechRequest) -> AsyncGenerator[SpeechChunk, None]:
        """See `agent.continued.Voices`."""
        chain = self._chain
        entries = _untried_first(chain.entries, self._tried)
        first_ms = chain.limits.tts_first_audio_ms
        return _first_that_works(
            chain, entries, first_ms, lambda tts: tts.speak(request), sounds, self._served
        )

    def too_slow(self, behind_ms: float) -> bool:
        """See `agent.continued.Voices`. Where there is no other, this one is left to it."""
        if all(name in self._tried for name, _ in self._chain.entries):
            return False
        detail = f"its voice comes {behind_ms:.0f} ms late in the middle of a sentence"
        self._chain.failed(ProviderTimeout(self._speaking, detail), self._speaking)
        return True

    def _served(self, name: str) -> None:
        self._speaking = name
        self._told(name)


def says_something(event: LLMEvent) -> bool:
    """A model's answer has begun."""
    return not isinstance(event, TextDelta) or bool(event.text)


def sounds(chunk: SpeechChunk) -> bool:
    """A voice has begun."""
    return bool(chunk.audio)


@dataclass(frozen=True, slots=True)
class OpenedSTT:
    """A recognition stream, the provider behind it, and the format that it is fed."""

    provider: str
    audio: AudioFormat
    stream: STTStream
    finalizes_pauses: bool = False
    """See `agent.providers.STT`."""


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
        names = [name for name, _ in self.entries]
        start = names.index(after) + 1 if after in names else 0
        errors: list[ProviderError] = []
        for name, provider in self.entries[start:] + self.entries[:start]:
            try:
                audio = provider.input_format(line)
                request = ListenRequest(audio, languages, phrases)
                async with asyncio.timeout(self.limits.stt_open_ms / 1000):
                    stream = await provider.open(request, listener)
                return OpenedSTT(name, audio, stream, provider.finalizes_pauses)
            except TimeoutError:
                error: ProviderError = ProviderTimeout(name, "could not be opened in time")
            except Exception as raised:  # noqa: BLE001  # one provider's fault must not end a call
                error = _as_provider_error(name, raised)
            self.failed(error, name)
            errors.append(error)
        raise self.exhausted(errors)
