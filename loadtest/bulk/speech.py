"""What bulk callers say: real speech, cut to its sound, as base64 frames made once for all calls."""

from binascii import b2a_base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from agent.audio.formats import FRAME_MS, PCMU_8K, AudioFormat
from agent.clock import Clock
from loadtest.bulk.first_word import Expected
from loadtest.bulk.payload import Payload, payload_for
from loadtest.callers.codec import CALLER_RATE_HZ
from loadtest.callers.ear import audible_span
from loadtest.callers.play import FRAME_BYTES
from loadtest.callers.utterance import Utterance, cough, utterance
from loadtest.speech import embedded_voice

SENTENCES = (
    "What are your opening hours?",
    "Do you have time on Tuesday morning?",
    "How much is a first visit?",
)
INTERRUPTION = "Sorry, one more question, where are you?"
SHORT_INTERRUPTION = "And on Sunday?"
"""For many turns in a short time."""
_NOISE_STEP = 8
"""A quiet line: the lowest step of G.711, about -72 dBFS. Real lines are never digitally silent."""
_NOISE_FRAMES = 50
_NOISE_SEED = 8000
PCMU = payload_for(PCMU_8K)


@dataclass(frozen=True, slots=True)
class Said:
    """An utterance ready to be sent."""

    frames: tuple[bytes, ...]
    """Base64 of 20 ms each, the first audible at its first sample."""
    last_voiced: int
    """Index of the frame with the last audible sample."""
    last_voiced_offset_ms: float
    """Where in that frame."""


@dataclass(frozen=True, slots=True)
class CallerSpeech:
    """All that the callers of a run can say on lines of one format, and what they expect to hear."""

    sentences: tuple[Said, ...]
    interruption: Said
    noise: tuple[bytes, ...]
    """A quiet line, round and round: base64 frames."""
    cough: Said | None = None
    hears: Payload = PCMU
    """What the server sends."""
    greetings: tuple[Expected, ...] = ()
    """How the greeting may begin; empty where that is not known."""
    replies: tuple[Expected, ...] = ()


@dataclass(frozen=True, slots=True)
class Spoken:
    """The same before it is encoded: made once, for lines of any format."""

    sentences: tuple[Utterance, ...]
    interruption: Utterance
    greetings: tuple[Expected, ...] = field(default=())
    replies: tuple[Expected, ...] = field(default=())

    def on(self, to_server: AudioFormat, from_server: AudioFormat) -> CallerSpeech:
        """Encoded. Raises `ValueError` for formats that bulk callers do not speak."""
        line = payload_for(to_server)
        return CallerSpeech(
            tuple(_encoded(each, line) for each in self.sentences),
            _encoded(self.interruption, line),
            _base64(line.encode(_line_noise())),
            _encoded(cough(), line),
            payload_for(from_server),
            self.greetings,
            self.replies,
        )


def said(text: str, pcm: bytes, line: Payload = PCMU) -> Said:
    """From PCM16 at 8 kHz. Raises `ValueError` if it is silent."""
    return _encoded(utterance(text, pcm), line)


async def speak(
    clock: Clock,
    environ: Mapping[str, str],
    sentences: Iterable[str] = SENTENCES,
    interruption: str = INTERRUPTION,
) -> Spoken:
    """Synthesise everything (or take it from the cache). Raises `agent.errors.ProviderError`."""
    voice = embedded_voice(clock, environ)
    try:
        spoken = [utterance(text, await voice.say(text)) for text in sentences]
        interrupting = utterance(interruption, await voice.say(interruption))
    finally:
        await voice.close()
    return Spoken(tuple(spoken), interrupting)


async def caller_speech(
    clock: Clock,
    environ: Mapping[str, str],
    sentences: Iterable[str] = SENTENCES,
    interruption: str = INTERRUPTION,
) -> CallerSpeech:
    """The same for lines of mu-law, expecting nothing."""
    return (await speak(clock, environ, sentences, interruption)).on(PCMU_8K, PCMU_8K)


async def agent_speech(clock: Clock, environ: Mapping[str, str]) -> bytes:
    """Mu-law speech for the stubs' agent, in another voice, audible from its first sample."""
    voice = embedded_voice(clock, environ, voice="en-us+f3")
    try:
        text = (
            "You find us in Mill Street number twelve, opposite the station, and the first visit is free of "
            "charge, but please bring your card, and come ten minutes before your appointment begins."
        )
        spoken = utterance(text, await voice.say(text))
    finally:
        await voice.close()
    return b"".join(PCMU.encode(spoken.frames))


def first_audible_ms(audio: bytes) -> float | None:
    """Where mu-law audio becomes audible, from its start; None if it never does."""
    return PCMU.first_audible_ms(audio)


def _encoded(spoken: Utterance, line: Payload) -> Said:
    span = audible_span(spoken.frames[spoken.last_voiced])
    offset_ms = span[1] * 1000 / CALLER_RATE_HZ if span else float(FRAME_MS)
    return Said(_base64(line.encode(spoken.frames)), spoken.last_voiced, offset_ms)


def _line_noise() -> list[bytes]:
    chance = np.random.default_rng(_NOISE_SEED)
    steps = chance.choice((-_NOISE_STEP, 0, 0, _NOISE_STEP), (_NOISE_FRAMES, FRAME_BYTES // 2))
    return [frame.astype("<i2").tobytes() for frame in steps]


def _base64(payloads: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(b2a_base64(payload, newline=False) for payload in payloads)
