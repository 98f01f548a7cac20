"""A small process around calls: providers that answer at once, lines that only remember."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from agent.admission import Admission, LoopLag, TicketOffice
from agent.agentfile import load_agent
from agent.audio.formats import PCMU_8K, AudioFormat
from agent.busy import CoreRoom, LoopBusy
from agent.chains import LLMChain, STTChain, TTSChain
from agent.clock import Clock, LoopClock
from agent.lines import CallInfo
from agent.metrics import LatencyBook
from agent.providers import ChatRequest, ListenRequest, LLMEvent, SpeechChunk, SpeechRequest, TextDelta
from agent.registry import Registry
from agent.services import CallServices
from agent.ticker import Ticker
from agent.tools import ToolRunner
from agent.turns.endpointing import Endpointer
from agent.turns.expectation import Expectations


class FakeProvider:
    """Speech-to-text, model and speech in one."""

    name = "fake"
    finalizes_pauses = False

    async def warm(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def input_format(self, line: AudioFormat) -> AudioFormat:
        return line

    async def open(self, request: ListenRequest, listener: Any) -> "FakeStream":
        return FakeStream()

    async def reply(self, request: ChatRequest) -> AsyncIterator[LLMEvent]:
        yield TextDelta("Nine to five.")

    async def speak(self, request: SpeechRequest) -> AsyncIterator[SpeechChunk]:
        yield SpeechChunk(b"\x55" * 1600, PCMU_8K)


class FakeStream:
    def feed(self, audio: bytes) -> None:
        pass

    def finalize(self) -> None:
        pass

    async def close(self) -> None:
        pass


class FakeLine:
    """A media and a text line in one."""

    inbound = outbound = PCMU_8K
    lead_ms = 200.0
    reports_played = False

    def __init__(self, call_id: str, transport: str = "twilio-media") -> None:
        self.info = CallInfo(transport, call_id)
        self.closed = False
        self.hung_up = False
        self.said: list[str] = []

    async def hang_up(self) -> None:
        self.hung_up = True

    async def transfer(self, target: str) -> None:
        pass

    def send_digits(self, digits: str) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def send(self, audio: bytes) -> None:
        pass

    def mark(self, name: str) -> None:
        pass

    def clear(self) -> None:
        pass

    def say(self, text: str, *, last: bool, language: str | None = None) -> None:
        self.said.append(text)

    def switch_language(self, language: str) -> None:
        pass


class Process:
    """A registry with all that it needs. `await close()` at the end."""

    def __init__(self, max_calls: int = 10, clock: Clock | None = None) -> None:
        self.clock = clock or LoopClock()
        agent = load_agent(None)
        self.lag = LoopLag(self.clock)
        self.ticker = Ticker(self.clock)
        self.busy = LoopBusy(self.clock)
        self.room = CoreRoom(self.busy, self.clock, 0.92)
        self.admission = Admission(max_calls, 50.0, self.lag, self.room)
        self.tickets = TicketOffice(self.admission, self.clock)
        self.book = LatencyBook(agent.languages, self.clock)
        fake: Any = FakeProvider()
        self.tools = ToolRunner(agent, {})
        services = CallServices(
            agent, self.clock, STTChain([fake], agent.limits), LLMChain([fake], agent.limits),
            TTSChain([fake], agent.limits), self.tools, self.ticker, Expectations(agent),
            Endpointer(agent.turns, ()), {}, self.book,
        )  # fmt: skip
        self.calls = Registry(services, self.admission, self.tickets)

    def media(self, call_id: str) -> FakeLine:
        """A media call has begun on the line."""
        line = FakeLine(call_id)
        self.calls.answer_media(line, self.calls.reserve())
        return line

    def text(self, call_id: str) -> FakeLine:
        """A text call has begun on the line."""
        line = FakeLine(call_id, "twilio-relay")
        self.calls.answer_text(line, self.calls.reserve())
        return line

    async def close(self) -> None:
        await self.calls.drain(0.0, asyncio.Event())
        self.tickets.close()
        self.ticker.close()
        await self.tools.close()
