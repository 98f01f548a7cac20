"""One context of a simulated Cartesia: its text in, its audio and word times out. Cartesia sheet 2."""

import asyncio
from binascii import b2a_base64
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from agent.audio.formats import AudioFormat, Encoding
from agent.clock import Clock
from loadtest.simulators.cartesia_voice import Voice
from loadtest.simulators.faults import Fault
from loadtest.simulators.profile import Timings

CHUNK_MS = 100.0
"""Audio per chunk. The service's own chunks are irregular."""
EXPIRY_MS = 1_000.0
"""A context goes this long after its last audio was sent (sheet 2)."""
_ENCODINGS = {"pcm_mulaw": Encoding.PCMU, "pcm_alaw": Encoding.PCMA, "pcm_s16le": Encoding.L16}
_RATES_HZ = (8000, 16000, 22050, 24000, 44100, 48000)
_FIXED = ("model_id", "language", "voice", "output_format", "add_timestamps", "generation_config")
"""What may not change within a context."""


class RequestMistake(Exception):
    """The request is wrong, as Cartesia would say it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True, slots=True)
class Request:
    """A message that asks for speech."""

    transcript: str
    more: bool
    flush: bool
    timestamps: bool
    language: str
    audio: AudioFormat
    fixed: bytes
    """All that has to be the same in the context's next message."""


def read_request(message: dict[str, Any]) -> Request:
    """Raises `RequestMistake`."""
    for name in ("context_id", "model_id", "transcript"):
        if not isinstance(message.get(name), str):
            raise RequestMistake(400, "invalid_request", f"{name} is missing")
    if not message["model_id"].startswith("sonic"):
        raise RequestMistake(400, "model_not_found", "Invalid model")
    voice = message.get("voice")
    if not isinstance(voice, dict) or voice.get("mode") != "id" or not voice.get("id"):
        raise RequestMistake(400, "voice_not_found", "Invalid voice")
    delay = message.get("max_buffer_delay_ms", 3000)
    if not isinstance(delay, int) or not 0 <= delay <= 5000:
        raise RequestMistake(400, "invalid_request", "max_buffer_delay_ms is 0 to 5000")
    fixed = {name: message.get(name) for name in _FIXED}
    return Request(
        message["transcript"],
        message.get("continue") is True,
        message.get("flush") is True,
        message.get("add_timestamps") is True,
        str(message.get("language", "en")),
        _audio(message.get("output_format")),
        orjson.dumps(fixed, option=orjson.OPT_SORT_KEYS),
    )


def _audio(wanted: object) -> AudioFormat:
    if not isinstance(wanted, dict) or wanted.get("container") != "raw":
        raise RequestMistake(400, "invalid_output_format", "container is raw on the socket")
    encoding, rate_hz = _ENCODINGS.get(wanted.get("encoding", "")), wanted.get("sample_rate")
    if encoding is None or rate_hz not in _RATES_HZ:
        raise RequestMistake(400, "invalid_output_format", "unsupported encoding or sample_rate")
    return AudioFormat(encoding, rate_hz)


def error_message(context: str, status: int, code: str, detail: str) -> bytes:
    """An error of a context (or, with an empty name, of the socket)."""
    message = {"type": "error", "done": True, "status_code": status, "error_code": code, "title": "Error"}
    message |= {"message": detail, "request_id": "simulated"}
    return orjson.dumps({**message, "context_id": context} if context else message)


class Context:
    """Speaks its texts one after the other. `task` runs `run`."""

    task: "asyncio.Task[None]"

    def __init__(
        self,
        name: str,
        first: Request,
        clock: Clock,
        timings: Timings,
        voice: Voice,
        fault: Fault | None,
        send: Callable[[bytes], None],
        cut: Callable[[], None],
    ) -> None:
        self.name = name
        self.done = self.expired = False
        self._first = first
        self._clock = clock
        self._timings = timings
        self._voice = voice
        self._fault = fault
        self._send = send
        self._cut = cut
        self._texts: deque[Request] = deque()
        self._news = asyncio.Event()
        self._cancelled = False
        self._flush_id = 1
        self._audio_ms = 0.0

    def add(self, request: Request) -> None:
        """Another message for it. Raises `RequestMistake` where a field changed."""
        if request.fixed != self._first.fixed:
            raise RequestMistake(
                400, "context_fields_changed", "Only transcript, continue and flush may change"
            )
        self._texts.append(request)
        self._news.set()

    def cancel(self) -> None:
        """Nothing new begins."""
        self._cancelled = True
        self._texts.clear()
        self._news.set()

    async def run(self) -> None:
        """Until all was said, cancelled, or nothing came for a while."""
        while True:
            if not self._texts:
                if self._cancelled or not await self._more():
                    return
                continue
            request = self._texts.popleft()
            if request.transcript.strip():
                await self._say(request)
            if request.flush or request.transcript:
                # With no buffering one follows each submission, and one each manual flush.
                self._message("flush_done", flush_done=True, status_code=206)
                self._flush_id += 1
            if not request.more:
                if self._fault is Fault.SLOW_CLOSE:
                    await self._clock.sleep(self._timings.draw_ms("slow_close"))
                self.done = True
                self._message("done", done=True, status_code=200)
                return

    async def _more(self) -> bool:
        self._news.clear()
        timer = self._clock.call_later(EXPIRY_MS * self._timings.scale or EXPIRY_MS, self._news.set)
        try:
            await self._news.wait()
        finally:
            timer.cancel()
        self.expired = not self._texts and not self._cancelled
        return not self.expired

    async def _say(self, request: Request) -> None:
        spoken = await self._voice(request.transcript, request.language, request.audio)
        if self._fault is Fault.STALL_OPEN:
            await asyncio.get_running_loop().create_future()
        size = int(request.audio.bytes_per_ms * CHUNK_MS)
        due_ms = self._clock.now_ms() + self._timings.draw_ms("first_audio")
        words = deque(spoken.words)
        for at, start in enumerate(range(0, len(spoken.audio), size)):
            if (wait_ms := due_ms - self._clock.now_ms()) > 0:
                await self._clock.sleep(wait_ms)
            if self._fault is Fault.GARBAGE:
                self._send(b'{"type":"chunk","context_id":"' + self.name.encode() + b'","data":"%%%')
            else:
                piece = spoken.audio[start : start + size]
                data = b2a_base64(piece, newline=False).decode()
                self._message("chunk", data=data, status_code=206, step_time=90.0)
                end_ms = request.audio.duration_ms(start + len(piece))
                self._timestamps(
                    request, [words.popleft() for _ in range(len(words)) if words[0][1] < end_ms]
                )
            if self._fault is Fault.DIE_MID_STREAM and at == 1:
                await asyncio.sleep(0.01)  # what was sent is on its way
                self._cut()
                return
            due_ms += self._timings.draw_ms("dribble" if self._fault is Fault.DRIBBLE else "inter_chunk")
        self._audio_ms += request.audio.duration_ms(len(spoken.audio))

    def _timestamps(self, request: Request, words: list[tuple[str, float, float]]) -> None:
        if request.timestamps and words:
            times = {
                "words": [word for word, _, _ in words],
                "start": [(self._audio_ms + start_ms) / 1000 for _, start_ms, _ in words],
                "end": [(self._audio_ms + end_ms) / 1000 for _, _, end_ms in words],
            }
            self._message("timestamps", word_timestamps=times, status_code=206)

    def _message(self, kind: str, *, done: bool = False, **fields: object) -> None:
        message = {"type": kind, "context_id": self.name, "done": done, "flush_id": self._flush_id, **fields}
        self._send(orjson.dumps(message))
