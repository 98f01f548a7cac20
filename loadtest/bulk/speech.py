"""What bulk callers say: real speech, cut to its sound, as base64 frames made once for all calls."""

from binascii import b2a_base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from agent.audio.formats import FRAME_MS, PCMU_8K
from agent.clock import Clock
from loadtest.callers.codec import CALLER_RATE_HZ, codec_for
from loadtest.callers.ear import AUDIBLE_SAMPLE, audible_span
from loadtest.callers.play import FRAME_BYTES
from loadtest.callers.utterance import utterance
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
_CODEC = codec_for(PCMU_8K)
QUIET_CODES = bytes(
    code
    for code in range(256)
    if abs(int.from_bytes(_CODEC.decode(bytes((code,))), "little", signed=True)) < AUDIBLE_SAMPLE
)
"""Mu-law codes that nobody hears."""


@dataclass(frozen=True, slots=True)
class Said:
    """An utterance ready to be sent."""

    frames: tuple[bytes, ...]
    """Base64 of 20 ms mu-law each, the first audible at its first sample."""
    last_voiced: int
    """Index of the frame with the last audible sample."""
    last_voiced_offset_ms: float
    """Where in that frame."""


@dataclass(frozen=True, slots=True)
class CallerSpeech:
    """All that the callers of a run can say."""

    sentences: tuple[Said, ...]
    interruption: Said
    noise: tuple[bytes, ...]
    """A quiet line, round and round: base64 frames."""


def said(text: str, pcm: bytes) -> Said:
    """From PCM16 at 8 kHz. Raises `ValueError` if it is silent."""
    spoken = utterance(text, pcm)
    last = spoken.frames[spoken.last_voiced]
    span = audible_span(last)
    offset_ms = span[1] * 1000 / CALLER_RATE_HZ if span else float(FRAME_MS)
    return Said(_base64(spoken.frames), spoken.last_voiced, offset_ms)


async def caller_speech(
    clock: Clock,
    environ: Mapping[str, str],
    sentences: Iterable[str] = SENTENCES,
    interruption: str = INTERRUPTION,
) -> CallerSpeech:
    """Synthesise everything (or take it from the cache). Raises `agent.errors.ProviderError`."""
    voice = embedded_voice(clock, environ)
    try:
        spoken = [said(text, await voice.say(text)) for text in sentences]
        interrupting = said(interruption, await voice.say(interruption))
    finally:
        await voice.close()
    return CallerSpeech(tuple(spoken), interrupting, _base64(_line_noise()))


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
    return b"".join(map(_CODEC.encode, spoken.frames))


def first_audible_ms(audio: bytes) -> float | None:
    """Where mu-law audio becomes audible, from its start; None if it never does."""
    if not audio.translate(None, QUIET_CODES):
        return None
    return (len(audio) - len(audio.lstrip(QUIET_CODES))) / PCMU_8K.bytes_per_ms


def _line_noise() -> list[bytes]:
    chance = np.random.default_rng(_NOISE_SEED)
    steps = chance.choice((-_NOISE_STEP, 0, 0, _NOISE_STEP), (_NOISE_FRAMES, FRAME_BYTES // 2))
    return [frame.astype("<i2").tobytes() for frame in steps]


def _base64(frames: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(b2a_base64(_CODEC.encode(frame), newline=False) for frame in frames)
