"""Collects everything for Prometheus when it scrapes: counting is done elsewhere, and costs nothing there.

Per call there are plain integers, per stage there is the latency book; here they are summed up and put under
the names of `agent.metrics.names`.
"""

import asyncio
import logging
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from agent.admission import LoopLag
from agent.latency import CallCounters
from agent.metrics import names
from agent.metrics.exposition import stage_texts
from agent.metrics.host import Host
from agent.metrics.latency_book import BoundedLabels, LatencyBook
from agent.metrics.names import COUNTER_HELP, Kind, Metric
from agent.metrics.provider_counts import ProviderCounts
from agent.metrics.quality import report_quality
from agent.metrics.together import document
from agent.registry import Registry
from agent.ticker import Ticker

logger = logging.getLogger(__name__)

_CAUSES = frozenset(
    (
        "silence",
        "caller_hung_up", "agent_hung_up", "transferred", "line_lost", "session_ended", "time_limit",
        "drained", "replaced", "internal_error", "browser_gone", "completed", "busy", "failed", "no-answer",
        "canceled",
    )
)  # fmt: skip
"""Ours, and the final statuses of Twilio's callbacks. Anything else is `other`: labels stay bounded."""

Labels = tuple[str, ...]
L = TypeVar("L", bound=Labels)


class Watch:
    """What the stall watch and the invariants count. The base class watches nothing."""

    @property
    def stalls(self) -> Mapping[str, int]:
        """Blocks of the event loop by cause: `code`, `machine`."""
        return {}

    @property
    def stalled_ms(self) -> Mapping[str, float]:
        """How long they were together, by cause."""
        return {}

    @property
    def violations(self) -> Mapping[str, int]:
        """By invariant."""
        return {}


class CallCollector:
    """Sums over live and ended calls."""

    def __init__(self, book: LatencyBook, calls: Registry) -> None:
        self._book = book
        self._calls = calls
        self._kinds = BoundedLabels(limit=64)

    def collect(self) -> Iterator[Family]:
        """See `prometheus_client.registry.Collector`."""
        yield from self._counters()
        yield _family(names.TURN_GAPS, self._book.gaps)
        yield _family(names.BUDGETS_BLOWN, self._book.blown)
        calls = self._calls
        live = Counter((call.record.info.transport,) for call in calls.live)
        yield _family(names.CALLS_LIVE, live)
        # Several unknown causes are one series: a name given twice would make the whole scrape invalid.
        ended: Counter[Labels] = Counter()
        for (transport, cause), count in calls.ended_calls.items():
            ended[transport, cause if cause in _CAUSES else "other"] += count
        yield _family(names.CALLS_ENDED, ended)
        bad: Counter[Labels] = Counter()
        for (transport, kind), count in calls.bad_requests.items():
            bad[transport, self._kinds(kind)] += count
        yield _family(names.BAD_REQUESTS, bad)
        refused = {(reason.value,): count for reason, count in calls.admission.refused.items()}
        yield _family(names.CALLS_REFUSED, refused)
        yield _family(names.QUALITY, self._quality())

    def _counters(self) -> Iterator[Family]:
        totals: dict[str, CallCounters] = {}
        for transport, ended in self._calls.ended_totals.items():
            totals.setdefault(transport, CallCounters()).add(ended)
        for call in self._calls.live:
            totals.setdefault(call.record.info.transport, CallCounters()).add(call.record.counters)
        for counter in fields(CallCounters):
            if counter.name in COUNTER_HELP:
                metric = names.COUNTERS[counter.name]
                yield _family(metric, {(name,): getattr(sums, counter.name) for name, sums in totals.items()})
        speculated: dict[Labels, float] = {}
        for name, sums in totals.items():
            speculated["finalize", "used", name] = sums.finalizes_used
            speculated["finalize", "wasted", name] = sums.finalizes_wasted
        yield _family(names.SPECULATIONS, speculated)
        yield _family(names.PLAYOUT_GAP, {(name,): sums.gap_ms / 1000 for name, sums in totals.items()})

    def _quality(self) -> dict[Labels, float]:
        """The mean over live calls whose device reports."""
        found: dict[str, list[float]] = {}
        for call in self._calls.live:
            record = call.record
            quality = report_quality(record.client) if record.client is not None else None
            if quality is not None:
                found.setdefault(record.info.transport, []).append(quality)
        return {(name,): sum(values) / len(values) for name, values in found.items()}


class ProcessState:
    """The process and the machine: loop, slots, stalls, providers, cgroup."""

    def __init__(
        self,
        calls: Registry,
        lag: LoopLag,
        ticker: Ticker,
        watch: Watch,
        failures: Mapping[str, Mapping[str, int]],
        providers: ProviderCounts,
        misses: Mapping[str, int],
        certificate: Path | None,
    ) -> None:
        """`failures`: live counters by kind of provider and provider. `misses`: live counts of siblings that
        did not answer. `certificate`: of the public port.
        """
        self._providers = providers
        self._misses = misses
        self._calls = calls
        self._lag = lag
        self._ticker = ticker
        self._watch = watch
        self._failures = failures
        self._certificate_end_s = _end_of(certificate)
        self._host = Host()
        self._version = version("parley")

    def collect(self) -> Iterator[Family]:
        """See `prometheus_client.registry.Collector`."""
        admission, watch = self._calls.admission, self._watch
        failures = {
            (kind, provider): count
            for kind, by_provider in self._failures.items()
            for provider, count in by_provider.items()
        }
        yield _family(names.FAILOVERS, failures)
        yield _family(names.PROVIDER_EVENTS, self._providers.events())
        yield _family(names.PROVIDER_CONNECT_SECONDS, self._providers.connect_seconds())
        yield _family(names.STALLS, {(cause,): count for cause, count in watch.stalls.items()})
        stalled = {(cause,): value_ms / 1000 for cause, value_ms in watch.stalled_ms.items()}
        yield _family(names.STALL_SECONDS, stalled)
        yield _family(names.VIOLATIONS, {(name,): count for name, count in watch.violations.items()})
        yield _family(names.BUILD, {(self._version,): 1})
        yield _family(names.PEER_MISSES, {(peer,): count for peer, count in self._misses.items()})
        plain: tuple[tuple[Metric, float | None], ...] = (
            (names.SLOTS, admission.max_calls),
            (names.SLOTS_TAKEN, admission.taken),
            (names.DRAINING, admission.draining),
            (names.LOOP_LAG, self._lag.smoothed_ms / 1000),
            (names.LOOP_LAG_MAX, self._lag.max_ms / 1000),
            (names.LOOP_BUSY, None if admission.core is None else admission.core.share),
            (names.PLAYOUT_LATE_MAX, self._ticker.max_late_ms / 1000),
            (names.CERTIFICATE_END, self._certificate_end_s),
            # 0.3 ms for 1,000 tasks, 0.1 ms for 2 million blocks; `gc.get_objects` makes a list of all.
            (names.TASKS, len(asyncio.all_tasks())),
            (names.OBJECTS, sys.getallocatedblocks()),
            (names.PROCESSES, 1),
            *self._machine(),
        )
        for metric, value in plain:
            if value is not None:
                yield _family(metric, {(): float(value)})

    def _machine(self) -> Iterator[tuple[Metric, float | None]]:
        throttling, memory = self._host.throttling(), self._host.memory()
        if throttling is not None:
            yield names.THROTTLED_PERIODS, throttling.periods
            yield names.THROTTLED_SECONDS, throttling.seconds
        if memory is not None:
            yield names.MEMORY_USED, memory.used
            yield names.MEMORY_LIMIT, memory.limit
        yield names.DISK_USED, self._host.disk_used()


class Metrics:
    """The process's metrics, ready to be scraped."""

    def __init__(
        self,
        book: LatencyBook,
        calls: Registry,
        lag: LoopLag,
        ticker: Ticker,
        *,
        watch: Watch | None = None,
        failures: Mapping[str, Mapping[str, int]] | None = None,
        providers: Iterable[tuple[str, str, object]] = (),
        certificate: Path | None = None,
    ) -> None:
        """See `ProcessState` and `ProviderCounts` for what may be left out."""
        self.book = book
        self.instance = uuid.uuid4().hex
        """This process, and no later one at the same address."""
        self.misses: Counter[str] = Counter()
        """By sibling process: times that it did not answer (`agent.peers`)."""
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(CallCollector(book, calls))
        counts = ProviderCounts(providers)
        self._registry.register(
            ProcessState(
                calls, lag, ticker, watch or Watch(), failures or {}, counts, self.misses, certificate
            )
        )
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def exposition(self) -> bytes:
        """Prometheus text format. Asked for on the event loop: it counts that loop's tasks."""
        return b"".join(self.exposition_pieces())

    def exposition_pieces(self) -> Iterator[bytes]:
        """The same bit by bit: between two the event loop may do something else."""
        yield from stage_texts(self.book.series())
        yield generate_latest(self._registry)

    def document(self) -> dict[str, Any]:
        """The same for another process to add up: see `agent.metrics.together`."""
        return document(self._registry.collect(), self.book.series())


def _family(metric: Metric, values: Mapping[L, float]) -> Family:
    kind: Callable[..., CounterMetricFamily | GaugeMetricFamily]
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(metric.name.removesuffix("_total"), metric.text, labels=metric.labels)
    for labels, value in sorted(values.items()):
        family.add_metric(labels, value)
    return family


def _end_of(certificate: Path | None) -> float | None:
    """When a PEM certificate ends, unix time; of the first in the file, which is the server's own."""
    if certificate is None:
        return None
    try:
        end_s: float = import_module("agent.metrics.certificate").ends_at(certificate)
    except (OSError, ValueError) as error:
        # The TLS port says so too, and does not open: here it is only the metric that is missing.
        logger.warning("certificate %s cannot be read: %s", certificate, error)
        return None
    return end_s
