import math

import pytest

from loadtest.bulk.figures import Figures, percentile, percentiles


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1.0), (0.5, 50.0), (0.95, 95.0), (0.951, 96.0), (1.0, 100.0)]
)
def test_a_percentile_is_a_measured_value(share: float, value: float) -> None:
    assert percentile([float(each) for each in range(100, 0, -1)], share) == value


def test_of_nothing_there_is_no_percentile() -> None:
    assert math.isnan(percentile([], 0.5))
    assert percentiles([]) == {"count": 0}


def test_the_summary_has_every_figure_by_name() -> None:
    figures = Figures(turns=3)
    figures.barge_in_ms += [80.04, 90.0]
    summary = figures.summary()
    assert summary["turns"] == 3
    assert summary["barge_in_ms"] == {
        "count": 2,
        "p1": 80.0,
        "p50": 80.0,
        "p95": 90.0,
        "p99": 90.0,
        "max": 90.0,
    }
    assert summary.keys() == set(Figures.__dataclass_fields__) - {"answered"}
