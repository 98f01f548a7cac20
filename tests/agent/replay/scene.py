"""A call that is recorded: a caller with a real voice, providers that take their time."""

import asyncio
import dataclasses
import itertools
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

from agent.agentfile import caller_phrases
from agent.audio import g711
from agent.audio.formats import PCMU_8K, AudioFormat
from agent.chains import LLMChain, STTChain, TTSChain
from agent.clock import Clock
from agent.errors import ProviderUnavailable
from agent.events import CallListener
from agent.providers import (
    ChatRequest,
    ListenRequest,
    LLMEvent,
    SpeechChunk,
    SpeechRequest,
    TextDelta,
    ToolCall,
    Transcript,
)
from agent.replay.record import Recorder, RecordingRegistry
from agent.turns.endpointing import Endpointer
from tests import speech
from tests.agent.fakes import FakeLine, Process

FRAME = 160


class SlowProvider:
    """Speech-to-text, model and speech in one, with waits of a few milliseconds between its results."""

    name = "slow"
    finalizes_pauses = False

    def __init__(self, clock: Clock, *, broken: bool = False) -> None:
        self.clock = clock
        self.broken = broken
        self.heard: list[str] = []
        """What recognition will have understood, turn by turn."""
        self.answers: list[list[LLMEvent]] = []
        self.streams: list[SlowStream] = []

    async def warm(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def input_format(self, line: AudioFormat) -> AudioFormat:
        return line

    async def open(self, request: ListenRequest, listener: Any) -> "SlowStream":
        await self.clock.sleep(7.0)
        if self.broken:
            raise ProviderUnavailable(self.name, "no")
        stream = SlowStream(self, listener)
        self.streams.append(stream)
        return stream

    async def reply(self, request: ChatRequest) -> AsyncIterator[LLMEvent]:
        if self.broken:
            raise ProviderUnavailable(self.name, "no")
        for event in self.answers.pop(0) if self.answers else [TextDelta("I do not know.")]:
            await self.clock.sleep(3.0)
            yield event

    async def speak(self, request: SpeechRequest) -> AsyncIterator[SpeechChunk]:
        if self.broken:
            raise ProviderUnavailable(self.name, "no")
        audio = g711.lin2ulaw(speech.speech(request.text, 8000, mu_law_roundtrip=False), 2)
        for at in range(0, len(audio), 2_345):
            await self.clock.sleep(4.0)
            yield SpeechChunk(audio[at : at + 2_345], PCMU_8K)


class SlowStream:
    def __init__(self, provider: SlowProvider, listener: Any) -> None:
        self.provider = provider
        self.listener = listener
        self.bytes = 0

    def feed(self, audio: bytes) -> None:
        self.bytes += len(audio)
        if self.bytes > 6_000 and self.provider.heard:
            first = self.provider.heard[0].split()[0]
            self.bytes = -1_000_000
            words = Transcript(first, final=False, confidence=0.9)
            self.provider.clock.call_later(9.0, lambda: self.listener.transcript(words))

    def finalize(self) -> None:
        self.provider.clock.call_later(12.0, self._answer)

    def _answer(self) -> None:
        text = self.provider.heard.pop(0) if self.provider.heard else ""
        self.bytes = 0
        self.listener.transcript(Transcript(text, final=True, flushed=True, confidence=0.9))

    async def close(self) -> None:
        pass


class EchoingLine(FakeLine):
    """A far end that plays what it gets, and sends its marks back when it has."""

    def __init__(self, call_id: str, clock: Clock, transport: str = "twilio-media") -> None:
        super().__init__(call_id, transport)
        self.clock = clock
        self.call: Any = None
        self.audio = b""
        self.plays_until_ms = 0.0
        self.waiting: list[str] = []

    def send(self, audio: bytes) -> None:
        self.audio += audio
        self.plays_until_ms = max(self.plays_until_ms, self.clock.now_ms()) + len(audio) / 8

    def mark(self, name: str) -> None:
        self.waiting.append(name)
        self.clock.call_later(self.plays_until_ms - self.clock.now_ms() + 30.0, lambda: self._return(name))

    def clear(self) -> None:
        self.plays_until_ms = self.clock.now_ms()
        for name in list(self.waiting):
            self.clock.call_later(15.0, partial(self._return, name))

    def _return(self, name: str) -> None:
        if name in self.waiting:
            self.waiting.remove(name)
            self.call.marked(name)


class Scene:
    """A process that records its calls to `folder`."""

    def __init__(self, folder: Path, clock: Clock, *, broken: bool = False, every: int = 1) -> None:
        self.clock = clock
        self.provider = SlowProvider(clock, broken=broken)
        self.recorder = Recorder(folder, every)
        self.process = Process(clock=clock)
        chain: Any = [self.provider]
        services = self.process.calls._services
        agent, limits = services.agent, services.agent.limits
        phrases = {language: caller_phrases(agent, language) for language in agent.languages}
        self.services = dataclasses.replace(
            services,
            stt=STTChain(chain, limits),
            llm=LLMChain(chain, limits),
            tts=TTSChain(chain, limits),
            endpointer=Endpointer(agent.turns, itertools.chain.from_iterable(phrases.values())),
            phrases=phrases,
        )
        self.calls = RecordingRegistry(
            self.services, self.process.admission, self.process.tickets, self.recorder
        )
        self.stream_ms = 0.0
        self.due_ms = clock.now_ms()

    def media(self, call_id: str = "CA1", events: CallListener | None = None) -> EchoingLine:
        line = EchoingLine(call_id, self.clock)
        line.call = self.calls.answer_media(line, self.calls.reserve(), events)
        return line

    async def hear(self, line: EchoingLine, pcm: bytes) -> None:
        """The caller's audio, in real time."""
        audio = g711.lin2ulaw(pcm, 2)
        for at in range(0, len(audio) - FRAME + 1, FRAME):
            line.call.hear(audio[at : at + FRAME], self.stream_ms)
            self.stream_ms += 20.0
            self.due_ms = max(self.due_ms + 20.0, self.clock.now_ms() - 100.0)
            await self.clock.sleep(self.due_ms - self.clock.now_ms())

    async def quiet(self, line: EchoingLine, duration_ms: float) -> None:
        await self.hear(line, bytes(int(duration_ms * 16)))

    async def close(self) -> None:
        await self.calls.drain(0.0, asyncio.Event())
        await self.process.close()
        self.recorder.close()


def tapes(folder: Path) -> list[Path]:
    """The recordings in `folder`."""
    return sorted(folder.glob("*.call.gz"))


def tool(name: str) -> ToolCall:
    return ToolCall("t1", name, "{}")
