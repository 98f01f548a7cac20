"""Percentiles by window and label: right within two percent, forgotten in time, added up across processes."""

import base64
import random
import zlib
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from agent.metrics.histograms import (
    LENGTH,
    MAX_FRESH,
    MAX_SERIES,
    MAX_US,
    SINCE_START,
    WINDOWS,
    Key,
    LatencyTable,
    Window,
    highest_us,
    index_of,
    new_hdr,
)

KEY = Key("response", "twilio-media", "en", "none", "none")
MINUTE_MS = 60_000.0


def figures(table: LatencyTable, window: str = SINCE_START, now_ms: float = 0.0) -> dict[str, float]:
    found = table.figures(window, now_ms).get("response", {"all": {"count": 0}})["all"]
    assert isinstance(found, dict)
    return found


@given(st.integers(1, MAX_US))
def test_the_buckets_are_those_of_hdrhistogram(value_us: int) -> None:
    library = HDR
    assert index_of(value_us) == library.get_counts_array_index(value_us)
    assert highest_us(index_of(value_us)) == library.get_highest_equivalent_value(value_us)
    assert value_us <= highest_us(index_of(value_us)) <= value_us * 1.008 + 1


HDR = new_hdr()


def test_percentiles_are_right_within_two_percent_from_microseconds_to_a_minute() -> None:
    source = random.Random(2)
    values = sorted(10 ** source.uniform(-1.0, 4.7) for _ in range(5_000))
    table = LatencyTable(0.0)
    for value in values:
        table.record(KEY, value, 0.0)
    found = figures(table)
    assert found["count"] == 5_000
    for name, rank in (("p50", 2_500), ("p90", 4_500), ("p95", 4_750), ("p99", 4_950), ("max", 5_000)):
        assert found[name] == pytest.approx(values[rank - 1], rel=0.02)


@given(st.lists(st.floats(0.001, 59_000.0), min_size=1, max_size=60))
def test_percentiles_agree_with_the_library(values: list[float]) -> None:
    table, library = LatencyTable(0.0), new_hdr()
    for value in values:
        table.record(KEY, value, 0.0)
        library.record_value(max(int(value * 1000), 1))
    found = figures(table)
    for percent in (50, 90, 95, 99):
        assert found[f"p{percent}"] == pytest.approx(library.get_value_at_percentile(percent) / 1000)
    assert found["max"] == pytest.approx(library.get_max_value() / 1000)


@pytest.mark.parametrize(("value_ms", "kept_ms"), [(0.0, 0.001), (-5.0, 0.001), (1e9, 60_000.0)])
def test_a_figure_out_of_range_is_kept_at_the_edge(value_ms: float, kept_ms: float) -> None:
    table = LatencyTable(0.0)
    table.record(KEY, value_ms, 0.0)
    assert figures(table)["max"] == pytest.approx(kept_ms, rel=0.01)


# --- windows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: window.name)
def test_a_window_holds_what_it_says_and_a_slot_more_at_most(window: Window) -> None:
    name, length_ms = window.name, window.seconds * 1000
    slot_ms = length_ms / window.slots
    for begin_ms in (0.0, slot_ms * 0.4, slot_ms - 1):
        table = LatencyTable(0.0)
        table.record(KEY, 100.0, begin_ms)
        assert figures(table, name, begin_ms + length_ms)["count"] == 1
        assert figures(table, name, begin_ms + length_ms + slot_ms)["count"] == 0
        assert figures(table, SINCE_START, begin_ms + length_ms + slot_ms)["count"] == 1


def test_a_window_moves_on_slot_by_slot() -> None:
    table = LatencyTable(0.0)
    for second in range(600):
        table.record(KEY, 10.0 + second, second * 1000.0)
    found = figures(table, "1m", 600_000.0)
    assert 60 <= found["count"] <= 65
    assert found["p50"] == pytest.approx(10 + 600 - found["count"] / 2, abs=6)
    assert figures(table, "5m", 600_000.0)["count"] in range(300, 316)
    assert figures(table, "1h", 600_000.0)["count"] == 600


def test_a_quiet_night_leaves_nothing_in_the_windows() -> None:
    table = LatencyTable(0.0)
    table.record(KEY, 10.0, 0.0)
    table.record(KEY, 20.0, 30_000.0)
    for window in WINDOWS:
        assert figures(table, window.name, 8 * 3_600_000.0)["count"] == 0
    table.record(KEY, 30.0, 8 * 3_600_000.0 + 1)
    assert figures(table, "1m", 8 * 3_600_000.0 + 2)["p50"] == pytest.approx(30.0, rel=0.01)


def test_windows_agree_with_counting_by_hand() -> None:
    source, table, log, now_ms = random.Random(4), LatencyTable(0.0), [], 0.0
    for _ in range(3_000):
        now_ms += source.expovariate(1 / 400.0)
        value = source.uniform(1.0, 900.0)
        log.append((now_ms, value))
        table.record(KEY, value, now_ms)
    for window in WINDOWS[:2]:
        length_ms, slot_ms = window.seconds * 1000, window.seconds * 1000 / window.slots
        count = figures(table, window.name, now_ms)["count"]
        assert (
            sum(at > now_ms - length_ms for at, _ in log)
            <= count
            <= sum(at > now_ms - length_ms - slot_ms for at, _ in log)
        )


# --- labels --------------------------------------------------------------------------------------------


def test_each_label_is_summed_by_itself() -> None:
    table = LatencyTable(0.0)
    table.record(Key("response", "twilio-media", "en", "none", "hit"), 100.0, 0.0)
    table.record(Key("response", "twilio-media", "es", "none", "miss"), 300.0, 0.0)
    table.record(Key("response", "twilio-relay", "es", "none", "miss"), 500.0, 0.0)
    found = table.figures(SINCE_START, 0.0)["response"]
    by = found["by"]
    assert isinstance(by, dict)
    counts = {name: {value: each["count"] for value, each in groups.items()} for name, groups in by.items()}
    assert counts == {
        "transport": {"twilio-media": 2, "twilio-relay": 1},
        "language": {"en": 1, "es": 2},
        "provider": {"none": 3},
        "cache": {"hit": 1, "miss": 2},
    }
    assert by["cache"]["hit"]["p99"] == pytest.approx(100.0, rel=0.01)
    assert figures(table)["count"] == 3


def test_the_number_of_series_is_bounded() -> None:
    table = LatencyTable(0.0)
    for number in range(MAX_SERIES + 50):
        table.record(Key("response", f"t{number}", "en", "none", "none"), 5.0, 0.0)
    assert len(table.series) == MAX_SERIES + 1
    assert figures(table)["count"] == MAX_SERIES + 50
    by = table.figures(SINCE_START, 0.0)["response"]["by"]
    assert isinstance(by, dict)
    assert by["transport"]["other"]["count"] == 50


def test_prometheus_gets_exact_buckets_and_sums() -> None:
    table = LatencyTable(0.0)
    for value_ms in (2.0, 2.0001, 840.0, 99_000.0):
        table.record(KEY, value_ms, 0.0)
    (series,) = table.series.values()
    assert series.buckets[0] == 1  # le is inclusive
    assert series.buckets[1] == 1
    assert series.buckets[-1] == 1
    assert series.sum_s == pytest.approx(99.8440001)


# --- across processes ----------------------------------------------------------------------------------


def test_histograms_of_several_processes_add_up() -> None:
    source, whole, parts = random.Random(5), LatencyTable(0.0), [LatencyTable(0.0) for _ in range(3)]
    for number in range(900):
        value = source.lognormvariate(6.0, 0.5)
        whole.record(KEY, value, 0.0)
        parts[number % 3].record(KEY, value, 0.0)
    together = LatencyTable(0.0)
    for part in parts:
        together.add_encoded(list(part.encoded(SINCE_START, 0.0)), 0.0)
    assert together.figures(SINCE_START, 0.0) == whole.figures(SINCE_START, 0.0)


def test_the_encoding_is_the_librarys_own() -> None:
    table = LatencyTable(0.0)
    for value in (5.0, 5.0, 70.0):
        table.record(KEY, value, 0.0)
    (entry,) = table.encoded(SINCE_START, 0.0)
    library = HdrHistogram.decode(entry["histogram"])
    assert library.get_total_count() == 3
    assert library.get_value_at_percentile(50) == pytest.approx(5_000, rel=0.01)
    assert library.get_max_value() == pytest.approx(70_000, rel=0.01)


def _packed(payload: bytes) -> str:
    deflated = zlib.compress(payload)
    return base64.b64encode(bytes.fromhex("1c849314") + len(deflated).to_bytes(4, "big") + deflated).decode()


@pytest.mark.parametrize(
    "histogram",
    [
        "", "%%%", "AAAA", "HISTFAAAAAA=", _packed(b""), _packed(b"\x00" * 40), _packed(bytes(20 * LENGTH)),
        HdrHistogram(1, 1_000, 2).encode().decode(), HdrHistogram(1, MAX_US, 3).encode().decode(), 7, None,
    ],
)  # fmt: skip
def test_what_is_no_histogram_of_ours_is_refused(histogram: Any) -> None:
    entry = {
        "stage": "response", "transport": "t", "language": "en", "provider": "none", "cache": "none",
        "histogram": histogram,
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"not an encoded histogram|another range|not a series"):
        LatencyTable(0.0).add_encoded([entry], 0.0)
    with pytest.raises(ValueError, match="not a series"):
        LatencyTable(0.0).add_encoded([{"stage": "response"}], 0.0)


def test_what_waits_to_be_put_in_its_place_is_bounded_and_counts_for_every_reader() -> None:
    table = LatencyTable(0.0)
    values = [1.0 + number * 0.5 for number in range(3 * MAX_FRESH)]
    for value in values:
        table.record(KEY, value, 0.0)
        assert len(table._fresh) < MAX_FRESH
    series = table.series[KEY]
    for window in (*(each.name for each in WINDOWS), SINCE_START):
        assert table.counts(window, series).sum() == len(values)
        table.record(KEY, 5.0, 0.0)
        values.append(5.0)
    assert figures(table)["count"] == len(values)
    # What had not been put in its place when its slot ended is forgotten with that slot.
    table.record(KEY, 5.0, 0.0)
    assert figures(table, "1m", 2 * MINUTE_MS)["count"] == 0
    assert figures(table, "5m", 2 * MINUTE_MS)["count"] == len(values) + 1
