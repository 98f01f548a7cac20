"""Metrics and latencies of several processes as one. Pure.

Each process tells its own as a document (plain lists and dicts, for JSON). Sums of them are exact, since
nothing in a document is rounded: counters and gauges as they are, durations as counts by bucket.

- counters and histograms are added up; so are the gauges of which a total makes sense (`SUMMED`);
- what belongs to the machine (`OF_MACHINE`) is told once, the greatest that any process has seen;
- everything else belongs to one process, and gets a label `process`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric as Family

from agent.metrics import names
from agent.metrics.exposition import stage_text
from agent.metrics.histograms import SINCE_START, Counted, Key, LatencyTable, Series, read_counted
from agent.metrics.names import BUCKETS_S

Labels = tuple[tuple[str, str], ...]

SUMMED = frozenset(
    metric.name
    for metric in (
        names.CALLS_LIVE, names.SLOTS, names.SLOTS_TAKEN, names.TASKS, names.OBJECTS, names.PROCESSES,
    )
)  # fmt: skip
"""Gauges that are added up."""
OF_MACHINE = frozenset(
    metric.name.removesuffix("_total")
    for metric in (
        names.THROTTLED_PERIODS, names.THROTTLED_SECONDS, names.MEMORY_USED, names.MEMORY_LIMIT,
        names.DISK_USED,
    )
)  # fmt: skip
"""Read from the cgroup or the machine that the processes share."""
MALFORMED = (ValueError, KeyError, TypeError, IndexError, OverflowError)
"""What reading a document that is none raises."""


def document(families: Iterable[Family], series: Iterable[Series]) -> dict[str, Any]:
    """One process's metrics."""
    return {
        "families": [
            {
                "name": family.name,
                "type": family.type,
                "help": family.documentation,
                "samples": [
                    [sample.name, sorted(sample.labels.items()), sample.value] for sample in family.samples
                ],
            }
            for family in families
        ],
        "stages": [[*each.key, each.buckets, each.sum_s] for each in series],
    }


@dataclass(frozen=True, slots=True)
class ToldFamily:
    """One metric of one process: samples by name and labels."""

    name: str
    kind: str
    text: str
    samples: tuple[tuple[tuple[str, Labels], float], ...]


@dataclass(frozen=True, slots=True)
class Told:
    """A document that was read and is in order."""

    families: tuple[ToldFamily, ...]
    series: tuple[Series, ...]


def read_document(given: Mapping[str, Any]) -> Told:
    """Raises one of `MALFORMED` for what is no document of `document`."""
    families = tuple(
        ToldFamily(
            str(family["name"]),
            str(family["type"]),
            str(family["help"]),
            tuple(
                ((str(name), tuple((str(label), str(text)) for label, text in labels)), float(value))
                for name, labels, value in family["samples"]
            ),
        )
        for family in given["families"]
    )
    return Told(families, tuple(_read_series(entry) for entry in given["stages"]))


def _read_series(entry: Sequence[Any]) -> Series:
    *labels, buckets, sum_s = entry
    if len(buckets) != len(BUCKETS_S) + 1:
        raise ValueError("other buckets than ours")
    return Series(Key(*(str(label) for label in labels)), 0, [int(count) for count in buckets], float(sum_s))


class Together:
    """A sum of what processes told."""

    def __init__(self) -> None:
        self._families: dict[str, ToldFamily] = {}
        self._samples: dict[str, dict[tuple[str, Labels], float]] = {}
        self._series: dict[Key, Series] = {}

    def add(self, told: Told, process: str) -> None:
        """Add what `process` (its label) tells."""
        self.add_lasting(told)
        for family in told.families:
            if _lasts(family) or family.name in OF_MACHINE:
                continue
            samples = self._samples_of(family)
            for (name, labels), value in family.samples:
                if family.name in SUMMED:
                    samples[name, labels] = samples.get((name, labels), 0.0) + value
                else:
                    samples[name, (*labels, ("process", process))] = value

    def add_lasting(self, told: Told) -> None:
        """Add only what must never go back: counters and histograms. And what belongs to the machine."""
        for family in told.families:
            if family.name in OF_MACHINE:
                samples = self._samples_of(family)
                for sample, value in family.samples:
                    samples[sample] = max(samples.get(sample, 0.0), value)
            elif _lasts(family):
                samples = self._samples_of(family)
                for sample, value in family.samples:
                    samples[sample] = samples.get(sample, 0.0) + value
        for each in told.series:
            sums = self._series.setdefault(each.key, Series(each.key, 0))
            sums.buckets = [ours + theirs for ours, theirs in zip(sums.buckets, each.buckets, strict=True)]
            sums.sum_s += each.sum_s

    def told(self) -> Told:
        """The sum, to be added to others."""
        families = (
            ToldFamily(name, family.kind, family.text, tuple(self._samples[name].items()))
            for name, family in self._families.items()
        )
        return Told(tuple(families), tuple(self._series.values()))

    def exposition(self) -> bytes:
        """Prometheus text format."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collected(self._collected()))
        return stage_text(self._series.values()) + generate_latest(registry)

    def _samples_of(self, family: ToldFamily) -> dict[tuple[str, Labels], float]:
        self._families.setdefault(family.name, family)
        return self._samples.setdefault(family.name, {})

    def _collected(self) -> list[Family]:
        found = []
        for name, told in self._families.items():
            family = Family(name, told.text, told.kind)
            for (sample, labels), value in self._samples[name].items():
                family.add_sample(sample, dict(labels), value)
            found.append(family)
        return found


def _lasts(family: ToldFamily) -> bool:
    """A counter of ours. Those of the process as such (its CPU) are told by process."""
    return family.kind == "counter" and family.name.startswith("parley_") and family.name not in OF_MACHINE


class _Collected:
    """Families that were collected already, for `generate_latest`."""

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> list[Family]:
        return self._families


# --- latencies -----------------------------------------------------------------------------------------


Windows = Mapping[str, Sequence[Counted]]
"""By window: the series of one process that have counts in it."""


def count_windows(table: LatencyTable, windows: Iterable[str], now_ms: float) -> dict[str, list[Counted]]:
    """What `table` has now: a copy."""
    table.advance(now_ms)
    found: dict[str, list[Counted]] = {}
    for window in windows:
        found[window] = entries = []
        for series in table.series.values():
            row = table.counts(window, series)
            used = np.flatnonzero(row)
            if len(used):
                entries.append(Counted(series.key, used, row[used]))
    return found


def windows_document(counted: Windows) -> dict[str, Any]:
    """For JSON: of each series its labels, the buckets that have any counts, and those."""
    return {
        window: [[*each.key, each.buckets.tolist(), each.times.tolist()] for each in entries]
        for window, entries in counted.items()
    }


def read_windows(given: Mapping[str, Any], windows: Iterable[str]) -> dict[str, list[Counted]]:
    """Raises one of `MALFORMED` for what is no document of `windows_document`."""
    return {window: [read_counted(entry) for entry in given[window]] for window in windows}


def merge_windows(told: Iterable[Windows], window: str) -> dict[str, dict[str, object]]:
    """One window of several processes: figures as `LatencyTable.figures` has them."""
    table = LatencyTable(0.0)
    for each in told:
        for counted in each[window]:
            table.add_counts(counted)
    return table.figures(SINCE_START, 0.0)
