"""The OTLP exporter for `agent.traces`. Imported only where a collector is configured (`parley[otel]`)."""

from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from agent.clock import Clock
from agent.traces import Traces, make_traces

TIMEOUT_S = 5.0
"""Bound on one batch on its way to the collector, retries included."""


def make(clock: Clock, environ: Mapping[str, str]) -> Traces:
    """Traces to the collector that the `OTEL_…` variables of the process name."""
    return make_traces(OTLPSpanExporter(timeout=TIMEOUT_S), clock, environ)
