"""Percentiles by nearest rank."""

import pytest

from agent.percentiles import percentile


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 5.0), (0.95, 10.0), (0.0, 1.0), (1.0, 10.0), (0.11, 2.0)]
)
def test_percentiles_are_values_that_occurred(share: float, expected: float) -> None:
    assert percentile([float(value) for value in range(1, 11)], share) == expected
