"""From a call's audio to what the acoustic model was trained on: level, dither, 16 kHz.

pocketsphinx's model was trained on recordings, which are never quite silent, at 16 kHz. Three things bring a
call near to them; measured with `python -m bench.embedded_stt` on 140 clinic sentences in five voices through
mu-law, words all right:

* Dither. Synthetic and telephone audio has digital silence and no energy at all above 4 kHz, whose logarithms
  swamp everything else: 59 of 140 right without, 112 with.
* Level. Dither is a fixed part of the speech's level, so a quiet line is brought up first: at a tenth of the
  level 118 right without, 134 with.
* `telephone.mllr`, a linear transform of the model's means to what a telephone leaves of a sound: the
  least-squares fit between the cepstra of 120 sentences in eight espeak-ng voices at 16 kHz and the same
  through 8 kHz mu-law, each less its mean, one 13 by 13 matrix for the static and both delta streams: from
  112 to 123.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

Samples = npt.NDArray[np.float32]

MODEL_HZ = 16_000
"""Rate of the stock en-us model."""
TELEPHONE_MLLR = Path(__file__).with_name("telephone.mllr")

LEVEL = 2_500.0
"""RMS of the louder half of the speech, in PCM16 units, that it is brought to."""
MAX_GAIN = 30.0
_DITHER = 60.0
"""RMS in PCM16 units; of 2 to 240, 60 was best."""
# One second of noise, the same in every process, so that the same audio gives the same words.
_NOISE = np.random.default_rng(1).normal(0.0, _DITHER, MODEL_HZ).astype(np.float32)

_BLOCK = 160
"""Samples whose energy is looked at together: 20 ms at 8 kHz."""


def gain(pcm: bytes) -> float:
    """What brings speech (PCM16, little-endian, mono) to `LEVEL`: 1.0 for nothing or silence."""
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32)
    whole = samples[: len(samples) // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    energies = np.sort((whole**2).mean(axis=1))
    louder = energies[len(energies) // 2 :]
    rms = float(np.sqrt(louder.mean())) if len(louder) else 0.0
    return min(LEVEL / rms, MAX_GAIN) if rms >= 1.0 else 1.0


class FrontEnd:
    """One utterance's way from the line's rate to the model's."""

    def __init__(self, rate_hz: int, gain: float) -> None:
        """`gain`: a factor for the whole utterance."""
        self._gain = np.float32(gain)
        self._at = 0
        self._resampler = (
            soxr.ResampleStream(rate_hz, MODEL_HZ, 1, dtype="float32", quality="MQ")
            if rate_hz != MODEL_HZ
            else None
        )

    def convert(self, pcm: bytes, *, last: bool = False) -> bytes:
        """PCM16 at the line's rate to PCM16 at 16 kHz, with dither. `last`: also what the filter holds."""
        samples: Samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32) * self._gain
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples, last=last)
        places = np.arange(self._at, self._at + len(samples)) % len(_NOISE)
        self._at += len(samples)
        return bytes(np.clip(samples + _NOISE[places], -32_768, 32_767).astype("<i2").data)
