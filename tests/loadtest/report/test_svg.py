import re
import xml.etree.ElementTree as ET

import pytest

from loadtest.report.svg import (
    HEIGHT,
    LEFT,
    RIGHT,
    WIDTH,
    Axes,
    Limit,
    Series,
    cumulative,
    legend,
    line_chart,
    number,
    stacked_rows,
)


def drawing(text: str) -> ET.Element:
    """The chart, which must be well-formed."""
    return ET.fromstring(f"<div>{text}</div>").find("svg")  # type: ignore[return-value]  # a test fails without it


def places(svg: ET.Element) -> list[tuple[float, float]]:
    line = svg.find("polyline")
    assert line is not None
    pairs = (each.split(",") for each in line.attrib["points"].split())
    return [(float(x), float(y)) for x, y in pairs]


def test_a_line_goes_up_where_values_do_and_stays_within_the_frame() -> None:
    svg = drawing(line_chart([Series("p50", [(1, 10), (2, 20), (3, 15)])], Axes("calls", "ms")))
    found = places(svg)
    assert [x for x, _ in found] == sorted(x for x, _ in found)
    assert found[1][1] < found[2][1] < found[0][1], "y grows downwards"
    assert all(LEFT <= x <= WIDTH - RIGHT and 0 <= y <= HEIGHT for x, y in found)
    texts = [each.text for each in svg.iter("text")]
    assert "calls" in texts
    assert "ms" in texts


def test_equal_ratios_are_equally_wide_on_a_logarithmic_axis() -> None:
    svg = drawing(line_chart([Series("", [(1, 1), (10, 1), (100, 1)])], Axes("x", "y", log_x=True)))
    (first, _), (second, _), (third, _) = places(svg)
    assert second - first == pytest.approx(third - second, abs=0.2)


@pytest.mark.parametrize(
    "points", [[(1.0, 5.0)], [(0.0, 0.0), (1.0, 0.0)], [(5.0, 3.0), (5.0, 3.0)], [(0.0, 1e9), (1e-9, -3.0)]]
)
def test_the_oddest_data_can_be_drawn(points: list[tuple[float, float]]) -> None:
    assert places(drawing(line_chart([Series("odd", points)], Axes("x", "y", log_x=True))))


def test_nothing_gives_nothing() -> None:
    assert line_chart([Series("p50", [])], Axes("x", "y")) == ""
    assert stacked_rows([("1 call", [("added", 0.0)])], "ms") == ""
    assert legend([("", 1)]) == ""


def test_limits_are_drawn_where_they_can_be_seen() -> None:
    axes = Axes(
        "x", "y", limits=(Limit(40, "high"), Limit(2, "here", vertical=True), Limit(9, "far", vertical=True))
    )
    svg = drawing(line_chart([Series("", [(1, 1), (3, 2)])], axes))
    marks = {each.text for each in svg.iter("text") if each.get("class") == "mark"}
    assert marks == {"high", "here"}


def test_bars_stand_behind_lines_and_zeros_are_not_drawn() -> None:
    svg = drawing(line_chart([Series("a", [(1, 1), (2, 2)])], Axes("x", "y"), bars=[(1, 3), (2, 0)]))
    assert len([each for each in svg.iter("rect") if each.get("class") == "bad"]) == 1


def test_a_waterfalls_parts_lie_end_to_end_and_share_colours() -> None:
    rows = [("1 call", [("wait", 300.0), ("model", 35.0)]), ("9 calls", [("model", 70.0)])]
    rects = list(drawing(stacked_rows(rows, "ms")).iter("rect"))
    first, second, third = rects
    assert float(first.attrib["x"]) + float(first.attrib["width"]) == pytest.approx(
        float(second.attrib["x"]), abs=0.2
    )
    assert second.attrib["class"] == third.attrib["class"] != first.attrib["class"]
    assert float(third.attrib["width"]) == pytest.approx(2 * float(second.attrib["width"]), rel=0.02)


def test_names_cannot_break_out_of_the_page() -> None:
    text = line_chart([Series("<script>", [(1, 1)])], Axes("<b>", "&"))
    assert "<script>" not in text
    assert drawing(text) is not None


def test_long_lines_are_thinned_and_keep_their_end() -> None:
    points = cumulative([float(at) for at in range(10_000)])
    assert len(points) < 500
    assert points[-1] == (9_999.0, 100.0)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (0.123, "0.12"), (4.25, "4.2"), (12.34, "12.3"), (340.6, "341"), (25_000.0, "25k")],
)
def test_numbers_are_short(value: float, shown: str) -> None:
    assert number(value) == shown
    assert re.fullmatch(r"[-0-9.k]+", number(value))
