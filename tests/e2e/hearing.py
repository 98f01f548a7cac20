"""Was it really this sentence that was heard?

Synthesised speech is the same every time, so the sound that a caller heard can be laid over the sound that
the sentence should have. A wrong codec, a wrong rate, lost or repeated frames, clipping: all of them break
the match, which no check of texts would notice.
"""

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]

WINDOW_S = 1.5
"""How much of a sentence is compared: within it, two synthesis runs stay in step to the sample."""
RATE_HZ = 8000


def likeness(heard: bytes, expected: bytes) -> float:
    """How well the beginning of `expected` is found anywhere in `heard`: 1 the same sound, 0 nothing like it.

    Both PCM16 at 8 kHz. The largest normalised cross-correlation over all shifts; level does not matter.
    """
    sound = _samples(heard)
    pattern = _trimmed(_samples(expected))[: int(WINDOW_S * RATE_HZ)]
    if len(pattern) < RATE_HZ // 4 or len(sound) < len(pattern):
        return 0.0
    size = 1 << (len(sound) + len(pattern) - 1).bit_length()
    spectrum = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(pattern, size))
    matches = np.fft.irfft(spectrum, size)[: len(sound) - len(pattern) + 1]
    energy = np.concatenate([[0.0], np.cumsum(np.square(sound))])
    energy = energy[len(pattern) :] - energy[: -len(pattern)]
    quiet = energy < 0.01 * float(np.sum(np.square(pattern)))
    scores = matches / np.sqrt(np.maximum(energy, 1.0) * np.sum(np.square(pattern)))
    return float(np.max(np.where(quiet, 0.0, scores)))


def _samples(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2").astype(np.float64)


def _trimmed(samples: Samples) -> Samples:
    loud = np.flatnonzero(np.abs(samples) > 200)
    return samples[loud[0] :] if len(loud) else samples[:0]
