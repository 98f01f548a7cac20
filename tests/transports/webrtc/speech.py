"""Real speech for the tests, from espeak-ng."""

import subprocess
from functools import cache

import numpy as np
import numpy.typing as npt


@cache
def spoken(rate_hz: int, text: str = "We are open from eight to six, Monday to Friday.") -> bytes:
    """PCM16 mono."""
    wav = subprocess.run(
        ["espeak-ng", "--stdout", "-v", "en-gb", text], capture_output=True, check=True, timeout=20
    ).stdout
    pcm = np.frombuffer(wav[44:], "<i2").astype(float)
    times = np.arange(0, len(pcm), 22_050 / rate_hz)
    samples: npt.NDArray[np.int16] = np.interp(times, np.arange(len(pcm)), pcm).astype(np.int16)
    return samples.tobytes()
