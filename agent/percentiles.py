"""Percentiles of values that are all at hand. For streams of them there is `agent.metrics.histograms`."""

from collections.abc import Sequence
from math import ceil


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed (nearest rank). `ordered` is not empty."""
    return ordered[max(ceil(share * len(ordered)) - 1, 0)]
