"""The Grafana dashboard asks for series and stages that there are, and its panels do not overlap."""

import json
import re
from pathlib import Path
from typing import Any

from agent.metrics.names import METRICS, STAGE_NAMES
from tests.deploy.test_prometheus import known_names, names_in, rules

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


LABELS = {metric.name: set(metric.labels) for metric in METRICS}
RECORDED = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
OF_SCRAPES = {"job", "instance"}
"""Prometheus puts these on everything that it scrapes."""


def labels_of(name: str) -> set[str]:
    """What a series may be asked by."""
    if name in RECORDED:
        return {"job"} if "by (job" in RECORDED[name] else OF_SCRAPES
    plain = re.sub("_(bucket|count|sum)$", "", name)
    return LABELS.get(plain, set()) | OF_SCRAPES | ({"le"} if name.endswith("_bucket") else set())


def test_every_series_is_asked_only_by_labels_that_it_has() -> None:
    for title, expression in expressions():
        selectors = re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", expression)
        assert selectors, title
        for name, matchers in selectors:
            asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
            assert asked <= labels_of(name), (title, name, asked - labels_of(name))
        named = {name for name in names_in(expression) if name != "up"}
        common = set.union(*(labels_of(name) for name in named)) if named else OF_SCRAPES
        for grouped in re.findall(r"by \(([^)]*)\)", expression):
            assert {name.strip() for name in grouped.split(",")} <= common, title


def test_every_legend_shows_labels_that_the_query_leaves() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            shown = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
            grouped = re.findall(r"by \(([^)]*)\)", target["expr"])
            left = {name.strip() for group in grouped for name in group.split(",")} | OF_SCRAPES
            assert shown <= left, (panel["title"], shown - left)


def test_the_agreed_panels_are_there() -> None:
    asked = {
        (panel["type"], name)
        for panel in PANELS
        for target in panel["targets"]
        for name in (*names_in(target["expr"]), *re.findall(r'stage="(\w+)"', target["expr"]))
    }
    assert {("heatmap", "end_to_end"), ("timeseries", "barge_in"), ("stat", "up")} <= asked
    assert {
        ("timeseries", name)
        for name in (
            "parley:reconnects:per_call_hour", "parley:underruns:per_minute",
            "parley:stream_continuity:ratio_5m", "parley:audio_seconds:rate_1m",
            "parley:messages:rate_1m", "parley_network_quality_index",
            "parley_turn_gaps_total", "process_cpu_seconds_total", "process_resident_memory_bytes",
            "parley_speculations_total", "parley_failovers_total", "parley_unanswered_total",
        )
    } <= asked  # fmt: skip
    quantiles = {
        share
        for panel in PANELS
        if panel["title"] == "Barge-in, percentiles"
        for target in panel["targets"]
        for share in re.findall(r"histogram_quantile\(([\d.]+)", target["expr"])
    }
    assert quantiles == {"0.5", "0.95", "0.99"}


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
