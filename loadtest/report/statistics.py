"""Is a difference more than noise: rank test and bootstrap on two sets of samples. No IO.

Both treat samples as independent. Turns of one call are not quite, so the level is strict.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEVEL = 0.01
"""Probability of calling noise a difference, for each figure. With some twenty figures in a report, one false
alarm in five comparisons would be too many: a difference must be sizeable too (`compare`)."""
LEAST = 8
"""Samples on either side without which nothing can be said: the normal approximation of the rank test."""
_ROUNDS = 1_000
_SEED = 7
_MAX_SAMPLES = 5_000
"""For the bootstrap: more changes nothing and takes long."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A bootstrap confidence interval of the change of a percentile, after less before."""

    low: float
    high: float

    @property
    def excludes_0(self) -> bool:
        """The change is not noise."""
        return self.low > 0 or self.high < 0


def rank_test(before: Sequence[float], after: Sequence[float]) -> float:
    """Two-sided p of Mann and Whitney's U, with the normal approximation and the correction for ties.

    NaN with fewer than `LEAST` samples on either side.
    """
    if min(len(before), len(after)) < LEAST:
        return math.nan
    first = len(before)
    values = np.concatenate((np.asarray(before, float), np.asarray(after, float)))
    unique, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[inverse]
    total = len(values)
    u = float(np.sum(ranks[:first])) - first * (first + 1) / 2
    second = total - first
    ties = float(np.sum(counts.astype(float) ** 3 - counts)) / (total * (total - 1))
    variance = first * second / 12 * (total + 1 - ties)
    if len(unique) == 1 or variance <= 0:
        return 1.0
    # Half a rank of continuity correction.
    z = max(abs(u - first * second / 2) - 0.5, 0.0) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))


def percentile_change(before: Sequence[float], after: Sequence[float], share: float) -> Interval | None:
    """Where the change of the percentile lies with `1 - LEVEL`, by resampling. None for too few samples.

    A percentile needs `LEAST` samples beyond it on either side: p95 needs 160.
    """
    needed = LEAST / min(share, 1 - share)
    if min(len(before), len(after)) < needed:
        return None
    chance = np.random.default_rng(_SEED)
    changes = _resampled(after, share, chance) - _resampled(before, share, chance)
    low, high = np.quantile(changes, (LEVEL / 2, 1 - LEVEL / 2))
    return Interval(float(low), float(high))


def rate_test(before: tuple[float, float], after: tuple[float, float]) -> float:
    """Two-sided p of two equal rates, each (events, trials): pooled z, corrected. NaN without trials."""
    (few, few_of), (many, many_of) = before, after
    if not few_of or not many_of:
        return math.nan
    pooled = (few + many) / (few_of + many_of)
    variance = pooled * (1 - pooled) * (1 / few_of + 1 / many_of)
    if variance <= 0:
        return 1.0
    difference = abs(many / many_of - few / few_of) - 0.5 * (1 / few_of + 1 / many_of)
    return math.erfc(max(difference, 0.0) / math.sqrt(variance) / math.sqrt(2))


def _resampled(values: Sequence[float], share: float, chance: np.random.Generator) -> npt.NDArray[np.float64]:
    """The percentile of many samples drawn with replacement."""
    some = np.asarray(values, float)
    some = some[:: max(-(-len(some) // _MAX_SAMPLES), 1)]
    found = np.empty(_ROUNDS)
    # One round at a time: all at once would be 40 MB.
    for at in range(_ROUNDS):
        found[at] = np.quantile(chance.choice(some, len(some)), share)
    return found
