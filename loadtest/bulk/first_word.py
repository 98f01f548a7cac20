"""Was the first word whole: what was heard of a reply's beginning, held against what was to be heard.

Load-test voices are deterministic: the same text is always the same audio. So the beginning of a reply is
known, and where it fits best into the known audio tells how much is missing. No IO.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loadtest.bulk.payload import Payload, Samples
from loadtest.callers.ear import AUDIBLE_SAMPLE

PROBE_MS = 500
"""How much is compared: longer than one word, so that a tone that stands for a word cannot fit anywhere."""
LEAST_MS = 200
"""A reply that was cut short before that says nothing."""
_PER_MS = 8
_SAME = 0.97
"""Correlation of the same speech through G.711 and a resampler: 0.98 and more."""
_ALIKE = 0.8
"""Below this it is other speech: that correlates at 0.5 at most."""
_NUDGE = 5 * _PER_MS
"""Samples by which a resampler may shift the first audible sample."""
_WHOLE_MS = 10.0
"""Less than this is no sound that anybody misses."""


@dataclass(frozen=True, slots=True)
class Expected:
    """How a reply or greeting must begin."""

    samples: Samples
    """PCM at 8 kHz from its first audible sample: twice `PROBE_MS`, or as long as it is."""

    @classmethod
    def of(cls, samples: Samples) -> "Expected":
        """From the whole audio."""
        return cls(_from_audible(samples)[: 2 * PROBE_MS * _PER_MS])


def lost_ms(payload: bytes, line: Payload, expected: tuple[Expected, ...]) -> float | None:
    """How much of the beginning is missing in what was heard; 0.0 for none, None where it cannot be told.

    `payload` is what came first, `PROBE_MS` of it if there was as much. `expected` are the ways in which it
    may begin; the one that fits best counts. It cannot be told where the reply is something else, or short.
    """
    heard = _from_audible(line.decode(payload))[: PROBE_MS * _PER_MS].astype(np.float64)
    if len(heard) < LEAST_MS * _PER_MS:
        return None
    best_ms, best_fit = None, _ALIKE
    for each in expected:
        known = each.samples.astype(np.float64)
        if _same(heard, known):
            return 0.0
        fit, at = _fit(heard, known)
        if fit >= best_fit:
            best_ms, best_fit = at / _PER_MS, fit
    return 0.0 if best_ms is not None and best_ms < _WHOLE_MS else best_ms


def _same(heard: npt.NDArray[np.float64], known: npt.NDArray[np.float64]) -> bool:
    """The quick way, 50 us: nearly always the first word is whole."""
    size = min(len(heard), max(len(known) - _NUDGE, 1))
    energies = float(np.sum(np.square(heard[:size])) * np.sum(np.square(known[:size])))
    product = float(np.max(np.correlate(known[: size + _NUDGE], heard[:size], "valid")))
    return product >= _SAME * math.sqrt(max(energies, 1.0))


def _fit(heard: npt.NDArray[np.float64], known: npt.NDArray[np.float64]) -> tuple[float, int]:
    """The best normalised correlation of `heard` within `known`, and where: the first of equals."""
    size = min(len(heard), len(known))
    heard = heard[:size]
    padded = len(known) + size
    product = np.fft.irfft(np.fft.rfft(known, padded) * np.conj(np.fft.rfft(heard, padded)), padded)
    product = product[: len(known) - size + 1]
    sums = np.concatenate(([0.0], np.cumsum(np.square(known))))
    energy = sums[size:] - sums[: len(known) - size + 1]
    fits = product / np.sqrt(np.maximum(energy * np.sum(np.square(heard)), 1.0))
    top = float(np.max(fits))
    return top, int(np.flatnonzero(fits >= top - 0.005)[0])


def _from_audible(samples: Samples) -> Samples:
    found = np.flatnonzero(np.abs(samples.astype(np.int32)) >= AUDIBLE_SAMPLE)
    return samples[found[0] :] if len(found) else samples[:0]
