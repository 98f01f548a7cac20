"""Metrics: names, sums over live and ended calls, percentiles."""

import random
from dataclasses import fields

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.latency import CallCounters, Stage
from agent.lines import CallInfo
from agent.metrics import COUNTER_HELP, LatencyBook, Metrics
from agent.records import CallRecord, TurnRecord
from tests.agent.fakes import Process
from tests.virtual import run_virtually, virtual_clock

NONE: frozenset[str] = frozenset()


def record(transport: str = "twilio-media", language: str = "en") -> CallRecord:
    return CallRecord("c1", CallInfo(transport, "CA1"), 0.0, language)


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[str]], float]:
    """By sample name and label values."""
    found: dict[tuple[str, frozenset[str]], float] = {}
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.values()))
            assert key not in found, f"{key} is exposed twice"
            found[key] = sample.value
    return found


def test_every_counter_of_a_call_has_its_help() -> None:
    assert set(COUNTER_HELP) == {counter.name for counter in fields(CallCounters)}


def test_percentiles_are_right_within_a_percent() -> None:
    book = LatencyBook(["en"])
    call = record()
    source = random.Random(2)
    values = sorted(source.uniform(5.0, 4_000.0) for _ in range(5_000))
    for value in values:
        book.turn_ended(call, TurnRecord(0, 0.0, "en", stages={Stage.RESPONSE: value}))
    figures = book.summary()["stages"]["response"]["all"]  # type: ignore[index]
    assert figures["count"] == 5_000
    for name, rank in (("p50", 2_500), ("p95", 4_750), ("p99", 4_950), ("max", 5_000)):
        assert figures[name] == pytest.approx(values[rank - 1], rel=0.01, abs=0.1)


def test_latencies_are_kept_apart_by_transport_and_declared_language() -> None:
    book = LatencyBook(["en", "es"])
    for transport, language in (("twilio-media", "es"), ("twilio-relay", "en"), ("twilio-relay", "tlh")):
        turn = TurnRecord(0, 0.0, language, stages={Stage.ADDED: 2.0, Stage.BARGE_IN: 9.0})
        book.turn_ended(record(transport, language), turn)
    book.barge_in(record(), 90.0)
    stages = book.summary()["stages"]
    assert set(stages["added"]["by"]) == {  # type: ignore[index]
        "twilio-media/es", "twilio-relay/en", "twilio-relay/other",
    }  # fmt: skip
    assert stages["added"]["all"]["count"] == 3  # type: ignore[index]
    # A barge-in is told when it happens; the turn's copy of it is not counted again.
    assert stages["barge_in"]["all"]["count"] == 1  # type: ignore[index]


def test_a_figure_out_of_range_is_kept_at_the_edge() -> None:
    book = LatencyBook(["en"])
    for value in (0.0, 1e9):
        book.turn_ended(record(), TurnRecord(0, 0.0, "en", stages={Stage.RESPONSE: value}))
    figures = book.summary()["stages"]["response"]["all"]  # type: ignore[index]
    assert (figures["count"], figures["p50"]) == (2, 0.1)
    assert figures["max"] == pytest.approx(60_000, rel=0.01)


def test_counters_of_live_and_ended_calls_are_summed_when_scraped() -> None:
    async def scenario() -> None:
        process = Process(max_calls=2, clock=virtual_clock())
        metrics = Metrics(process.book, process.calls, process.lag, process.ticker)
        process.media("CA1")
        process.media("CA2")
        for call in process.calls.live:
            call.record.counters.frames_in = 50
        await process.calls.hang_up("CA1", "caller_hung_up")
        process.calls.count_bad_request("twilio", "bad_signature")
        found = samples(metrics)
        assert found["parley_frames_in_total", frozenset(("twilio-media",))] == 100
        assert found["parley_calls_live", frozenset(("twilio-media",))] == 1
        assert found["parley_calls_ended_total", frozenset(("twilio-media", "caller_hung_up"))] == 1
        assert found["parley_bad_requests_total", frozenset(("twilio", "bad_signature"))] == 1
        assert (found["parley_slots", NONE], found["parley_slots_taken", NONE]) == (2, 1)
        assert ("process_resident_memory_bytes", NONE) in found
        await process.close()

    run_virtually(scenario)


def test_unknown_causes_share_one_series() -> None:
    async def scenario() -> None:
        process = Process(clock=virtual_clock())
        metrics = Metrics(process.book, process.calls, process.lag, process.ticker)
        for number, cause in enumerate(("strange", "stranger")):
            process.media(f"CA{number}")
            await process.calls.hang_up(f"CA{number}", cause)
        assert samples(metrics)["parley_calls_ended_total", frozenset(("twilio-media", "other"))] == 2
        await process.close()

    run_virtually(scenario)
