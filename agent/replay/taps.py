"""Taps: what stands between a call and its surroundings while it is taken down on a tape.

Each does what the thing behind it does, and tells the tape. Where a chain or the tool runner is tapped, the
tap is a shallow twin of it (same entries, same limits, same health), so that all calls of the process go on
sharing what they share.
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

from agent.audio.formats import AudioFormat
from agent.chains import LLMChain, OpenedSTT, Served, STTChain, TTSChain
from agent.clock import Clock, Timer
from agent.errors import ProviderError
from agent.lines import CallInfo
from agent.providers import (
    ChatRequest,
    LLMEvent,
    SpeechChunk,
    SpeechRequest,
    STTStream,
    ToolCall,
    Transcript,
    TranscriptListener,
)
from agent.replay.tape import LiveTape, Tape
from agent.replay.words import (
    write_chunk,
    write_error,
    write_event,
    write_format,
    write_request,
    write_transcript,
)
from agent.ticker import Tick, Ticker
from agent.tools import ToolRunner

T = TypeVar("T")


class TapedClock:
    """A clock whose readings and timers go on the tape. Implements `agent.clock.Clock`."""

    def __init__(self, clock: Clock, tape: LiveTape) -> None:
        self.tape = tape
        self._clock = clock
        self._numbers = itertools.count(1)
        self.now_ms = tape.reading
        self.unix_s = clock.unix_s

    def call_later(self, delay_ms: float, callback: Callable[[], object]) -> Timer:
        """See `agent.clock.Clock`."""
        number = next(self._numbers)

        def due() -> None:
            self.tape.stimulus("timer", n=number)
            callback()

        return self._clock.call_later(delay_ms, due)

    async def sleep(self, delay_ms: float) -> None:
        """See `agent.clock.Clock`."""
        await sleep_by(self, delay_ms)


async def sleep_by(clock: Clock, delay_ms: float) -> None:
    """Sleep by a timer of `clock`, so that waking up is an entry of its own."""
    woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not woken.done():
            woken.set_result(None)

    timer = clock.call_later(delay_ms, wake)
    try:
        await woken
    finally:
        timer.cancel()


class TapedTicker(Ticker):
    """The process's ticker, as one call sees it."""

    def __init__(self, ticker: Ticker, tape: Tape) -> None:
        """Its own beat is never used: members go to the process's ticker."""
        self._ticker = ticker
        self._tape = tape
        self._taped: dict[Tick, Tick] = {}

    def add(self, tick: Tick) -> None:
        """See `agent.ticker.Ticker`."""
        taped = self._taped.get(tick)
        if taped is None:

            def taped(now_ms: float) -> None:
                self._tape.stimulus("tick", now=now_ms)
                tick(now_ms)

            self._taped[tick] = taped
        self._ticker.add(taped)

    def remove(self, tick: Tick) -> None:
        """See `agent.ticker.Ticker`."""
        taped = self._taped.pop(tick, None)
        if taped is not None:
            self._ticker.remove(taped)


class _Listener:
    """Tells the tape what a recogniser reports, then the call."""

    def __init__(self, number: int, listener: TranscriptListener, tape: Tape) -> None:
        self._number = number
        self._listener = listener
        self._tape = tape

    def transcript(self, transcript: Transcript) -> None:
        self._tape.stimulus("stt", n=self._number, transcript=write_transcript(transcript))
        self._listener.transcript(transcript)

    def stt_failed(self, error: Exception) -> None:
        self._tape.stimulus("stt_failed", n=self._number, error=write_error(error))
        self._listener.stt_failed(error)


class _Stream:
    """A recognition stream. Audio is not noted again: it came in on the line."""

    def __init__(self, number: int, stream: STTStream, tape: Tape) -> None:
        self._number = number
        self._stream = stream
        self._tape = tape
        self.feed = stream.feed
        self.close = stream.close

    def finalize(self) -> None:
        self._tape.decide("stt_finalize", n=self._number)
        self._stream.finalize()


class TapedSTT(STTChain):
    """Recognition, taken down."""

    def __init__(self, chain: STTChain, tape: Tape) -> None:
        vars(self).update(vars(chain))
        self._chain = chain
        self._tape = tape
        self._numbers = itertools.count(1)

    async def open(
        self,
        line: AudioFormat,
        languages: tuple[str, ...],
        phrases: tuple[str, ...],
        listener: TranscriptListener,
        *,
        after: str | None = None,
    ) -> OpenedSTT:
        """See `agent.chains.STTChain`."""
        number = next(self._numbers)
        tape = self._tape
        tape.decide("stt_open", n=number, audio=write_format(line), languages=languages, after=after)
        taped = _Listener(number, listener, tape)
        try:
            opened = await self._chain.open(line, languages, phrases, taped, after=after)
        except ProviderError as error:
            tape.stimulus("stt_opened", n=number, error=write_error(error))
            raise
        pauses = opened.finalizes_pauses
        tape.stimulus(
            "stt_opened", n=number, provider=opened.provider, audio=write_format(opened.audio), pauses=pauses
        )
        return OpenedSTT(opened.provider, opened.audio, _Stream(number, opened.stream, tape), pauses)


class TapedLLM(LLMChain):
    """The language model, taken down."""

    def __init__(self, chain: LLMChain, tape: Tape) -> None:
        vars(self).update(vars(chain))
        self._chain = chain
        self._tape = tape
        self._numbers = itertools.count(1)

    def reply(
        self, request: ChatRequest, served: Served, tried: list[str] | None = None, *, smaller: bool = False
    ) -> AsyncGenerator[LLMEvent, None]:
        """See `agent.chains.LLMChain`."""
        number = next(self._numbers)
        self._tape.decide("llm", n=number, **write_request(request))
        told = _served(self._tape, "llm", number, served)
        source = self._chain.reply(request, told, tried, smaller=smaller)
        return _taped(self._tape, "llm", number, source, write_event)


class TapedTTS(TTSChain):
    """Speech synthesis, taken down."""

    def __init__(self, chain: TTSChain, tape: Tape) -> None:
        vars(self).update(vars(chain))
        self._chain = chain
        self._tape = tape
        self._numbers = itertools.count(1)

    def speak(
        self, request: SpeechRequest, served: Served, tried: list[str] | None = None
    ) -> AsyncGenerator[SpeechChunk, None]:
        """See `agent.chains.TTSChain`."""
        number = next(self._numbers)
        self._tape.decide("tts", n=number, text=request.text, language=request.language)
        source = self._chain.speak(request, _served(self._tape, "tts", number, served), tried)
        return _taped(self._tape, "tts", number, source, write_chunk)


def _served(tape: Tape, kind: str, number: int, served: Served) -> Served:
    def told(provider: str) -> None:
        tape.stimulus(f"{kind}_served", n=number, provider=provider)
        served(provider)

    return told


async def _taped(
    tape: Tape, kind: str, number: int, source: AsyncGenerator[T, None], write: Callable[[T], dict[str, Any]]
) -> AsyncGenerator[T, None]:
    try:
        async for item in source:
            tape.stimulus(kind, n=number, item=write(item))
            yield item
        tape.stimulus(f"{kind}_end", n=number)
    except ProviderError as error:
        tape.stimulus(f"{kind}_end", n=number, error=write_error(error))
        raise
    finally:
        await source.aclose()


class TapedTools(ToolRunner):
    """The agent file's tools, taken down."""

    def __init__(self, tools: ToolRunner, tape: Tape) -> None:
        vars(self).update(vars(tools))
        self._runner = tools
        self._tape = tape
        self._numbers = itertools.count(1)

    async def run(self, call: ToolCall, info: CallInfo) -> str:
        """See `agent.tools.ToolRunner`."""
        number = next(self._numbers)
        self._tape.decide("tool", n=number, name=call.name, arguments=call.arguments)
        result = await self._runner.run(call, info)
        self._tape.stimulus("tool_done", n=number, result=result)
        return result

    async def close(self) -> None:
        """The process closes its tools, not a call."""
