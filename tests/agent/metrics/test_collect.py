"""What Prometheus gets: the names of `agent.metrics.names`, sums over calls, bounded labels."""

import asyncio
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cryptography import x509
from prometheus_client.parser import text_string_to_metric_families

from agent.latency import CallCounters, Stage
from agent.lines import CallInfo
from agent.metrics import COUNTER_HELP, LatencyBook, Metrics, Watch
from agent.metrics.host import Host
from agent.metrics.names import METRICS, PROCESS_METRICS, Kind
from agent.records import CallRecord, TurnRecord
from providers.connections import ConnectStats
from tests.agent.fakes import Process
from tests.certificates import self_signed
from tests.virtual import virtual_clock, virtually

NONE: frozenset[str] = frozenset()


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[str]], float]:
    """By sample name and label values."""
    found: dict[tuple[str, frozenset[str]], float] = {}
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.values()))
            if sample.name.endswith("_bucket"):
                continue
            assert key not in found, f"{key} is exposed twice"
            found[key] = sample.value
    return found


def metrics_of(process: Process, **parts: Any) -> Metrics:
    return Metrics(process.book, process.calls, process.lag, process.ticker, **parts)


def test_every_counter_of_a_call_has_its_help() -> None:
    whole = {counter.name for counter in fields(CallCounters) if counter.type is int}
    # These two are told by kind and outcome.
    assert set(COUNTER_HELP) == whole - {"finalizes_used", "finalizes_wasted"}
    assert {counter.name for counter in fields(CallCounters)} - whole == {"gap_ms"}


@virtually
async def test_counters_of_live_and_ended_calls_are_summed_when_scraped() -> None:
    process = Process(max_calls=2, clock=virtual_clock())
    metrics = metrics_of(process)
    process.media("CA1")
    process.media("CA2")
    for call in process.calls.live:
        call.record.counters.frames_in = 50
        call.record.counters.gap_ms = 250.0
    await process.calls.hang_up("CA1", "caller_hung_up")
    process.calls.count_bad_request("twilio", "bad_signature")
    found = samples(metrics)
    media = frozenset(("twilio-media",))
    assert found["parley_frames_in_total", media] == 100
    assert found["parley_playout_gap_seconds_total", media] == 0.5
    assert found["parley_calls_live", media] == 1
    assert found["parley_calls_ended_total", frozenset(("twilio-media", "caller_hung_up"))] == 1
    assert found["parley_bad_requests_total", frozenset(("twilio", "bad_signature"))] == 1
    assert (found["parley_slots", NONE], found["parley_slots_taken", NONE]) == (2, 1)
    assert ("process_resident_memory_bytes", NONE) in found
    await process.close()


@virtually
async def test_work_begun_early_is_told_by_kind_and_outcome() -> None:
    process = Process(max_calls=2, clock=virtual_clock())
    metrics = metrics_of(process)
    process.media("CA1")
    process.media("CA2")
    for call in process.calls.live:
        for used in (True, True, False):
            call.record.counters.count_early_finalize(used=used)
    await process.calls.hang_up("CA1", "caller_hung_up")
    found = samples(metrics)
    labels = ("finalize", "twilio-media")
    assert found["parley_speculations_total", frozenset((*labels, "used"))] == 4
    assert found["parley_speculations_total", frozenset((*labels, "wasted"))] == 2
    await process.close()


@virtually
async def test_unknown_causes_share_one_series() -> None:
    process = Process(clock=virtual_clock())
    metrics = metrics_of(process)
    for number, cause in enumerate(("strange", "stranger")):
        process.media(f"CA{number}")
        await process.calls.hang_up(f"CA{number}", cause)
    assert samples(metrics)["parley_calls_ended_total", frozenset(("twilio-media", "other"))] == 2
    await process.close()


@virtually
async def test_invented_kinds_of_bad_requests_share_one_series_in_the_end() -> None:
    process = Process(clock=virtual_clock())
    for number in range(1_000):
        process.calls.count_bad_request("twilio", f"kind-{number}")
    found = samples(metrics_of(process))
    bad = [value for (name, _), value in found.items() if name == "parley_bad_requests_total"]
    assert (len(bad), sum(bad)) == (65, 1_000)
    await process.close()


@virtually
async def test_a_stage_is_a_histogram_in_seconds() -> None:
    process = Process(clock=virtual_clock())
    call = CallRecord("c1", CallInfo("twilio-media", "CA1"), 0.0, "en")
    for value in (640.0, 860.0):
        turn = TurnRecord(0, 0.0, "en", stages={Stage.RESPONSE: value}, cache="hit")
        process.book.turn_ended(call, turn)
    text = metrics_of(process).exposition().decode()
    (family,) = [
        family for family in text_string_to_metric_families(text) if family.name == "parley_stage_seconds"
    ]
    found = {
        (sample.name.removeprefix("parley_stage_seconds_"), sample.labels.get("le")): sample
        for sample in family.samples
        if sample.labels["stage"] == "response"
    }
    assert found["bucket", "0.5"].value == 0
    assert found["bucket", "0.7"].value == 1
    assert found["bucket", "1.0"].value == found["bucket", "+Inf"].value == 2
    assert (found["count", None].value, found["sum", None].value) == (2, 1.5)
    assert found["count", None].labels == {
        "stage": "response", "transport": "twilio-media", "language": "en", "provider": "none",
        "cache": "hit",
    }  # fmt: skip
    await process.close()


@virtually
async def test_live_calls_that_report_have_a_network_quality() -> None:
    process = Process(clock=virtual_clock())
    metrics = metrics_of(process)
    for name in ("CA1", "CA2", "CA3"):
        process.media(name)
    first, second, _ = process.calls.live
    process.book.record_client(first.record, None, {"rtt_ms": 0.0})
    process.book.record_client(second.record, None, {"rtt_ms": 100.0 / 0.3})
    found = samples(metrics)
    assert found["parley_network_quality_index", frozenset(("twilio-media",))] == pytest.approx(0.75)
    await process.close()


@virtually
async def test_stalls_failovers_and_violations_are_told() -> None:
    class Seen(Watch):
        stalls: ClassVar = {"code": 3}
        stalled_ms: ClassVar = {"code": 420.0}

        @property
        def violations(self) -> dict[str, int]:
            return {"speaking_sends_bytes": 2}

    process = Process(clock=virtual_clock())
    failures = {"llm": {"openai": 4}, "stt": {}}
    found = samples(metrics_of(process, watch=Seen(), failures=failures))
    assert found["parley_loop_stalls_total", frozenset(("code",))] == 3
    assert found["parley_loop_stall_seconds_total", frozenset(("code",))] == 0.42
    assert found["parley_invariant_violations_total", frozenset(("speaking_sends_bytes",))] == 2
    assert found["parley_failovers_total", frozenset(("llm", "openai"))] == 4
    await process.close()


@virtually
async def test_tasks_and_objects_are_counted_so_that_a_leak_shows() -> None:
    process = Process(clock=virtual_clock())
    metrics = metrics_of(process)
    before = samples(metrics)
    held = [object() for _ in range(50_000)]
    tasks = [asyncio.create_task(asyncio.sleep(1)) for _ in range(20)]
    after = samples(metrics)
    assert after["parley_tasks", NONE] == before["parley_tasks", NONE] + 20
    assert after["parley_objects", NONE] > before["parley_objects", NONE] + len(held) * 0.9
    await asyncio.gather(*tasks)
    assert samples(metrics)["parley_tasks", NONE] == before["parley_tasks", NONE]
    await process.close()


@virtually
async def test_what_providers_count_is_told() -> None:
    class Vendor:
        connections = ConnectStats(opened=2, connect_ms=300.0)

    process = Process(clock=virtual_clock())
    found = samples(metrics_of(process, providers=[("stt", "vendor", Vendor())]))
    assert found["parley_provider_events_total", frozenset(("stt", "vendor", "opened"))] == 2
    assert found["parley_provider_connect_seconds_total", frozenset(("stt", "vendor"))] == 0.3
    await process.close()


@virtually
async def test_the_certificates_end_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    process = Process(clock=virtual_clock())
    certificate = tmp_path / "certificate.pem"
    self_signed(certificate, tmp_path / "key.pem")
    end = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc.timestamp()
    name = "parley_tls_certificate_expiry_timestamp_seconds"
    assert samples(metrics_of(process, certificate=certificate))[name, NONE] == end
    certificate.write_text("no certificate")
    assert (name, NONE) not in samples(metrics_of(process, certificate=certificate))
    assert "cannot be read" in caplog.text
    await process.close()


@virtually
async def test_throttling_and_memory_of_the_cgroup_are_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = tmp_path / "sys/fs/cgroup/pod7"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/pod7\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal: 8000 kB\nMemAvailable: 6000 kB\n")
    (group / "cpu.stat").write_text("nr_periods 50\nnr_throttled 12\nthrottled_usec 3500000\n")
    (group / "memory.current").write_text("3000000\n")
    (group / "memory.max").write_text("4000000\n")
    monkeypatch.setattr("agent.metrics.collect.Host", lambda: Host(tmp_path))

    process = Process(clock=virtual_clock())
    found = samples(metrics_of(process))
    assert found["parley_cpu_throttled_periods_total", NONE] == 12
    assert found["parley_cpu_throttled_seconds_total", NONE] == 3.5
    assert found["parley_memory_used_bytes", NONE] == 3_000_000
    assert found["parley_memory_limit_bytes", NONE] == 4_000_000
    await process.close()


@virtually
async def test_what_is_exposed_and_what_is_named_are_the_same(tmp_path: Path) -> None:
    process = Process(clock=virtual_clock())
    certificate = tmp_path / "certificate.pem"
    self_signed(certificate, tmp_path / "key.pem")
    text = metrics_of(process, certificate=certificate).exposition().decode()
    found = {family.name: family for family in text_string_to_metric_families(text)}
    named = {metric.name.removesuffix("_total"): metric for metric in METRICS}
    # The cgroup of a test's machine may have no quota, and then no such counters.
    optional = {"parley_cpu_throttled_periods", "parley_cpu_throttled_seconds"}
    assert {name for name in found if name.startswith("parley_")} - optional == set(named) - optional
    for name in set(found) & set(named):
        assert (found[name].type, found[name].documentation) == (named[name].kind, named[name].text)
    standard = {sample.name for family in found.values() for sample in family.samples}
    assert set(PROCESS_METRICS) <= standard
    await process.close()


def test_names_follow_the_conventions() -> None:
    for metric in METRICS:
        assert metric.name.startswith("parley_")
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert "_ms" not in metric.name
        assert metric.text[0].isupper() or metric.text[0].isdigit()
        assert not metric.text.endswith(".")
    assert len({metric.name for metric in METRICS}) == len(METRICS)


@virtually
async def test_a_book_without_turns_has_nothing_to_tell() -> None:
    assert LatencyBook(["en"], virtual_clock()).summary()["stages"] == {}
