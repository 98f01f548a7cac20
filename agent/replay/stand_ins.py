"""What stands in for clock, line, providers and tools while a recorded call is replayed.

They do nothing by themselves: the recording says what they return, and when (`Script`).
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, TypeVar

from agent.agentfile.schema import AgentFile, WebhookTool
from agent.audio.formats import AudioFormat
from agent.chains import LLMChain, OpenedSTT, Served, STTChain, TTSChain
from agent.clock import Timer
from agent.lines import CallInfo
from agent.providers import (
    ChatRequest,
    LLMEvent,
    SpeechChunk,
    SpeechRequest,
    ToolCall,
    TranscriptListener,
)
from agent.replay.taps import sleep_by
from agent.replay.words import read_chunk, read_error, read_event, read_format, read_info
from agent.ticker import Tick, Ticker
from agent.tools import ToolRunner

T = TypeVar("T")
Fields = dict[str, Any]


class Script:
    """What is still to come from outside, by its kind and number.

    A queue per stream, filled as the recording's entries are reached; bounded by the recording.
    """

    def __init__(self) -> None:
        self._queues: dict[tuple[str, int], asyncio.Queue[Fields]] = {}
        self.listeners: dict[int, TranscriptListener] = {}
        """Of recognition streams, by number."""

    def put(self, source: str, number: int, what: Fields) -> None:
        """An entry was reached."""
        self._queue(source, number).put_nowait(what)

    async def get(self, source: str, number: int) -> Fields:
        """The next thing from there. Where the recording has none, the end of the call ends the wait."""
        return await self._queue(source, number).get()

    def _queue(self, source: str, number: int) -> "asyncio.Queue[Fields]":
        return self._queues.setdefault((source, number), asyncio.Queue())


class _ReplayTimer:
    __slots__ = ("_drop",)

    def __init__(self, drop: Callable[[], None]) -> None:
        self._drop = drop

    def cancel(self) -> None:
        self._drop()


class ReplayClock:
    """Says what the recorded clock said. Timers go off when they did, not when they are due."""

    def __init__(self, loop: asyncio.AbstractEventLoop, unix_s: float) -> None:
        self._loop = loop
        self._began_ms = loop.time() * 1000
        self._unix_s = unix_s
        self._readings: list[float] = []
        self._next = 0
        self._numbers = itertools.count(1)
        self._timers: dict[int, tuple[float, Callable[[], object]]] = {}

    def entry(self, readings: list[float]) -> None:
        """From here on these are what it says."""
        self._readings = readings
        self._next = 0

    def now_ms(self) -> float:
        """See `agent.clock.Clock`. More readings than were recorded give the virtual loop's time."""
        if self._next < len(self._readings):
            self._next += 1
            return self._readings[self._next - 1]
        return round(self._loop.time() * 1000, 3)

    def unix_s(self) -> float:
        """See `agent.clock.Clock`."""
        return self._unix_s + self._loop.time() - self._began_ms / 1000

    def call_later(self, delay_ms: float, callback: Callable[[], object]) -> Timer:
        """See `agent.clock.Clock`."""
        number = next(self._numbers)
        self._timers[number] = (self._loop.time() * 1000 + delay_ms, callback)

        def drop() -> None:
            self._timers.pop(number, None)

        return _ReplayTimer(drop)

    async def sleep(self, delay_ms: float) -> None:
        """See `agent.clock.Clock`."""
        await sleep_by(self, delay_ms)

    def fire(self, number: int) -> bool:
        """The recording's timer of that number goes off. False if this run has none."""
        found = self._timers.pop(number, None)
        if found is not None:
            found[1]()
        return found is not None

    def overdue(self, before_ms: float, expected: frozenset[int]) -> list[int]:
        """Timers that were due before `before_ms` and never go off in the recording."""
        return [
            number
            for number, (due_ms, _) in self._timers.items()
            if due_ms < before_ms and number not in expected
        ]


class ReplayTicker(Ticker):
    """Beats when the recording says so."""

    def __init__(self) -> None:
        self._members: dict[Tick, None] = {}

    def add(self, tick: Tick) -> None:
        """See `agent.ticker.Ticker`."""
        self._members[tick] = None

    def remove(self, tick: Tick) -> None:
        """See `agent.ticker.Ticker`."""
        self._members.pop(tick, None)

    def beat(self, now_ms: float) -> bool:
        """Call the members. False if there are none."""
        members = tuple(self._members)
        for tick in members:
            tick(now_ms)
        return bool(members)


class ReplayLine:
    """A line of both kinds that only swallows. Platform actions end as they did."""

    def __init__(
        self, info: CallInfo, fields: Fields, script: Script, actions: "itertools.count[int]"
    ) -> None:
        self.info = info
        if "inbound" in fields:
            self.inbound = read_format(fields["inbound"])
            self.outbound = read_format(fields["outbound"])
            self.lead_ms = float(fields["lead_ms"])
        self.reports_played = bool(fields.get("reports_played", False))
        self._script = script
        self._actions = actions

    async def hang_up(self) -> None:
        """See `agent.lines.Line`."""
        await self._action()

    async def transfer(self, target: str) -> None:
        """See `agent.lines.Line`."""
        await self._action()

    async def _action(self) -> None:
        outcome = await self._script.get("action", next(self._actions))
        if "error" in outcome:
            raise read_error(outcome["error"])

    def send_digits(self, digits: str) -> None:
        """See `agent.lines.Line`."""

    def close(self) -> None:
        """See `agent.lines.Line`."""

    def send(self, audio: bytes) -> None:
        """See `agent.lines.MediaLine`."""

    def mark(self, name: str) -> None:
        """See `agent.lines.MediaLine`."""

    def clear(self) -> None:
        """See `agent.lines.MediaLine`."""

    def say(self, text: str, *, last: bool, language: str | None = None) -> None:
        """See `agent.lines.TextLine`."""

    def switch_language(self, language: str) -> None:
        """See `agent.lines.TextLine`."""


def replay_line(fields: Fields, info: Fields, script: Script, actions: "itertools.count[int]") -> ReplayLine:
    """The line that an entry describes."""
    return ReplayLine(read_info(info), fields, script, actions)


class _Silent:
    """A provider of which nothing is asked: the chain around it answers from the script."""

    name = "replay"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a replay asked a provider for {name}: the chain should have answered")


class _DeafStream:
    """A recognition stream; its words come from the script."""

    def feed(self, audio: bytes) -> None:
        """See `agent.providers.STTStream`."""

    def finalize(self) -> None:
        """See `agent.providers.STTStream`."""

    async def close(self) -> None:
        """See `agent.providers.STTStream`."""


class ReplaySTT(STTChain):
    """Recognition from the script."""

    def __init__(self, agent: AgentFile, script: Script) -> None:
        silent: Any = [_Silent() for _ in agent.providers.stt]
        super().__init__(silent, agent.limits)
        self._script = script
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
        self._script.listeners[number] = listener
        outcome = await self._script.get("stt_opened", number)
        if "error" in outcome:
            raise read_error(outcome["error"])
        audio, pauses = read_format(outcome["audio"]), outcome.get("pauses", False)
        return OpenedSTT(outcome["provider"], audio, _DeafStream(), pauses)


class ReplayLLM(LLMChain):
    """The language model from the script."""

    def __init__(self, agent: AgentFile, script: Script) -> None:
        silent: Any = [_Silent() for _ in agent.providers.llm]
        super().__init__(silent, agent.limits)
        self._script = script
        self._numbers = itertools.count(1)

    def reply(
        self, request: ChatRequest, served: Served, tried: list[str] | None = None, *, smaller: bool = False
    ) -> AsyncGenerator[LLMEvent, None]:
        """See `agent.chains.LLMChain`."""
        return _scripted(self._script, "llm", next(self._numbers), read_event, served)


class ReplayTTS(TTSChain):
    """Speech from the script."""

    def __init__(self, agent: AgentFile, script: Script) -> None:
        silent: Any = [_Silent() for _ in agent.providers.tts]
        super().__init__(silent, agent.limits)
        self._script = script
        self._numbers = itertools.count(1)

    def speak(
        self, request: SpeechRequest, served: Served, tried: list[str] | None = None
    ) -> AsyncGenerator[SpeechChunk, None]:
        """See `agent.chains.TTSChain`."""
        return _scripted(self._script, "tts", next(self._numbers), read_chunk, served)


async def _scripted(
    script: Script, source: str, number: int, read: Callable[[Fields], T], served: Served
) -> AsyncGenerator[T, None]:
    while True:
        what = await script.get(source, number)
        if "item" in what:
            yield read(what["item"])
        elif "error" in what:
            raise read_error(what["error"])
        elif what.get("provider"):
            served(what["provider"])
        else:
            return


class ReplayTools(ToolRunner):
    """Tools whose results the script knows; nothing is called."""

    def __init__(self, agent: AgentFile, script: Script) -> None:
        super().__init__(agent, _AnySecret(agent))
        self._script = script
        self._numbers = itertools.count(1)

    async def run(self, call: ToolCall, info: CallInfo) -> str:
        """See `agent.tools.ToolRunner`."""
        outcome = await self._script.get("tool_done", next(self._numbers))
        return str(outcome["result"])


class _AnySecret(Mapping[str, str]):
    """Whatever a header asks for: a replay sends none, and needs none of the operator's secrets."""

    def __init__(self, agent: AgentFile) -> None:
        self._headers = [tool.headers for tool in agent.tools if isinstance(tool, WebhookTool)]

    def __getitem__(self, name: str) -> str:
        return "replayed"

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0
