"""What a caller says, and the steps of a call's script."""

from dataclasses import dataclass

import numpy as np

from agent.audio.formats import FRAME_MS
from loadtest.callers.codec import CALLER_RATE_HZ
from loadtest.callers.ear import audible_span
from loadtest.callers.play import FRAME_BYTES

CHARS_PER_S = 14.0
"""Pace of synthesised speech, for calls that carry text only (Twilio sheet 6.1)."""
_COUGH_MS = 160
_COUGH_SEED = 20


@dataclass(frozen=True, slots=True)
class Utterance:
    """One thing to say: its words, and its sound cut to the speech in it."""

    text: str
    frames: tuple[bytes, ...] = ()
    """20 ms each, PCM16 at 8 kHz. The first begins with the first audible sample. Empty on a text call."""
    last_voiced: int = 0
    """Index of the frame that holds the last audible sample."""

    @property
    def duration_ms(self) -> float:
        """How long saying it takes."""
        if self.frames:
            return len(self.frames) * float(FRAME_MS)
        return len(self.text) * 1000 / CHARS_PER_S


def utterance(text: str, pcm: bytes) -> Utterance:
    """Cut PCM16 audio at 8 kHz to its speech. Raises `ValueError` if it is silent."""
    span = audible_span(pcm)
    if span is None:
        raise ValueError(f"no sound in {text!r}")
    speech = pcm[span[0] * 2 : (span[1] + 1) * 2]
    speech = speech.ljust(-(-len(speech) // FRAME_BYTES) * FRAME_BYTES, b"\0")
    frames = tuple(speech[at : at + FRAME_BYTES] for at in range(0, len(speech), FRAME_BYTES))
    return Utterance(text, frames, len(frames) - 1)


def cough() -> Utterance:
    """A burst of noise that dies away within 160 ms: loud enough to be heard, and no words in it."""
    count = CALLER_RATE_HZ * _COUGH_MS // 1000
    noise = np.random.default_rng(_COUGH_SEED).normal(0.0, 6000.0, count)
    fading = noise * np.exp(-np.arange(count) / (count / 3))
    return utterance("(cough)", np.clip(fading, -32768, 32767).astype("<i2").tobytes())


@dataclass(frozen=True, slots=True)
class Say:
    """Say something and wait for the answer."""

    utterance: Utterance
    barge_in_after_ms: float | None = None
    """Interrupt the answer before this one after so much of it; None waits until the agent has finished."""
    expects_answer: bool = True
    """False for a cough: nobody has to answer it."""


@dataclass(frozen=True, slots=True)
class Press:
    """Press keys, 200 ms apart, and wait for the answer."""

    digits: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Say nothing for a while, whatever the agent does."""

    duration_ms: float


@dataclass(frozen=True, slots=True)
class HangUp:
    """Hang up, without a goodbye, after so much of the agent's speech (0: at once)."""

    after_ms: float = 0.0


Step = Say | Press | Pause | HangUp
