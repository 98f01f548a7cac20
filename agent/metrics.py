"""All metrics of the process: names, units, and where they come from.

Latencies are recorded once per turn, into HDR histograms (percentiles within 1 %) and Prometheus classic
buckets. Everything counted per frame is a plain integer of its call, summed up here when somebody scrapes:
counting costs nothing on the frame path.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields

from hdrh.histogram import HdrHistogram
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from agent.admission import LoopLag
from agent.latency import CallCounters, Stage
from agent.records import CallObserver, CallRecord, TurnRecord
from agent.registry import Registry
from agent.ticker import Ticker

BUCKETS_S = (
    0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0,
)  # fmt: skip
"""From our own share of a turn (some ms) to a turn that has failed (seconds)."""
_HDR_UNITS_PER_MS = 10
_HDR_MAX = 60_000 * _HDR_UNITS_PER_MS

COUNTER_HELP = {
    "frames_in": "20 ms frames of audio heard from callers",
    "frames_late": "Caller frames read more than 40 ms after they reached this machine",
    "frames_out": "20 ms frames of agent audio handed to lines",
    "stale_chunks": "Audio chunks of cancelled replies dropped before the socket",
    "underruns": "Gaps in the agent's speech because no audio was there in time",
    "turns": "Turns that callers took",
    "barge_ins": "Times that a caller's voice stopped the agent",
    "false_interruptions": "Barge-ins that had no words",
    "resumes": "Replies that went on after a false interruption",
    "echoes": "Times that the agent's own echo was heard and ignored",
    "reprompts": "Times that the agent asked again after silence",
    "unanswered": "Turns that got no sound of a reply",
    "provider_failures": "Provider failures met by calls",
    "apologies": "Turns answered by the apology since no provider could",
    "bad_messages": "Messages from platforms that could not be understood",
    "ceilings": "States that lasted too long and were ended",
}


class LatencyBook(CallObserver):
    """Latencies by stage, transport and language, since start."""

    def __init__(self, languages: list[str]) -> None:
        self._languages = frozenset(languages)
        self._histograms: dict[tuple[str, str, str], HdrHistogram] = {}
        self.prometheus = CollectorRegistry()
        self._stages = Histogram(
            "parley_stage_seconds", "Duration of a turn's stages", ("stage", "transport", "language"),
            buckets=BUCKETS_S, registry=self.prometheus,
        )  # fmt: skip

    def turn_ended(self, call: CallRecord, turn: TurnRecord) -> None:
        for stage, value_ms in turn.stages.items():
            if stage is not Stage.BARGE_IN:
                self._record(stage, call, turn.language, value_ms)

    def barge_in(self, call: CallRecord, stop_ms: float) -> None:
        self._record(Stage.BARGE_IN, call, call.language, stop_ms)

    def summary(self) -> dict[str, object]:
        """Per stage: `all`, and by transport and language: count, p50, p95, p99, max in ms."""
        found: dict[str, object] = {}
        for stage in Stage:
            keys = [key for key in self._histograms if key[0] == stage]
            if not keys:
                continue
            total = _histogram()
            parts: dict[str, object] = {}
            for key in sorted(keys):
                total.add(self._histograms[key])
                parts[f"{key[1]}/{key[2]}"] = _figures(self._histograms[key])
            found[stage.value] = {"all": _figures(total), "by": parts}
        return {"unit": "ms", "stages": found}

    def _record(self, stage: Stage, call: CallRecord, language: str, value_ms: float) -> None:
        label = language if language in self._languages else "other"
        key = (stage.value, call.info.transport, label)
        histogram = self._histograms.get(key)
        if histogram is None:
            histogram = self._histograms[key] = _histogram()
        histogram.record_value(min(max(int(value_ms * _HDR_UNITS_PER_MS), 1), _HDR_MAX))
        self._stages.labels(*key).observe(value_ms / 1000)


class ProcessCollectorOfCalls:
    """Collects from the registry when scraped."""

    def __init__(self, calls: Registry, lag: LoopLag, ticker: Ticker) -> None:
        self._calls = calls
        self._lag = lag
        self._ticker = ticker

    def collect(self) -> Iterator[Metric]:
        """Sums over live and ended calls."""
        calls = self._calls
        totals: dict[str, CallCounters] = {}
        live: dict[str, int] = {}
        for transport, ended in calls.ended_totals.items():
            totals.setdefault(transport, CallCounters()).add(ended)
        for call in calls.live:
            transport = call.record.info.transport
            totals.setdefault(transport, CallCounters()).add(call.record.counters)
            live[transport] = live.get(transport, 0) + 1
        for counter in fields(CallCounters):
            family = CounterMetricFamily(
                f"parley_{counter.name}", COUNTER_HELP[counter.name], labels=("transport",)
            )
            for transport, sums in sorted(totals.items()):
                family.add_metric((transport,), getattr(sums, counter.name))
            yield family
        yield _family(GaugeMetricFamily, "parley_calls_live", "Calls that are on", live)
        ended_family = CounterMetricFamily(
            "parley_calls_ended", "Calls that ended", labels=("transport", "cause")
        )
        # Several unknown causes are one series: a name given twice would make the whole scrape invalid.
        ended_sums: Counter[tuple[str, str]] = Counter()
        for (transport, cause), count in calls.ended_calls.items():
            ended_sums[transport, cause if cause in _CAUSES else "other"] += count
        for labels, count in ended_sums.items():
            ended_family.add_metric(labels, count)
        yield ended_family
        bad = CounterMetricFamily(
            "parley_bad_requests", "Requests refused before a call", labels=("transport", "kind")
        )
        for (transport, kind), count in calls.bad_requests.items():
            bad.add_metric((transport, kind), count)
        yield bad
        refused = CounterMetricFamily("parley_calls_refused", "Calls not taken", labels=("reason",))
        for reason, count in calls.admission.refused.items():
            refused.add_metric((reason,), count)
        yield refused
        for name, text, value in (
            ("parley_slots_taken", "Slots held by calls and tickets", calls.admission.taken),
            ("parley_slots", "Slots in all", calls.admission.max_calls),
            ("parley_draining", "1 while new calls are refused before the end", calls.admission.draining),
            ("parley_loop_lag_seconds", "Smoothed lag of the event loop", self._lag.smoothed_ms / 1000),
            ("parley_loop_lag_max_seconds", "Greatest lag of the event loop so far", self._lag.max_ms / 1000),
            (
                "parley_playout_late_max_seconds",
                "Latest playout beat so far",
                self._ticker.max_late_ms / 1000,
            ),
        ):
            yield GaugeMetricFamily(name, text, value=float(value))


_CAUSES = frozenset(
    (
        "caller_hung_up", "agent_hung_up", "transferred", "line_lost", "session_ended", "time_limit",
        "drained", "replaced", "internal_error", "completed", "busy", "failed", "no-answer", "canceled",
    )
)  # fmt: skip
"""Ours, and the final statuses of Twilio's callbacks. Anything else is `other`: labels stay bounded."""


class Metrics:
    """The process's metrics, ready to be scraped."""

    def __init__(self, book: LatencyBook, calls: Registry, lag: LoopLag, ticker: Ticker) -> None:
        self.book = book
        book.prometheus.register(ProcessCollectorOfCalls(calls, lag, ticker))
        ProcessCollector(registry=book.prometheus)
        GCCollector(registry=book.prometheus)

    def exposition(self) -> bytes:
        """Prometheus text format."""
        return generate_latest(self.book.prometheus)


def _family(kind: type[GaugeMetricFamily], name: str, text: str, values: dict[str, int]) -> GaugeMetricFamily:
    family = kind(name, text, labels=("transport",))
    for transport, value in values.items():
        family.add_metric((transport,), value)
    return family


def _histogram() -> HdrHistogram:
    return HdrHistogram(1, _HDR_MAX, 2)


def _figures(histogram: HdrHistogram) -> dict[str, float]:
    def ms(units: float) -> float:
        return round(units / _HDR_UNITS_PER_MS, 1)

    return {
        "count": histogram.get_total_count(),
        "p50": ms(histogram.get_value_at_percentile(50)),
        "p95": ms(histogram.get_value_at_percentile(95)),
        "p99": ms(histogram.get_value_at_percentile(99)),
        "max": ms(histogram.get_max_value()),
    }
