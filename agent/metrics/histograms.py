"""Counts of durations by label and time window, from which percentiles are read.

The buckets are HdrHistogram's with two significant digits: 1 us wide up to 255 us, beyond that at most 1/128
of the value, so a percentile is right to 1 us or 0.8 %, whichever is more. Counts of all series are rows of
one numpy array, and a window's slots remember what to take off again when it moves on: recording costs the
same however long a window is, and reading never walks through time. What is recorded waits in a plain dict
until somebody reads or a slot ends: one count in a dict costs a fifth of one in each window and the array.
"""

import base64
import zlib
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from hdrh.codec import HdrCookieException, HdrLengthException
from hdrh.histogram import HdrHistogram

from agent.metrics.names import BUCKETS_S

Counts = npt.NDArray[np.uint32]

MAX_US = 60_000_000
"""A minute: longer than any ceiling of a turn. What lasts longer counts as that."""
_DIGITS = 2
_SUB_BUCKET_BITS = 8
"""HdrHistogram takes the power of two above 2 * 10^digits sub-buckets: 256."""
_HALF_BITS = _SUB_BUCKET_BITS - 1
_MAX_COUNT = 2**32 - 1
PERCENTILES = (50.0, 90.0, 95.0, 99.0)
MAX_SERIES = 512
"""Label sets; further ones count as `other` in every label. 40 kB each, and most are never made."""
_FIRST_ROWS = 32
MAX_FRESH = 512
"""Places that may wait for `LatencyTable._settle`: it takes half a millisecond for so many."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time up to now, kept in slots: it reaches back `seconds`, and up to one slot more."""

    name: str
    seconds: float
    slots: int


WINDOWS = (Window("1m", 60.0, 12), Window("5m", 300.0, 20), Window("1h", 3600.0, 60))
SINCE_START = "start"
WINDOW_NAMES = (*(window.name for window in WINDOWS), SINCE_START)


def index_of(value_us: int) -> int:
    """The bucket of a duration in microseconds, 1 to `MAX_US`."""
    shift = max(value_us.bit_length() - _SUB_BUCKET_BITS, 0)
    return (shift << _HALF_BITS) + (value_us >> shift)


def highest_us(index: int) -> int:
    """The longest duration that falls into a bucket: what a percentile reports, as HdrHistogram does."""
    shift = max((index >> _HALF_BITS) - 1, 0)
    return ((index - (shift << _HALF_BITS) + 1) << shift) - 1


LENGTH = index_of(MAX_US) + 1
_HIGHEST_MS = np.array([highest_us(index) / 1000 for index in range(LENGTH)])


def new_hdr() -> HdrHistogram:
    """An empty histogram of the library's, of our range: units are microseconds."""
    return HdrHistogram(1, MAX_US, _DIGITS)


class Key(NamedTuple):
    """What is told apart. Each value comes from a bounded set: the caller of `record` sees to that."""

    stage: str
    transport: str
    language: str
    provider: str
    cache: str


DIMENSIONS = ("transport", "language", "provider", "cache")


@dataclass(slots=True)
class Series:
    """One label set since start: its row in the table, and what Prometheus wants exactly."""

    key: Key
    row: int
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    """By `BUCKETS_S`, not yet cumulative; the last one is beyond all."""
    sum_s: float = 0.0


@dataclass(slots=True)
class _Slots:
    """What a window counted, oldest first, so that it can be taken off again."""

    window: Window
    ends_ms: float
    current: dict[int, int] = field(default_factory=dict)
    past: deque[dict[int, int]] = field(default_factory=deque)

    @property
    def slot_ms(self) -> float:
        return self.window.seconds * 1000 / self.window.slots


def _no_counts(rows: int) -> Counts:
    """Zeros by window (the last is since start), series and bucket.

    Pages that nothing was counted in take no memory, and a duration is counted in all windows at once: so the
    windows lie side by side, in one page instead of four.
    """
    return np.zeros((rows, LENGTH, len(WINDOWS) + 1), np.uint32).transpose(2, 0, 1)


class LatencyTable:
    """All series, all windows. Times are monotonic ms; the caller hands them in."""

    def __init__(self, now_ms: float) -> None:
        self.series: dict[Key, Series] = {}
        self._counts = _no_counts(_FIRST_ROWS)
        self._slots = [_Slots(each, now_ms + each.seconds * 1000 / each.slots) for each in WINDOWS]
        self._next_ms = min(slots.ends_ms for slots in self._slots)
        self._fresh: dict[int, int] = {}
        """Counted since the last `_settle`, by place: row * `LENGTH` + bucket. All of the present slots."""

    def record(self, key: Key, value_ms: float, now_ms: float) -> None:
        """Count one duration. What is negative counts as the shortest, what is beyond a minute as that."""
        if now_ms >= self._next_ms:
            self.advance(now_ms)
        series = self.series.get(key) or self._new(key)
        value_us = min(max(int(value_ms * 1000), 1), MAX_US)
        index = index_of(value_us)
        place = series.row * LENGTH + index
        fresh = self._fresh
        fresh[place] = fresh.get(place, 0) + 1
        if len(fresh) >= MAX_FRESH:
            self._settle()
        series.buckets[bisect_left(BUCKETS_S, value_ms / 1000)] += 1
        series.sum_s += max(value_ms, 0.0) / 1000

    def advance(self, now_ms: float) -> None:
        """Let what has become too old fall out of the windows."""
        self._settle()
        for number, slots in enumerate(self._slots):
            if now_ms >= slots.ends_ms:
                self._move(number, slots, now_ms)
        self._next_ms = min(slots.ends_ms for slots in self._slots)

    def _settle(self) -> None:
        """Put what was recorded where it is read, and into the present slot of each window."""
        fresh, self._fresh = self._fresh, {}
        if not fresh:
            return
        places, times = _arrays(fresh)
        self._counts[:, places // LENGTH, places % LENGTH] += times
        for slots in self._slots:
            current = slots.current
            for place, count in fresh.items():
                current[place] = current.get(place, 0) + count

    def _move(self, number: int, slots: _Slots, now_ms: float) -> None:
        passed = int((now_ms - slots.ends_ms) // slots.slot_ms) + 1
        slots.ends_ms += passed * slots.slot_ms
        slots.past.append(slots.current)
        slots.current = {}
        # One slot more than the window is long: the current one is not full yet.
        for _ in range(min(passed - 1, slots.window.slots)):
            slots.past.append({})
        while len(slots.past) > slots.window.slots:
            self._take_off(number, slots.past.popleft())

    def _take_off(self, number: int, counted: Mapping[int, int]) -> None:
        if counted:
            places, times = _arrays(counted)
            self._counts[number, places // LENGTH, places % LENGTH] -= times

    def _new(self, key: Key) -> Series:
        if len(self.series) >= MAX_SERIES:
            # One more per stage, so still bounded; stages are ours.
            key = Key(key.stage, "other", "other", "other", "other")
            if key in self.series:
                return self.series[key]
        row = len(self.series)
        if row == self._counts.shape[1]:
            grown = _no_counts(row * 2)
            grown[:, :row] = self._counts
            self._counts = grown
        series = self.series[key] = Series(key, row)
        return series

    # --- reading -----------------------------------------------------------------------------------

    def counts(self, window: str, series: Series) -> Counts:
        """One row. Valid until the next `record`."""
        self._settle()
        row: Counts = self._counts[WINDOW_NAMES.index(window), series.row]
        return row

    def figures(self, window: str, now_ms: float) -> dict[str, dict[str, object]]:
        """By stage: `all`, and `by` each of `DIMENSIONS` its values: count, p50 to p99 and max in ms."""
        return dict(self.stage_figures(window, now_ms))

    def stage_figures(self, window: str, now_ms: float) -> Iterator[tuple[str, dict[str, object]]]:
        """`figures` stage by stage: each takes a fraction of a millisecond, and may be recorded between."""
        self.advance(now_ms)
        by_stage: dict[str, list[Series]] = {}
        for series in self.series.values():
            by_stage.setdefault(series.key.stage, []).append(series)
        for stage, members in by_stage.items():
            # Looked up each time: new series may have moved all counts meanwhile.
            rows = self._counts[WINDOW_NAMES.index(window)][[series.row for series in members]]
            figures = _stage_figures(members, rows)
            if figures:
                yield stage, figures

    # --- across processes --------------------------------------------------------------------------

    def encoded(self, window: str, now_ms: float) -> Iterator[dict[str, str]]:
        """Each series that has counts: its labels, and `histogram`, HdrHistogram's V2 encoding in base64."""
        self.advance(now_ms)
        for series in self.series.values():
            row = self.counts(window, series)
            used = np.flatnonzero(row)
            if len(used):
                yield {**_labels(series.key), "histogram": _encode(row, used)}

    def add_encoded(self, entries: Iterable[Mapping[str, str]], now_ms: float) -> None:
        """Count in what another process encoded, as if since start. Raises `ValueError` for what is none."""
        for entry in entries:
            try:
                key = Key(*(entry[name] for name in ("stage", *DIMENSIONS)))
                row = _decode(entry["histogram"])
            except (KeyError, TypeError) as error:
                raise ValueError(f"not a series of /latency?format=hdr: {error!r}") from None
            series = self.series.get(key) or self._new(key)
            self._counts[-1, series.row] += row
        self.advance(now_ms)

    def add_counts(self, counted: "Counted") -> None:
        """Count in what another process counted, as if since start."""
        series = self.series.get(counted.key) or self._new(counted.key)
        self._counts[-1, series.row, counted.buckets] += counted.times


def _arrays(counted: Mapping[int, int]) -> tuple[npt.NDArray[np.int64], Counts]:
    """Places, each once, and how often."""
    size = len(counted)
    return np.fromiter(counted.keys(), np.int64, size), np.fromiter(counted.values(), np.uint32, size)


class Counted(NamedTuple):
    """One series of another process: buckets that have any, each once, and how many."""

    key: Key
    buckets: npt.NDArray[np.int64]
    times: Counts


def read_counted(entry: Sequence[Any]) -> Counted:
    """From the labels in order, bucket numbers and counts. Raises `ValueError` for what are none."""
    *labels, buckets, times = entry
    if len(labels) != len(Key._fields) or not all(isinstance(label, str) for label in labels):
        raise ValueError("not the labels of a series")
    places, counts = np.array(buckets, np.int64), np.array(times, np.int64)
    if places.shape != counts.shape or places.ndim != 1 or len(set(buckets)) != len(buckets):
        raise ValueError("not one count for each bucket")
    if len(places) and (places.min() < 0 or places.max() >= LENGTH):
        raise ValueError("no such bucket")
    if len(counts) and (counts.min() < 0 or counts.max() > _MAX_COUNT):
        raise ValueError("no such count")
    return Counted(Key(*labels), places, counts.astype(np.uint32))


def _labels(key: Key) -> dict[str, str]:
    return {"stage": key.stage, **{name: getattr(key, name) for name in DIMENSIONS}}


def _stage_figures(members: Sequence[Series], rows: Counts) -> dict[str, object]:
    """All groups of one stage at once: a matrix of groups by series, times one of series by bucket."""
    used = np.flatnonzero(rows.any(axis=0))
    if not len(used):
        return {}
    groups: dict[tuple[str, str], list[int]] = {("all", ""): list(range(len(members)))}
    for number, series in enumerate(members):
        for name in DIMENSIONS:
            groups.setdefault((name, getattr(series.key, name)), []).append(number)
    belongs = np.zeros((len(groups), len(members)))
    for line, numbers in enumerate(groups.values()):
        belongs[line, numbers] = 1
    figures = _percentiles((belongs @ rows[:, used]).cumsum(axis=1), _HIGHEST_MS[used])
    by: dict[str, dict[str, dict[str, float]]] = {name: {} for name in DIMENSIONS}
    everything: dict[str, float] = {}
    for (name, value), found in zip(groups, figures, strict=True):
        if name == "all":
            everything = found
        elif found["count"]:
            by[name][value] = found
    return {"all": everything, "by": by}


def _percentiles(
    cumulated: npt.NDArray[np.float64], highest_ms: npt.NDArray[np.float64]
) -> list[dict[str, float]]:
    """Of each line: the first bucket up to which that share of its counts lies, as the library has it."""
    totals = cumulated[:, -1]
    columns = [
        (cumulated < np.maximum(np.floor(totals * percent / 100 + 0.5), 1)[:, None]).sum(axis=1)
        for percent in PERCENTILES
    ]
    columns.append((cumulated < totals[:, None]).sum(axis=1))
    last = len(highest_ms) - 1
    names = (*(f"p{percent:g}" for percent in PERCENTILES), "max")
    values = [highest_ms[np.minimum(column, last)].round(3).tolist() for column in columns]
    return [
        {"count": int(count), **dict(zip(names, line, strict=True))}
        for count, line in zip(totals.tolist(), zip(*values, strict=True), strict=True)
    ]


def _encode(row: Counts, used: npt.NDArray[np.int64]) -> str:
    histogram = new_hdr()
    np.frombuffer(histogram.counts, np.uint64)[: len(row)] = row
    histogram.set_internal_tacking_values(int(used[0]), int(used[-1]), int(row.sum()))
    encoded: bytes = histogram.encode()
    return encoded.decode("ascii")


def _decode(text: str) -> Counts:
    """Raises `ValueError`."""
    try:
        # The library inflates without a limit: look at the size before it does.
        inflater = zlib.decompressobj()
        inflater.decompress(base64.b64decode(text, validate=True)[_OUTER_HEADER_BYTES:], _MAX_INFLATED)
        if inflater.unconsumed_tail:
            raise ValueError("longer than any histogram of ours")  # noqa: TRY301
        histogram = HdrHistogram.decode(text)
    except (ValueError, zlib.error, RuntimeError, IndexError, OverflowError, *_HDR_ERRORS) as error:
        raise ValueError(f"not an encoded histogram: {error}") from None
    if histogram.highest_trackable_value != MAX_US or histogram.significant_figures != _DIGITS:
        raise ValueError("a histogram of another range")
    counts: Counts = np.frombuffer(histogram.counts, np.uint64)[:LENGTH].astype(np.uint32)
    return counts


_HDR_ERRORS = (HdrCookieException, HdrLengthException)
_OUTER_HEADER_BYTES = 8
"""Cookie and length, before what is deflated: HdrHistogram's V2 compressed encoding."""
_MAX_INFLATED = 10 * LENGTH
"""Nine bytes is the longest a count is encoded in."""
