"""Turns on their way to the disk."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent import store as module
from agent.errors import ConfigError
from agent.latency import Stage
from agent.lines import CallInfo
from agent.records import CallRecord, TurnRecord
from agent.report.figures import make_report
from agent.store import TurnStore, open_store, store_path

NOW = 1_900_000_000.0
_CONNECT = sqlite3.connect


def call(name: str = "c1", turns: int = 2, ended_unix_s: float = NOW) -> CallRecord:
    record = CallRecord(
        name, CallInfo("twilio-media", "CA1", caller="+442079460958"), ended_unix_s - 60, "en"
    )
    for index in range(turns):
        stages = {Stage.RESPONSE: 500.25 + index}
        record.turns.append(
            TurnRecord(index, index * 5_000.0, "en", "when?", "Nine.", stages=stages, providers={"llm": "a"})
        )
    record.ended_unix_s, record.cause = ended_unix_s, "caller_hung_up"
    return record


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = open_store(path, write=False)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_a_call_and_its_turns_are_found_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "turns.sqlite3"
    store = TurnStore(path)
    store.call_ended(call())
    store.close()
    assert rows(path, "SELECT call_id, turn, unix_s, stages, providers FROM turns") == [
        ("c1", 0, NOW - 60, '{"response":500.25}', '{"llm":"a"}'),
        ("c1", 1, NOW - 55, '{"response":501.25}', '{"llm":"a"}'),
    ]
    assert rows(path, "SELECT transport, cause FROM calls") == [("twilio-media", "caller_hung_up")]
    assert path.stat().st_mode & 0o077 == 0


def test_blown_budgets_are_kept_with_their_turn(tmp_path: Path) -> None:
    path = tmp_path / "s"
    store = TurnStore(path)
    record = call()
    record.turns[1].blown = {Stage.LLM_FIRST_TOKEN: "filler", Stage.RESPONSE: "none"}
    store.call_ended(record)
    store.close()
    assert rows(path, "SELECT turn, blown FROM turns") == [
        (0, "{}"),
        (1, '{"llm_first_token":"filler","response":"none"}'),
    ]


def test_a_turn_that_leaves_its_record_is_stored_once_and_later_ones_in_their_place(tmp_path: Path) -> None:
    path = tmp_path / "s"
    store = TurnStore(path)
    record = call(turns=4)
    store.turn_ended(record, record.turns[1])  # the first is stored
    for _ in range(2):
        # The second never sounded, and nobody has asked for it yet.
        store.turn_leaves(record, record.turns[0])
        record.let_go()
    store.turn_ended(record, record.turns[1])
    store.call_ended(record)
    store.close()
    assert store.dropped == 0
    assert rows(path, "SELECT turn, stages FROM turns ORDER BY turn") == [
        (turn, f'{{"response":{500.25 + turn}}}') for turn in range(4)
    ]


VERSION_1 = """
CREATE TABLE calls (
    call_id TEXT PRIMARY KEY, transport TEXT NOT NULL, language TEXT NOT NULL,
    started_unix_s REAL NOT NULL, ended_unix_s REAL NOT NULL, cause TEXT NOT NULL, counters TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE turns (
    call_id TEXT NOT NULL, turn INTEGER NOT NULL, unix_s REAL NOT NULL, transport TEXT NOT NULL,
    language TEXT NOT NULL, kind TEXT NOT NULL, interrupted INTEGER NOT NULL, answered INTEGER NOT NULL,
    cache TEXT NOT NULL, stages TEXT NOT NULL, providers TEXT NOT NULL, tools TEXT NOT NULL,
    caller TEXT NOT NULL, agent TEXT NOT NULL, PRIMARY KEY (call_id, turn)
) WITHOUT ROWID;
PRAGMA user_version = 1;
"""


def version_1(path: Path) -> None:
    """A file as servers wrote it before turns had budgets."""
    connection = sqlite3.connect(path)
    connection.executescript(VERSION_1)
    turn = ("old", 0, NOW - 100, "webrtc", "en", "speech", 0, 1, "", '{"response":480.0}', "{}", "[]", "", "")
    with connection:
        connection.execute(f"INSERT INTO turns VALUES ({', '.join('?' * len(turn))})", turn)
    connection.close()


def test_a_file_of_an_older_version_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "s"
    version_1(path)
    with closing(open_store(path, write=False)) as store:
        found = make_report(store, NOW - 1_000, NOW)
    assert (found.turns, found.over_budget, found.blown) == (1, 0, {})
    assert found.stages["response"].p50 == 480.0
    assert rows(path, "PRAGMA user_version") == [(1,)]


def test_a_file_of_an_older_version_is_brought_up_to_date_by_the_server(tmp_path: Path) -> None:
    path = tmp_path / "s"
    version_1(path)
    # Two processes share the file: the second finds it done.
    first, second = TurnStore(path), TurnStore(path)
    record = call(turns=1)
    record.turns[0].blown = {Stage.RESPONSE: "filler"}
    first.call_ended(record)
    first.close()
    second.close()
    with closing(open_store(path, write=False)) as store:
        found = make_report(store, NOW - 1_000, NOW + 1)
    assert (found.turns, found.over_budget, found.blown) == (2, 1, {"response": {"filler": 1}})
    assert rows(path, "SELECT call_id, blown FROM turns") == [("c1", '{"response":"filler"}'), ("old", "{}")]
    assert rows(path, "PRAGMA user_version") == [(2,)]


def test_turns_are_stored_as_soon_as_the_next_one_sounds(tmp_path: Path) -> None:
    path = tmp_path / "s"
    store = TurnStore(path)
    record = call(turns=3)
    store.turn_ended(record, record.turns[0])
    store.turn_ended(record, record.turns[2])
    store.close()
    assert rows(path, "SELECT turn FROM turns") == [(0,), (1,)]


@pytest.mark.parametrize(("words", "kept"), [(False, ("", "")), (True, ("when?", "Nine."))])
def test_words_are_kept_only_on_request_and_numbers_never(
    tmp_path: Path, words: bool, kept: tuple[str, str]
) -> None:
    path = tmp_path / "s"
    store = TurnStore(path, words=words)
    store.call_ended(call(turns=1))
    store.close()
    assert rows(path, "SELECT caller, agent FROM turns") == [kept]
    assert b"2079460958" not in path.read_bytes()


def test_a_disk_that_hangs_costs_rows_not_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "QUEUE_SIZE", 5)
    hangs = threading.Event()
    monkeypatch.setattr(module._Writer, "_write", lambda self, batch: hangs.wait(5))
    store = TurnStore(tmp_path / "s")
    for number in range(20):
        store.call_ended(call(f"c{number}", turns=5))
    assert store.dropped > 0
    assert caplog.text.count("cannot keep up") == 1
    hangs.set()
    store.close()


def test_a_failed_batch_is_reported_and_the_next_one_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "BATCH_S", 0.05)
    path = tmp_path / "s"
    store = TurnStore(path)
    store._put("INSERT INTO nowhere VALUES (?)", (1,))
    threading.Event().wait(0.3)
    store.call_ended(call())
    store.close()
    assert "could not be stored" in caplog.text
    assert rows(path, "SELECT count(*) FROM turns") == [(2,)]


def test_the_file_is_bounded_by_age(tmp_path: Path) -> None:
    path = tmp_path / "s"
    store = TurnStore(path, max_age_days=1.0)
    with closing(sqlite3.connect(":memory:")) as sqlite:
        now = sqlite.execute("SELECT unixepoch()").fetchone()[0]
    store.call_ended(call("old", ended_unix_s=now - 2 * 86_400))
    store.call_ended(call("new", ended_unix_s=float(now)))
    store.close()
    assert rows(path, "SELECT DISTINCT call_id FROM turns UNION SELECT call_id FROM calls") == [("new",)]


def test_the_file_is_bounded_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PRUNE_EVERY", 1)
    path = tmp_path / "s"
    store = TurnStore(path, max_age_days=100_000, max_bytes=100_000)
    for number in range(40):
        store.call_ended(call(f"c{number:03}", turns=30, ended_unix_s=NOW + number * 60))
    store.close()
    ((count, first),) = rows(path, "SELECT count(*), min(call_id) FROM turns")
    assert 0 < int(str(count)) < 40 * 30
    assert first != "c000"


@pytest.mark.parametrize("content", [b"not a database, but long enough to look like one" * 100])
def test_a_file_that_is_no_store_is_a_mistake_of_the_operator(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s"
    with pytest.raises(ConfigError, match="no such file"):
        open_store(path, write=False)
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be used"):
        open_store(path, write=True)
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ConfigError, match="another version"):
        TurnStore(path)


@pytest.mark.parametrize("write", [True, False])
@pytest.mark.parametrize("version", [99, None], ids=["of another version", "no database"])
def test_a_file_that_is_refused_is_not_kept_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int | None, write: bool
) -> None:
    opened: list[sqlite3.Connection] = []
    closed: list[sqlite3.Connection] = []

    class Watched(sqlite3.Connection):
        def close(self) -> None:
            closed.append(self)
            super().close()

    path = tmp_path / "s"
    path.write_bytes(b"not a database, but long enough to look like one" * 100)
    if version:
        path.unlink()
        with closing(sqlite3.connect(path)) as database:
            database.execute(f"PRAGMA user_version = {version}")

    def connect(*where: Any, **how: Any) -> sqlite3.Connection:
        opened.append(_CONNECT(*where, factory=Watched, **how))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", connect)
    with pytest.raises(ConfigError):
        open_store(path, write=write)
    assert len(opened) == 1
    assert closed == opened


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"PARLEY_STORE": "off"}, None),
        ({"PARLEY_STORE": "/data/turns.db"}, "/data/turns.db"),
        ({}, None),
        ({"XDG_STATE_HOME": "/state"}, "/state/parley/turns.sqlite3"),
        ({"HOME": "/home/me", "XDG_STATE_HOME": "relative"}, "/home/me/.local/state/parley/turns.sqlite3"),
    ],
)
def test_where_the_store_is(environ: dict[str, str], expected: str | None) -> None:
    found = store_path(environ)
    assert (None if found is None else str(found)) == expected
