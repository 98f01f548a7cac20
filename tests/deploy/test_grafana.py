"""The Grafana dashboard asks for series and stages that there are, and its panels do not overlap."""

import json
import re
from pathlib import Path
from typing import Any

from agent.metrics.names import METRICS, STAGE_NAMES
from tests.deploy.test_prometheus import known_names, names_in

BOARD: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "deploy" / "grafana" / "parley.json").read_text()
)
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
SECTIONS = (
    "Health", "How long callers wait", "Barge-in", "Stability", "Throughput", "Quality", "Resources",
    "Recent errors",
)  # fmt: skip


def expressions() -> list[tuple[str, str]]:
    """Title and query of each target."""
    return [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]


def test_the_sections_are_there_in_order() -> None:
    assert tuple(panel["title"] for panel in BOARD["panels"] if panel["type"] == "row") == SECTIONS


def test_every_query_asks_for_series_that_there_are() -> None:
    known = known_names()
    for title, expression in expressions():
        names = names_in(expression)
        assert names, title
        assert names <= known, (title, names - known)


def test_every_stage_in_a_query_exists() -> None:
    asked = {
        stage
        for _, expression in expressions()
        for stages in re.findall(r'stage=~?"([^"]+)"', expression)
        for stage in stages.split("|")
    }
    assert asked <= set(STAGE_NAMES)
    # What has a code of its own is to be seen.
    assert {stage for stage, name in STAGE_NAMES.items() if name.code} <= asked


def test_every_label_that_is_grouped_by_exists() -> None:
    labels = {label for metric in METRICS for label in metric.labels} | {"le", "job", "instance"}
    for title, expression in expressions():
        for grouped in re.findall(r"by \(([^)]*)\)", expression):
            assert {name.strip() for name in grouped.split(",")} <= labels, title


def test_panels_have_a_title_a_unit_and_a_place_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + right, place["y"] + down)
            for right in range(place["w"])
            for down in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    for panel in PANELS:
        assert panel["title"]
        if panel["type"] in ("stat", "timeseries"):
            assert panel["fieldConfig"]["defaults"]["unit"]


def test_nothing_is_bound_to_one_installation() -> None:
    assert {panel["datasource"]["uid"] for panel in PANELS} == {"${datasource}"}
    assert "localhost" not in json.dumps(BOARD)
