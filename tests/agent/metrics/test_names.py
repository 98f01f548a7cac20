"""docs/metrics.md tells of every stage, metric and derived figure, in the very words of the code."""

from pathlib import Path

from agent.latency import Stage
from agent.metrics.names import DERIVED, METRICS, STAGE_NAMES, STAGES
from tests.agent.metrics.tables import derived_table, metrics_table, stages_table

DOCUMENT = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()


def test_every_stage_has_a_name() -> None:
    assert set(STAGE_NAMES) == set(Stage)
    assert len(STAGES) == len(Stage)


def test_codes_are_complete() -> None:
    codes = [name.code for name in STAGES if name.code]
    assert sorted(codes) == [*(f"B{n}" for n in range(1, 5)), *(f"L{n}" for n in range(1, 10))]


def test_the_document_has_every_stage_metric_and_derived_figure() -> None:
    for table in (stages_table(), metrics_table(), derived_table()):
        assert table in DOCUMENT, f"docs/metrics.md should have:\n{table}"


def test_names_are_told_once() -> None:
    names = [metric.name for metric in METRICS] + [derived.name for derived in DERIVED]
    assert len(names) == len(set(names))
