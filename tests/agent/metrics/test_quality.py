"""What clients report, made safe; the network quality index."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.latency import Stage
from agent.metrics.quality import network_quality, outer_stages, read_report, report_quality


def test_a_perfect_network_is_one() -> None:
    assert network_quality(0.0, 0.0, 0.0) == 1.0


@pytest.mark.parametrize(
    ("rtt_ms", "jitter_ms", "loss", "index"),
    [
        (100.0, 0.0, 0.0, 1 / 1.3),
        (0.0, 20.0, 0.0, 1 / 1.5),
        (0.0, 0.0, 0.1, 1 / 3.0),
        (300.0, 30.0, 0.05, 1 / 3.65),
    ],
)  # fmt: skip
def test_the_units_of_the_index(rtt_ms: float, jitter_ms: float, loss: float, index: float) -> None:
    assert network_quality(rtt_ms, jitter_ms, loss) == pytest.approx(index)


@given(st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 1), st.floats(0.001, 100))
def test_worse_is_never_better(rtt_ms: float, jitter_ms: float, loss: float, more: float) -> None:
    index = network_quality(rtt_ms, jitter_ms, loss)
    assert 0 < index <= 1
    assert network_quality(rtt_ms + more, jitter_ms, loss) <= index
    assert network_quality(rtt_ms, jitter_ms + more, loss) <= index


def test_what_a_page_does_not_tell_is_absent() -> None:
    report = read_report({"l8_rendering_ms": 35.0, "strange": 1.0}, 5.0)
    assert report.stages == {Stage.RENDERING: 35.0}
    assert (report.rtt_ms, report.jitter_ms, report.loss) == (None, None, None)
    assert outer_stages(report) == {Stage.RENDERING: 35.0}
    assert report_quality(report) is None


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, 1e6])
def test_what_cannot_be_is_left_out(value: float) -> None:
    report = read_report({"l1_capture_ms": value, "rtt_ms": value, "jitter_ms": value}, 0.0)
    assert (report.stages, report.rtt_ms, report.jitter_ms) == ({}, None, None)


@pytest.mark.parametrize(
    ("lost", "received", "loss"),
    [
        (1.0, 99.0, 0.01), (0.0, 50.0, 0.0), (-2.0, 50.0, 0.0), (0.0, 0.0, None), (5.0, 0.0, 1.0),
        (1.0, -9.0, None), (math.nan, 5.0, None), (1.0, None, None),
    ],
)  # fmt: skip
def test_loss_is_a_share_of_the_interval(lost: float, received: float | None, loss: float | None) -> None:
    metrics = {"lost": lost} if received is None else {"lost": lost, "received": received}
    assert read_report(metrics, 0.0).loss == loss
