"""Was it really this sentence that was heard, and as it should sound?

The sound that a caller heard is laid over the sound that the sentence should have, as a picture of its
spectrum over time: synthesisers vary their pitch from one time to the next, but not their words. A wrong
codec, a wrong rate, lost or repeated frames: all of them break the match, which no check of texts would
notice.
"""

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.float64]
"""Shape (bands, steps): levels in decibels."""

RATE_HZ = 8000
WINDOW_S = 1.5
"""How much of a sentence is compared: within it, two synthesis runs stay in step."""
_STEP, _SIZE = 80, 256
_BANDS = 24
_EDGES_HZ = np.linspace(100, 3_600, _BANDS + 1)
_FLOOR_DB = -50.0
"""Below the loudest moment: quieter is silence, and silence is not compared in detail."""


def likeness(heard: bytes, expected: bytes) -> float:
    """How well the beginning of `expected` is found anywhere in `heard`: 1 the same sound, 0 nothing like it.

    Both PCM16 at 8 kHz. The largest correlation of the two pictures over all shifts in time; level does not
    matter.
    """
    sound, pattern = _picture(heard), _picture(_trimmed(expected))[:, : int(WINDOW_S * RATE_HZ / _STEP)]
    length = pattern.shape[1]
    if length < RATE_HZ // 4 // _STEP or sound.shape[1] < length:
        return 0.0
    pattern = pattern - pattern.mean()
    scores = []
    for at in range(sound.shape[1] - length + 1):
        part = sound[:, at : at + length]
        part = part - part.mean()
        power = float(np.sqrt((part**2).sum() * (pattern**2).sum()))
        scores.append(float((part * pattern).sum()) / power if power else 0.0)
    return max(scores)


def _picture(pcm: bytes) -> Picture:
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    if len(samples) < _SIZE:
        return np.zeros((_BANDS, 0))
    frames = np.lib.stride_tricks.sliding_window_view(samples, _SIZE)[::_STEP] * np.hanning(_SIZE)
    spectrum = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    places = np.searchsorted(_EDGES_HZ, np.fft.rfftfreq(_SIZE, 1 / RATE_HZ))
    bands = np.stack([spectrum[:, places == band].sum(axis=1) for band in range(1, _BANDS + 1)])
    decibels = 10 * np.log10(bands + 1.0)
    levels: Picture = np.maximum(decibels - decibels.max(), _FLOOR_DB)
    return levels


def _trimmed(pcm: bytes) -> bytes:
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2").astype(int)) > 200)
    return pcm[2 * int(loud[0]) :] if len(loud) else b""
