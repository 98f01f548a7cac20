"""What is made of a process's settings."""

import logging
import sys
from contextlib import closing
from pathlib import Path

import pytest

from agent.clock import LoopClock
from agent.errors import ConfigError
from agent.instruments import Instruments
from agent.lines import CallInfo
from agent.metrics import LatencyBook
from agent.records import CallRecord, TurnRecord
from agent.registry import Registry
from agent.replay.record import RecordingRegistry
from agent.replay.tape import load_recording
from agent.store import open_store
from tests.agent.fakes import Process


def instruments(environ: dict[str, str]) -> Instruments:
    clock = LoopClock()
    return Instruments(LatencyBook(["en"], clock), clock, environ)


async def test_calls_are_stored_recorded_and_seen(tmp_path: Path) -> None:
    store, folder = tmp_path / "turns.sqlite3", tmp_path / "calls"
    made = instruments({"PARLEY_STORE": str(store), "PARLEY_RECORD_DIR": str(folder)})
    process = Process()
    registry = made.registry(process.calls._services, process.admission, process.tickets)
    assert isinstance(registry, RecordingRegistry)
    process.calls = registry
    process.media("CA1")
    await process.close()
    await made.close()
    await made.close()
    assert store.exists()
    (recording,) = folder.glob("*.call.gz")
    assert load_recording(recording).entries[-1].fields == {"cause": "drained"}


@pytest.mark.parametrize(("environ", "kept"), [({}, ""), ({"PARLEY_STORE_WORDS": "1"}, "my knee hurts")])
async def test_words_are_stored_only_where_that_is_switched_on(
    environ: dict[str, str], kept: str, tmp_path: Path
) -> None:
    path = tmp_path / "turns.sqlite3"
    made = instruments({"PARLEY_STORE": str(path), **environ})
    record = CallRecord("c1", CallInfo("twilio-media", "CA1"), 1_900_000_000.0, "en")
    record.turns.append(TurnRecord(0, 0.0, "en", "my knee hurts", "I am sorry."))
    record.ended_unix_s = 1_900_000_060.0
    made.observer.call_ended(record)
    await made.close()
    with closing(open_store(path, write=False)) as store:
        assert store.execute("SELECT caller FROM turns").fetchall() == [(kept,)]


async def test_nothing_is_kept_unless_there_is_a_place_for_it() -> None:
    made = instruments({})
    process = Process()
    registry = made.registry(process.calls._services, process.admission, process.tickets)
    assert type(registry) is Registry
    await process.close()
    await made.close()


async def test_a_default_store_that_cannot_be_made_costs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".local").write_text("a file where a folder should be")
    await instruments({"HOME": str(tmp_path)}).close()
    assert "turns are not stored" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PARLEY_STORE", "/dev/null/turns"),
        ("PARLEY_RECORD_DIR", "/dev/null/calls"),
    ],
)
async def test_a_place_that_was_asked_for_must_be_there(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=value):
        instruments({name: value})


@pytest.mark.parametrize("every", ["0", "-1", "some", "1.5"])
async def test_one_call_in_so_many(tmp_path: Path, every: str) -> None:
    with pytest.raises(ConfigError, match="1 or more"):
        instruments({"PARLEY_RECORD_DIR": str(tmp_path), "PARLEY_RECORD_EVERY": every})


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
async def test_a_collector_without_the_extra_says_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    for module in ("agent.otlp", "agent.traces"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(ConfigError, match=r"parley\[otel\]"):
        instruments({name: "http://127.0.0.1:1"})
    await instruments({name: "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}).close()


async def test_the_log_is_listened_to_from_start_to_close() -> None:
    before = list(logging.getLogger().handlers)
    made = instruments({})
    made.start()
    assert len(logging.getLogger().handlers) == len(before) + 1
    await made.close()
    assert logging.getLogger().handlers == before
