"""A telephone whose audio goes both ways: any platform's media stream."""

import random
from collections import deque

from agent.clock import Clock
from agent.errors import WireError
from loadtest.callers.codec import codec_for
from loadtest.callers.messages import ClearAudio, FarEnd, PlaceMark, PlayAudio
from loadtest.callers.phone import Phone, Spoken
from loadtest.callers.play import FRAME_BYTES, PlayBuffer
from loadtest.callers.utterance import Utterance
from loadtest.callers.wire import Wire

_NOISE_AMPLITUDE = 8
"""A quiet line: the lowest step of G.711, about -72 dBFS. Real lines are never digitally silent."""
_NOISE_FRAMES = 50
_NOISE_SEED = 8000
DTMF_TICKS = 10
"""Keys are 200 ms apart: a quick typist."""


class MediaPhone(Phone):
    """Sends a frame and plays a frame every 20 ms.

    With `record`, `sent` and `heard` hold the whole call as PCM16 at 8 kHz, tick by tick.
    """

    def __init__(self, wire: Wire, clock: Clock, far_end: FarEnd, *, record: bool = True) -> None:
        super().__init__(wire, clock, far_end.call_id)
        self.buffer = PlayBuffer()
        self.sent = bytearray()
        self.heard = bytearray()
        self.heard_at_ms: list[float] = []
        """When each 20 ms of `heard` began to play."""
        self.clears = 0
        """How often the server emptied the buffer."""
        self._far_end = far_end
        self._record = record
        self._encoder = codec_for(far_end.to_server)
        self._decoder = codec_for(far_end.from_server)
        self._noise = _line_noise()
        self._ticks = 0
        self._saying: Spoken | None = None
        self._said = 0
        self._keys: deque[str] = deque()
        self._next_key_tick = 0

    def say(self, utterance: Utterance) -> Spoken:
        self._saying = Spoken(utterance)
        self._said = 0
        return self._saying

    def press(self, digit: str) -> None:
        self._keys.append(digit)

    @property
    def keys_waiting(self) -> int:
        return len(self._keys)

    def answer_begun_ms(self, after_ms: float) -> float | None:
        return self.ear.begun_after(after_ms)

    def agent_done(self, now_ms: float) -> bool:
        return self.buffer.queued_ms == 0.0

    def agent_text(self) -> str | None:
        return None

    def _opening(self) -> list[str]:
        return self._far_end.opening()

    def _farewell(self) -> list[str]:
        return [self._far_end.stop()]

    def _tick(self, now_ms: float) -> list[str]:
        self._ticks += 1
        played = self.buffer.play()
        messages = [self._far_end.mark(name) for name in played.marks]
        if played.queued_bytes:
            self.ear.hear(played.audio, now_ms)
        frame = self._next_frame(now_ms)
        payload = self._encoder.encode(frame)
        if payload:  # a resampler keeps the first frame to itself
            messages.append(self._far_end.media(payload))
        if self._keys and self._ticks >= self._next_key_tick:
            messages.append(self._far_end.dtmf(self._keys.popleft()))
            self._next_key_tick = self._ticks + DTMF_TICKS
        if self._record:
            self.sent += frame
            self.heard += played.audio
            self.heard_at_ms.append(now_ms)
        return messages

    def _next_frame(self, now_ms: float) -> bytes:
        spoken = self._saying
        if spoken is None:
            return self._noise[self._ticks % _NOISE_FRAMES]
        frame = spoken.utterance.frames[self._said]
        if self._said == 0:
            spoken.first_ms = now_ms
        if self._said == spoken.utterance.last_voiced:
            spoken.last_ms = now_ms
        self._said += 1
        if self._said == len(spoken.utterance.frames):
            self._saying = None
        return frame

    def _read(self, text: str, now_ms: float) -> list[str]:
        try:
            message = self._far_end.read(text)
            if isinstance(message, PlayAudio):
                self.buffer.queue(self._decode(message.payload))
                return []
        except WireError as error:
            self._note_problem(str(error))
            complaint = self._far_end.complaint(error)
            return [complaint] if complaint else []
        if isinstance(message, PlaceMark):
            return [self._far_end.mark(name) for name in self.buffer.mark(message.name)]
        assert isinstance(message, ClearAudio)
        self.clears += 1
        return [self._far_end.mark(name) for name in self.buffer.clear()]

    def _decode(self, payload: bytes) -> bytes:
        try:
            return self._decoder.decode(payload)
        except ValueError as error:
            raise WireError("payload", f"cannot decode {len(payload)} bytes: {error}") from None


def _line_noise() -> tuple[bytes, ...]:
    """A second of noise of the lowest amplitude, to be sent round and round."""
    chance = random.Random(_NOISE_SEED)
    steps = (-_NOISE_AMPLITUDE, 0, 0, _NOISE_AMPLITUDE)
    values = [step.to_bytes(2, "little", signed=True) for step in steps]
    samples = FRAME_BYTES // 2
    return tuple(b"".join(chance.choices(values, k=samples)) for _ in range(_NOISE_FRAMES))
