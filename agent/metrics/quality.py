"""What a caller's device reports, made safe to count; and one number for how good a network is."""

import math
from collections.abc import Mapping

from agent.latency import Stage
from agent.records import ClientReport

LATENCY_UNIT_MS = 100.0
JITTER_UNIT_MS = 20.0
LOSS_UNIT = 0.1
"""The index is 1 / (1 + 0.3 latency + 0.5 jitter + 2 loss): the round trip in tenths of a second, the jitter
in frames of 20 ms, the loss in tenths (10 % is 1). Then each term alone is about 0.75 to 1 where people begin
to complain: a round trip of 300 ms (ITU-T G.114), jitter of 30 ms, 5 % lost."""

STALE_MS = 15_000.0
"""A report older than this says nothing about a turn: pages report every second, RTCP every 5 s."""
_MAX_MS = 10_000.0
"""No stage of a live conversation is longer: a page that says so is wrong."""
_STAGES = {
    "l1_capture_ms": Stage.CAPTURE,
    "l2_processing_ms": Stage.CLIENT_PROCESSING,
    "l8_rendering_ms": Stage.RENDERING,
    "l9_output_ms": Stage.OUTPUT,
}
CLIENT_STAGES = tuple(_STAGES.values())


def network_quality(rtt_ms: float, jitter_ms: float, loss: float) -> float:
    """1 is perfect, 0.5 is poor. `loss` is a share, 0 to 1."""
    burden = 0.3 * rtt_ms / LATENCY_UNIT_MS + 0.5 * jitter_ms / JITTER_UNIT_MS + 2.0 * loss / LOSS_UNIT
    return 1.0 / (1.0 + burden)


def read_report(metrics: Mapping[str, float], now_ms: float) -> ClientReport:
    """A page's figures by their wire names. What is not there, or cannot be, is left out."""
    stages = {
        stage: value_ms
        for name, stage in _STAGES.items()
        if (value_ms := _milliseconds(metrics.get(name))) is not None
    }
    return ClientReport(
        now_ms,
        stages,
        _milliseconds(metrics.get("rtt_ms")),
        _milliseconds(metrics.get("jitter_ms")),
        _loss(metrics.get("lost"), metrics.get("received")),
    )


def report_quality(report: ClientReport) -> float | None:
    """None where the round trip is not known; jitter and loss that nobody reports count as none."""
    if report.rtt_ms is None:
        return None
    return network_quality(report.rtt_ms, report.jitter_ms or 0.0, report.loss or 0.0)


def outer_stages(report: ClientReport) -> dict[Stage, float]:
    """What lies outside this machine. Each way is half of the round trip: what RTP's own measure can tell."""
    found = dict(report.stages)
    if report.rtt_ms is not None:
        found[Stage.UPLINK] = found[Stage.DOWNLINK] = report.rtt_ms / 2
    return found


def _milliseconds(value: float | None) -> float | None:
    if value is None or not math.isfinite(value) or not 0.0 <= value <= _MAX_MS:
        return None
    return value


def _loss(lost: float | None, received: float | None) -> float | None:
    if lost is None or received is None or not (math.isfinite(lost) and math.isfinite(received)):
        return None
    # A packet that comes late after all, or twice, makes an interval's loss negative.
    lost = max(lost, 0.0)
    total = lost + received
    return lost / total if received >= 0.0 and total > 0.0 else None
