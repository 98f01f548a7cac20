"""Sums over processes: exact, and each kind of metric as it deserves."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from agent.metrics.histograms import WINDOW_NAMES, Key, LatencyTable
from agent.metrics.together import (
    MALFORMED,
    OF_MACHINE,
    SUMMED,
    Together,
    Told,
    count_windows,
    document,
    merge_windows,
    read_document,
    read_windows,
    windows_document,
)

DURATIONS = st.lists(
    st.tuples(
        st.sampled_from(("response", "added")), st.sampled_from(("webrtc", "telnyx")), st.floats(0, 70_000)
    ),
    max_size=30,
)


def key(stage: str = "response", transport: str = "webrtc") -> Key:
    return Key(stage, transport, "en", "none", "none")


def table(durations: list[tuple[str, str, float]]) -> LatencyTable:
    made = LatencyTable(0.0)
    for stage, transport, value_ms in durations:
        made.record(key(stage, transport), value_ms, 0.0)
    return made


def over_the_wire(content: object) -> Any:
    return orjson.loads(orjson.dumps(content))


def told(*families: Family, durations: list[tuple[str, str, float]] | None = None) -> Told:
    return read_document(over_the_wire(document(families, table(durations or []).series.values())))


def gauge(name: str, value: float, **labels: str) -> Family:
    family = GaugeMetricFamily(name, "A gauge", labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family


def counter(name: str, value: float, **labels: str) -> Family:
    family = CounterMetricFamily(name, "A counter", labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family


def samples(together: Together) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(together.exposition().decode())
        for sample in family.samples
    }


def labelled(**labels: str) -> frozenset[tuple[str, str]]:
    return frozenset(labels.items())


# --- metrics -------------------------------------------------------------------------------------------


def test_counters_are_added_up_by_their_labels() -> None:
    together = Together()
    together.add(told(counter("parley_turns", 3, transport="webrtc")), "a:1")
    together.add(told(counter("parley_turns", 4, transport="webrtc")), "b:1")
    together.add(told(counter("parley_turns", 5, transport="telnyx")), "c:1")
    assert samples(together) == {
        ("parley_turns_total", labelled(transport="webrtc")): 7,
        ("parley_turns_total", labelled(transport="telnyx")): 5,
    }


def test_gauges_are_added_up_told_once_or_by_process() -> None:
    together = Together()
    for process, live, memory, lag in (("a:1", 3, 700.0, 0.001), ("b:1", 4, 900.0, 0.02)):
        families = (
            gauge("parley_calls_live", live, transport="webrtc"),
            gauge("parley_memory_used_bytes", memory),
            gauge("parley_loop_lag_seconds", lag),
            counter("process_cpu_seconds", live),
        )
        together.add(told(*families), process)
    assert samples(together) == {
        ("parley_calls_live", labelled(transport="webrtc")): 7,
        ("parley_memory_used_bytes", frozenset()): 900,
        ("parley_loop_lag_seconds", labelled(process="a:1")): 0.001,
        ("parley_loop_lag_seconds", labelled(process="b:1")): 0.02,
        ("process_cpu_seconds_total", labelled(process="a:1")): 3,
        ("process_cpu_seconds_total", labelled(process="b:1")): 4,
    }


def test_what_belongs_to_the_machine_is_not_counted_twice() -> None:
    assert "parley_cpu_throttled_seconds" in OF_MACHINE
    assert "parley_calls_live" in SUMMED
    together = Together()
    for process in ("a:1", "b:1"):
        together.add(told(counter("parley_cpu_throttled_seconds", 12.5)), process)
    assert samples(together) == {("parley_cpu_throttled_seconds_total", frozenset()): 12.5}


def test_of_a_process_that_is_silent_only_what_must_not_go_back_is_kept() -> None:
    together = Together()
    families = (
        counter("parley_turns", 3, transport="webrtc"),
        gauge("parley_calls_live", 2, transport="webrtc"),
        gauge("parley_loop_lag_seconds", 0.5),
    )
    together.add_lasting(told(*families, durations=[("response", "webrtc", 600.0)]))
    found = samples(together)
    assert found["parley_turns_total", labelled(transport="webrtc")] == 3
    assert not [name for name, _ in found if name in ("parley_calls_live", "parley_loop_lag_seconds")]
    assert {value for (name, _), value in found.items() if name == "parley_stage_seconds_count"} == {1}


def test_a_sum_can_be_added_to_another() -> None:
    past = Together()
    for _ in range(3):
        past.add_lasting(told(counter("parley_turns", 2), durations=[("response", "webrtc", 600.0)]))
    together = Together()
    together.add(told(counter("parley_turns", 1)), "a:1")
    together.add_lasting(past.told())
    found = samples(together)
    assert found["parley_turns_total", frozenset()] == 7
    (total_s,) = (value for (name, _), value in found.items() if name == "parley_stage_seconds_sum")
    assert total_s == pytest.approx(1.8)


@given(st.lists(DURATIONS, min_size=1, max_size=4))
@settings(max_examples=30)
def test_histograms_of_several_processes_are_the_histogram_of_all(
    parts: list[list[tuple[str, str, float]]],
) -> None:
    together = Together()
    for number, part in enumerate(parts):
        together.add(told(durations=part), f"{number}:1")
    one = Together()
    one.add(told(durations=[each for part in parts for each in part]), "0:1")
    merged, whole = samples(together), samples(one)
    assert merged.keys() == whole.keys()
    for name, value in whole.items():
        # Counts to the last one; sums up to the order in which floats are added.
        assert merged[name] == (pytest.approx(value) if name[0].endswith("_sum") else value)


# --- latencies -----------------------------------------------------------------------------------------


@given(st.lists(DURATIONS, min_size=1, max_size=4))
@settings(max_examples=30)
def test_percentiles_of_several_processes_are_those_of_all(
    parts: list[list[tuple[str, str, float]]],
) -> None:
    documents = [
        over_the_wire(windows_document(count_windows(table(part), WINDOW_NAMES, 0.0))) for part in parts
    ]
    whole = table([each for part in parts for each in part])
    for window in WINDOW_NAMES:
        merged = merge_windows([read_windows(each, WINDOW_NAMES) for each in documents], window)
        expected = whole.figures(window, 0.0)
        # Labels come in the order in which they were met.
        assert orjson.dumps(merged, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
            expected, option=orjson.OPT_SORT_KEYS
        )


def test_each_window_tells_what_is_in_it() -> None:
    made = LatencyTable(0.0)
    made.record(key(), 600.0, 0.0)
    made.record(key(), 700.0, 200_000.0)
    found = windows_document(count_windows(made, ("1m", "start"), 200_000.0))
    assert {window: [sum(entry[-1]) for entry in entries] for window, entries in found.items()} == {
        "1m": [1], "start": [2],
    }  # fmt: skip


@pytest.mark.parametrize(
    "entry",
    [
        [],
        ["response", "webrtc", "en", "none", [1], [1]],
        [*key(), [1, 2], [1]],
        [*key(), [1, 1], [1, 1]],
        [*key(), [-1], [1]],
        [*key(), [10**6], [1]],
        [*key(), [10**30], [1]],
        [*key(), [1], [-1]],
        [*key(), [1], [2**32]],
        [*key(), ["a"], [1]],
        [*key(), {}, 1],
        [1, 2, 3, 4, 5, [1], [1]],
    ],
)
def test_nonsense_is_no_series(entry: list[Any]) -> None:
    with pytest.raises(MALFORMED):
        read_windows({"start": [entry]}, ["start"])


@pytest.mark.parametrize(
    "given_document",
    [
        {},
        {"families": [], "stages": [[*key(), [1, 2], 0.5]]},
        {"families": [{}], "stages": []},
        {"families": [{"name": "a", "type": "gauge", "help": "", "samples": [["a", [], "x"]]}], "stages": []},
        {"families": [], "stages": [["response", [0] * 20, 0.5]]},
        {"families": None, "stages": None},
    ],
)
def test_nonsense_is_no_document(given_document: dict[str, Any]) -> None:
    with pytest.raises(MALFORMED):
        read_document(given_document)
