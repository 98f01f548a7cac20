"""What the agent says in `bench.webrtc`, and how much of the time."""

import subprocess

import numpy as np
import numpy.typing as npt

SPEAK_S, CYCLE_S = 2.0, 5.0
"""The agent speaks for 2 s of every 5."""


def speech(rate_hz: int) -> npt.NDArray[np.int16]:
    """Speech from espeak-ng, PCM16 mono."""
    text = (
        "Our opening hours are from eight to six, Monday to Friday. On Saturday we close at noon. "
        "Would you like to book an appointment? The doctor has time on Tuesday morning, or on Thursday."
    )
    wav = subprocess.run(
        ["espeak-ng", "--stdout", "-v", "en-gb", text], capture_output=True, check=True
    ).stdout
    pcm = np.frombuffer(wav[44:], "<i2").astype(float)
    times = np.arange(0, len(pcm), 22_050 / rate_hz)
    samples: npt.NDArray[np.int16] = np.interp(times, np.arange(len(pcm)), pcm).astype(np.int16)
    return samples


class Replies:
    """What the agent says next: PCM16 mono."""

    def __init__(self, rate_hz: int, *, cached: bool) -> None:
        self._pcm = speech(rate_hz)
        self._samples = int(rate_hz * SPEAK_S)
        self._cached = cached
        self._random = np.random.default_rng(1)

    def next(self) -> npt.NDArray[np.int16]:
        if self._cached:
            return self._pcm[: self._samples]
        start = int(self._random.integers(0, len(self._pcm) - self._samples))
        gain = self._random.uniform(0.5, 0.9)
        return (self._pcm[start : start + self._samples] * gain).astype(np.int16)
