"""When the caller hears the agent speak, by energy, on what was really played.

Times are milliseconds of the caller's clock. Speech is a row of *stretches*: from the first audible sample
to the last, joined over pauses shorter than `GAP_MS`.
"""

from dataclasses import dataclass

import numpy as np

from agent.audio.formats import FRAME_MS
from loadtest.callers.codec import CALLER_RATE_HZ

AUDIBLE_RMS = 120.0
"""Frame energy from which a caller hears something: -49 dBFS, some 25 dB below telephone speech and well
above the comfort noise of a line (about -65 dBFS)."""
AUDIBLE_SAMPLE = 200
"""Amplitude of the first audible sample within an audible frame (-44 dBFS)."""
GAP_MS = 400.0
"""Silence that separates two stretches of speech. Longer than a pause between words or sentences of
synthesised speech, shorter than any turn: an interrupted agent must wait for the end of the sentence."""
_SAMPLES_PER_MS = CALLER_RATE_HZ / 1000


def audible_span(pcm: bytes) -> tuple[int, int] | None:
    """First and last audible sample (inclusive) of PCM16 audio, judged frame by frame; None for silence."""
    samples = np.frombuffer(pcm, "<i2")
    size = CALLER_RATE_HZ * FRAME_MS // 1000
    frames = np.zeros((-(-len(samples) // size), size), np.float32)
    frames.reshape(-1)[: len(samples)] = samples
    loud_frames = np.sqrt(np.mean(np.square(frames), axis=1)) >= AUDIBLE_RMS
    loud = (np.abs(frames) >= AUDIBLE_SAMPLE) & loud_frames[:, None]
    found = np.flatnonzero(loud)
    return (int(found[0]), int(found[-1])) if len(found) else None


@dataclass(slots=True)
class Stretch:
    """One stretch of agent speech as heard."""

    start_ms: float
    """The first audible sample."""
    end_ms: float
    """The last audible sample so far."""

    @property
    def duration_ms(self) -> float:
        return self.end_ms - self.start_ms


class Ear:
    """Listens to what is played to the caller."""

    def __init__(self) -> None:
        self.stretches: list[Stretch] = []
        self.audible_ms = 0.0
        """Sum of the audible frames: how much speech was heard in all."""

    def hear(self, pcm: bytes, at_ms: float) -> None:
        """One frame that begins to be heard at `at_ms`."""
        span = audible_span(pcm)
        if span is not None:
            self.hear_speech(at_ms + span[0] / _SAMPLES_PER_MS, at_ms + (span[1] + 1) / _SAMPLES_PER_MS)

    def hear_speech(self, start_ms: float, end_ms: float) -> None:
        """Speech from `start_ms` to `end_ms`, in order of time."""
        self.audible_ms += FRAME_MS
        last = self.stretches[-1] if self.stretches else None
        if last is not None and start_ms - last.end_ms < GAP_MS:
            last.end_ms = end_ms
        else:
            self.stretches.append(Stretch(start_ms, end_ms))

    def silent_ms(self, now_ms: float) -> float:
        """How long nothing has been heard; infinite before the first sound."""
        return now_ms - self.stretches[-1].end_ms if self.stretches else float("inf")

    def speaking_ms(self, now_ms: float) -> float:
        """How long the stretch that is being heard has lasted; 0 if the agent is silent."""
        if self.silent_ms(now_ms) >= GAP_MS:
            return 0.0
        return now_ms - self.stretches[-1].start_ms

    def begun_after(self, moment_ms: float) -> float | None:
        """Start of the first stretch that begins at or after `moment_ms`."""
        first = None
        for stretch in reversed(self.stretches):
            if stretch.start_ms < moment_ms:
                break
            first = stretch.start_ms
        return first

    def stretch_at(self, moment_ms: float) -> Stretch | None:
        """The stretch that was being heard at `moment_ms`."""
        for stretch in reversed(self.stretches):
            if stretch.start_ms <= moment_ms:
                return stretch if moment_ms < stretch.end_ms + GAP_MS else None
        return None
