"""A server in memory for synthetic callers, on a virtual clock."""

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

from agent.audio.formats import PCMU_8K
from agent.clock import Clock
from loadtest.callers.codec import codec_for
from loadtest.callers.ear import audible_span
from loadtest.callers.identity import twilio_identity
from loadtest.callers.media_phone import MediaPhone
from loadtest.callers.twilio_media import TwilioMediaFarEnd
from loadtest.callers.utterance import Utterance, utterance
from loadtest.callers.wire import WireClosed


def tone(duration_ms: float, amplitude: int = 8000) -> bytes:
    """A 500 Hz cosine as PCM16 at 8 kHz: audible from its very first sample."""
    time = np.arange(int(duration_ms * 8))
    return bytes((amplitude * np.cos(2 * np.pi * 500 / 8000 * time)).astype("<i2").tobytes())


def silence(duration_ms: float) -> bytes:
    return bytes(int(duration_ms * 8) * 2)


def sentence(text: str = "hello", duration_ms: float = 600) -> Utterance:
    return utterance(text, tone(duration_ms))


class MemoryWire:
    """A socket whose server is a plain function of each message."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        """All that the platform sent."""
        self.on_message: Callable[[dict[str, Any]], None] = lambda _: None
        self.closed_with: tuple[int, str] | None = None
        self._to_platform: asyncio.Queue[str | WireClosed] = asyncio.Queue()
        self._server_closed: WireClosed | None = None

    async def send(self, text: str) -> None:
        if self._server_closed is not None:
            raise self._server_closed
        message = orjson.loads(text)
        self.sent.append(message)
        self.on_message(message)

    async def receive(self) -> str:
        message = await self._to_platform.get()
        if isinstance(message, WireClosed):
            raise message
        return message

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.closed_with = self.closed_with or (code, reason)

    def push(self, message: dict[str, Any] | str) -> None:
        """The server sends a message."""
        self._to_platform.put_nowait(message if isinstance(message, str) else orjson.dumps(message).decode())

    def push_all(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            self.push(message)

    def server_closes(self, code: int = 1000, reason: str = "") -> None:
        self._server_closed = WireClosed(code, reason)
        self._to_platform.put_nowait(self._server_closed)


class FakeAgent:
    """A Twilio media server that greets, hears energy and answers tones.

    It answers `answer_after_ms` after the last voiced frame it got, once `patience_ms` of silence have
    passed, and clears `stop_after_ms` after the first voiced frame that comes while it is speaking.
    """

    patience_ms = 300.0

    def __init__(self, wire: MemoryWire, clock: Clock, *, greeting_ms: float = 1000) -> None:
        self.wire = wire
        self.clock = clock
        self.greeting_ms = greeting_ms
        self.answers: list[bytes] = []
        self.answer_after_ms = 490.0
        self.stop_after_ms: float | None = 130.0
        self.heard_first_ms: list[float] = []
        """Start of each thing that the caller said."""
        self.stream_sid = ""
        self._speaking_until_ms = 0.0
        self._last_voiced_ms: float | None = None
        self._codec = codec_for(PCMU_8K)
        wire.on_message = self._heard

    def speak(self, pcm: bytes) -> None:
        payload = base64.b64encode(self._codec.encode(pcm)).decode()
        self.wire.push({"event": "media", "streamSid": self.stream_sid, "media": {"payload": payload}})
        self._speaking_until_ms = self.clock.now_ms() + len(pcm) / 16

    def clear(self) -> None:
        self._speaking_until_ms = 0.0
        self.wire.push({"event": "clear", "streamSid": self.stream_sid})

    def _heard(self, message: dict[str, Any]) -> None:
        if message["event"] == "start":
            self.stream_sid = message["streamSid"]
            if self.greeting_ms:
                self.clock.call_later(90, lambda: self.speak(tone(self.greeting_ms)))
        elif message["event"] == "media":
            self._heard_frame(self._codec.decode(base64.b64decode(message["media"]["payload"])))

    def _heard_frame(self, pcm: bytes) -> None:
        now_ms = self.clock.now_ms()
        if audible_span(pcm) is not None:
            if self._last_voiced_ms is None:
                self.heard_first_ms.append(now_ms)
                if now_ms < self._speaking_until_ms and self.stop_after_ms is not None:
                    self.clock.call_later(self.stop_after_ms, self.clear)
            self._last_voiced_ms = now_ms
        elif self._last_voiced_ms is not None and now_ms - self._last_voiced_ms >= self.patience_ms:
            left_ms = self._last_voiced_ms + self.answer_after_ms - now_ms
            self._last_voiced_ms = None
            if self.answers:
                answer = self.answers.pop(0)
                self.clock.call_later(left_ms, lambda: self.speak(answer))


def media_phone(clock: Clock) -> tuple[MediaPhone, MemoryWire]:
    wire = MemoryWire()
    far_end = TwilioMediaFarEnd(twilio_identity(), {"ticket": "secret"})
    return MediaPhone(wire, clock, far_end), wire
