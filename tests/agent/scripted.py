"""Scripted providers and lines, for calls on virtual time (`tests.agent.stage`).

A phone feeds a frame of audio every 20 ms for as long as the call lasts, silence where nobody speaks, all of
it through mu-law; what it is sent it plays from a far buffer as platforms do, so marks come back when they
are due and a `clear` throws away what was not heard.
"""

import asyncio
import functools
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from agent.agentfile.schema import AgentFile
from agent.audio.codec import make_decoder, make_encoder
from agent.audio.formats import FRAME_MS, PCMU_8K, AudioFormat, linear
from agent.errors import LineError, ProviderError
from agent.latency import Stage
from agent.lines import CallInfo, MediaCall
from agent.providers import (
    ChatRequest,
    ListenRequest,
    LLMEvent,
    SpeechChunk,
    SpeechRequest,
    TextDelta,
    Transcript,
    TranscriptListener,
    WordTime,
)
from agent.records import CallObserver, CallRecord, TurnRecord
from agent.tools import ToolRunner
from tests import speech
from tests.virtual import virtual_clock

MS_PER_CHAR = 60.0
"""The speaking rate of the scripted voice."""


class Scripted:
    """What all three providers have."""

    name = "scripted"

    def __init__(self) -> None:
        self.running = 0
        """Requests or streams that are open."""

    async def warm(self) -> None: ...

    async def close(self) -> None: ...


class ScriptedSTT(Scripted):
    """Recognition that is told what it hears: `partial`, `final`, and `answers` to a finalize."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: deque[str] = deque()
        """What the next finalizes are answered with; "" when there are none."""
        self.final_ms = 100.0
        self.finalizes_pauses = False
        self.streams: list[ScriptedStream] = []
        self.open_fails = 0

    def input_format(self, line: AudioFormat) -> AudioFormat:
        return line

    async def open(self, request: ListenRequest, listener: TranscriptListener) -> "ScriptedStream":
        if self.open_fails:
            self.open_fails -= 1
            raise ProviderError(self.name, "scripted to fail")
        stream = ScriptedStream(self, request, listener)
        self.streams.append(stream)
        self.running += 1
        return stream

    @property
    def stream(self) -> "ScriptedStream":
        """The latest stream."""
        return self.streams[-1]

    def partial(self, text: str, confidence: float | None = None) -> None:
        """The recogniser has understood so much of the segment."""
        self.stream.listener.transcript(Transcript(text, final=False, confidence=confidence))

    def final(self, text: str) -> None:
        """The recogniser closes a segment by itself."""
        self.stream.listener.transcript(Transcript(text, final=True))


class ScriptedStream:
    def __init__(self, stt: ScriptedSTT, request: ListenRequest, listener: TranscriptListener) -> None:
        self.request = request
        self.listener = listener
        self.fed = 0
        self.finalized = 0
        self.open = True
        self._stt = stt

    def feed(self, audio: bytes) -> None:
        self.fed += len(audio)

    def finalize(self) -> None:
        self.finalized += 1
        text = self._stt.answers.popleft() if self._stt.answers else ""
        asyncio.get_running_loop().call_later(self._stt.final_ms / 1000, self._answer, text)

    def _answer(self, text: str) -> None:
        if self.open:
            self.listener.transcript(Transcript(text, final=True, flushed=True))

    async def close(self) -> None:
        if self.open:
            self.open = False
            self._stt.running -= 1


ScriptLine = LLMEvent | float | ProviderError | str
"""Of a model's script: an event, a text, milliseconds to wait, or an error to raise."""


class ScriptedLLM(Scripted):
    """A model that says one script after another; the last one again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[list[ScriptLine]] = [[50.0, "From eight to six."]]
        self.requests: list[ChatRequest] = []

    def says(self, *scripts: list[ScriptLine] | str) -> None:
        """The scripts of the next replies. A text alone comes after 50 ms."""
        self.scripts = [[50.0, script] if isinstance(script, str) else script for script in scripts]

    async def reply(self, request: ChatRequest) -> AsyncIterator[LLMEvent]:
        self.requests.append(request)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        self.running += 1
        try:
            for line in script:
                if isinstance(line, float):
                    await asyncio.sleep(line / 1000)
                elif isinstance(line, ProviderError):
                    raise line
                else:
                    yield TextDelta(line) if isinstance(line, str) else line
        finally:
            self.running -= 1


class ScriptedTTS(Scripted):
    """A steady voice: 60 ms for each character, with the times of the words."""

    def __init__(self) -> None:
        super().__init__()
        self.first_ms = 80.0
        self.requests: list[SpeechRequest] = []
        self.fails_at_ms: float | None = None
        """Audio of each request after which it fails; 0 before the first."""
        self.voice: Callable[[str], bytes] | None = None
        """Makes PCM16 at 8 kHz instead of the tone."""
        self.stubborn_ms = 0.0
        """How long a request that is cancelled goes on."""

    def _sound(self, text: str) -> bytes:
        if self.voice is not None:
            return self.voice(text)
        seconds = np.arange(int(len(text) * MS_PER_CHAR * 8)) / 8000
        return speech.to_pcm(0.2 * np.sin(2 * np.pi * 440 * seconds))

    async def speak(self, request: SpeechRequest) -> AsyncIterator[SpeechChunk]:
        self.requests.append(request)
        self.running += 1
        try:
            await asyncio.sleep(self.first_ms / 1000)
            pcm = self._sound(request.text)
            ms_per_char = len(pcm) / 16 / len(request.text)
            words = tuple(WordTime(at, at * ms_per_char) for at in _word_starts(request.text))
            for start in range(0, len(pcm), 3200):
                if self.fails_at_ms is not None and start / 16 >= self.fails_at_ms:
                    raise ProviderError(self.name, "scripted to fail")
                yield SpeechChunk(pcm[start : start + 3200], linear(8000), words if start == 0 else ())
        except asyncio.CancelledError:
            await asyncio.sleep(self.stubborn_ms / 1000)
            raise
        finally:
            self.running -= 1


def _word_starts(text: str) -> list[int]:
    return [at for at in range(len(text)) if text[at] != " " and (at == 0 or text[at - 1] == " ")]


class ScriptedTools(ToolRunner):
    """Tools whose requests are not sent: each takes `takes_ms` and is counted."""

    def __init__(self, agent: AgentFile) -> None:
        super().__init__(agent, {})
        self.takes_ms = 100.0
        self.sent: list[dict[str, Any]] = []

    async def _effect(self, webhook: Any, arguments: dict[str, Any], info: CallInfo) -> str:
        self.sent.append(arguments)
        await asyncio.sleep(self.takes_ms / 1000)
        return "booked"


@dataclass
class Observed(CallObserver):
    """What the server was told."""

    turns: list[TurnRecord] = field(default_factory=list)
    barge_ins_ms: list[float] = field(default_factory=list)
    parts: list[tuple[Stage, float]] = field(default_factory=list)
    """B1 to B4."""
    ended: list[CallRecord] = field(default_factory=list)
    blown: list[tuple[Stage, str]] = field(default_factory=list)
    late: list[tuple[Stage, float]] = field(default_factory=list)
    fails: bool = False

    def turn_ended(self, call: CallRecord, turn: TurnRecord) -> None:
        self.turns.append(turn)
        self._fail()

    def barge_in(self, call: CallRecord, stop_ms: float) -> None:
        self.barge_ins_ms.append(stop_ms)
        self._fail()

    def record_stage(self, call: CallRecord, stage: Stage, value_ms: float) -> None:
        self.parts.append((stage, value_ms))
        self._fail()

    def budget_blown(self, call: CallRecord, stage: Stage, action: str) -> None:
        self.blown.append((stage, action))
        self._fail()

    def stage_late(self, call: CallRecord, turn: TurnRecord, stage: Stage, value_ms: float) -> None:
        self.late.append((stage, value_ms))

    def call_ended(self, call: CallRecord) -> None:
        self.ended.append(call)
        self._fail()

    def _fail(self) -> None:
        if self.fails:
            raise RuntimeError("scripted to fail")


class Far:
    """What both kinds of line share."""

    def __init__(self, language: str | None = None) -> None:
        self.info = CallInfo("twilio-media", "CA1", language=language)
        self.closed = False
        self.hung_up_ms: float | None = None
        self.transferred: list[str] = []
        self.transfer_fails = False
        self.clock = virtual_clock()
        self.began_ms = self.clock.now_ms()

    @property
    def now_ms(self) -> float:
        """Since the line was made."""
        return self.clock.now_ms() - self.began_ms

    async def hang_up(self) -> None:
        self.hung_up_ms = self.now_ms

    async def transfer(self, target: str) -> None:
        if self.transfer_fails:
            raise LineError("scripted to fail")
        self.transferred.append(target)

    def send_digits(self, digits: str) -> None: ...

    def close(self) -> None:
        self.closed = True


class Phone(Far):
    """A caller's telephone behind a media stream."""

    inbound = outbound = PCMU_8K
    lead_ms = 200.0

    def __init__(self, listener: Callable[[], MediaCall], language: str | None = None) -> None:
        super().__init__(language)
        self._listener = listener
        self.played = b""
        """Mu-law as the caller heard it: silence where there was none, from the first moment on."""
        self.clears: list[float] = []
        self.send_fails = False
        self.returns_marks = True
        self.talking: deque[bytes] = deque()
        """Frames of PCM16 that the caller is going to say."""
        self.stops = False
        self.echo_ms: float | None = None
        """What is played comes back after so long, 12 dB softer."""
        self._buffer_ms = 0.0  # until when the far buffer lasts
        self._marks: dict[str, Any] = {}
        self._frames = 0
        self._encoder = make_encoder(PCMU_8K)
        self._decoder = make_decoder(PCMU_8K)

    # --- what the server does ----------------------------------------------------------------------

    def send(self, audio: bytes) -> None:
        if self.send_fails:
            raise RuntimeError("scripted to fail")
        at_ms = max(self._buffer_ms, self.now_ms)
        self.played = self.played[: int(at_ms * 8)].ljust(int(at_ms * 8), b"\xff") + audio
        self._buffer_ms = at_ms + len(audio) / 8

    def mark(self, name: str) -> None:
        if self.returns_marks:
            due_ms = max(self._buffer_ms - self.now_ms, 0.0)
            self._marks[name] = self.clock.call_later(due_ms, lambda: self._marked(name))

    def clear(self) -> None:
        self.clears.append(self.now_ms)
        self.played = self.played[: int(self.now_ms * 8)]
        self._buffer_ms = min(self._buffer_ms, self.now_ms)
        for name in list(self._marks):
            self._marks.pop(name).cancel()
            self.clock.call_later(1.0, functools.partial(self._marked, name))

    def _marked(self, name: str) -> None:
        self._marks.pop(name, None)
        self._listener().marked(name)

    # --- what the caller does ----------------------------------------------------------------------

    def pick_up(self) -> None:
        """Send a frame every 20 ms from now on."""
        self.clock.call_later(FRAME_MS, self._frame)

    def _frame(self) -> None:
        if self.stops or self.closed:
            return
        pcm = self.talking.popleft() if self.talking else bytes(320)
        if self.echo_ms is not None:
            begin = int((self.now_ms - self.echo_ms - FRAME_MS) * 8)
            back = self._decoder.decode(self.played[begin : begin + 160].ljust(160, b"\xff"))
            pcm = speech.mixed(pcm, speech.amplified(back, -12))
        self._listener().hear(self._encoder.encode(pcm), self._frames * FRAME_MS)
        self._frames += 1
        self.clock.call_later(FRAME_MS, self._frame)

    def says(self, pcm: bytes) -> float:
        """Begin to say `pcm` with the next frame. Returns its length in ms."""
        frames = speech.frames(pcm)
        self.talking.extend(frames)
        return float(len(frames) * FRAME_MS)

    def sounding(self, begin_ms: float, end_ms: float) -> bool:
        """Whether anything was heard of the agent in that time."""
        return bool(self.played[int(begin_ms * 8) : int(end_ms * 8)].strip(b"\xff\x7f"))

    @property
    def playing(self) -> bool:
        """The far end still has something to play."""
        return self._buffer_ms > self.now_ms + 1.0


class Relay(Far):
    """A platform that hears and speaks."""

    reports_played = False

    def __init__(self, language: str | None = None) -> None:
        super().__init__(language)
        self.info = replace(self.info, transport="twilio-relay")
        self.said: list[tuple[str, bool, str | None]] = []
        self.languages: list[str] = []

    def say(self, text: str, *, last: bool, language: str | None = None) -> None:
        self.said.append((text, last, language))

    def switch_language(self, language: str) -> None:
        self.languages.append(language)

    @property
    def text(self) -> str:
        """All that was said."""
        return "".join(text for text, _, _ in self.said)
