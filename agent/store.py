"""What was said and how long it took, kept in a local SQLite file for reports.

Calls hand their turns over on the event loop, which costs a few microseconds; a thread of its own writes them
in batches. The file is bounded by age and size. Words are only kept where the operator asks for it.
"""

import logging
import queue
import sqlite3
import threading
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from agent.errors import ConfigError
from agent.records import CallObserver, CallRecord, TurnRecord

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 2
READABLE = (1, SCHEMA_VERSION)
"""Versions that reports can read. 1 has no `blown` in its turns; a process that writes makes it a 2."""
QUEUE_SIZE = 10_000
"""Rows that may wait for the writer: at 200 calls several minutes of a disk that hangs."""
BATCH = 500
BATCH_S = 1.0
"""Rows are written once a second: what a crash can lose."""
BUSY_S = 5.0
"""How long a writer waits for another process's transaction."""
MAX_AGE_DAYS = 30.0
MAX_BYTES = 500 * 1024 * 1024
PRUNE_EVERY = 600
"""Batches between two looks at age and size."""
PRUNED_SHARE = 0.1
"""Of the turns, the oldest, when the file is too large."""
CLOSE_S = 10.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    call_id TEXT PRIMARY KEY, transport TEXT NOT NULL, language TEXT NOT NULL,
    started_unix_s REAL NOT NULL, ended_unix_s REAL NOT NULL, cause TEXT NOT NULL, counters TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS calls_by_time ON calls (ended_unix_s);
CREATE TABLE IF NOT EXISTS turns (
    call_id TEXT NOT NULL, turn INTEGER NOT NULL, unix_s REAL NOT NULL, transport TEXT NOT NULL,
    language TEXT NOT NULL, kind TEXT NOT NULL, interrupted INTEGER NOT NULL, answered INTEGER NOT NULL,
    cache TEXT NOT NULL, stages TEXT NOT NULL, providers TEXT NOT NULL, tools TEXT NOT NULL,
    caller TEXT NOT NULL, agent TEXT NOT NULL, blown TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (call_id, turn)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS turns_by_time ON turns (unix_s);
"""
_ADD_CALL = "INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?, ?, ?, ?)"
_ADD_TURN = "INSERT OR REPLACE INTO turns VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FROM_VERSION_1 = "ALTER TABLE turns ADD COLUMN blown TEXT NOT NULL DEFAULT '{}'"
"""It only changes the schema, whatever the number of turns (SQLite, "ALTER TABLE ADD COLUMN")."""

Row = tuple[str, tuple[Any, ...]]
"""A statement and its values."""


def store_path(environ: Mapping[str, str]) -> Path | None:
    """`PARLEY_STORE`: a file, or `off`; by default in the user's state folder.

    That is what the XDG base directories say; a process without a home stores nothing.
    """
    given = environ.get("PARLEY_STORE", "").strip()
    if given.lower() == "off":
        return None
    if given:
        return Path(given)
    state, home = environ.get("XDG_STATE_HOME", ""), environ.get("HOME", "")
    if state.startswith("/"):
        return Path(state) / "parley" / "turns.sqlite3"
    return Path(home) / ".local" / "state" / "parley" / "turns.sqlite3" if home else None


def open_store(path: Path, *, write: bool) -> sqlite3.Connection:
    """Open the file, or make it (`write`). Raises `ConfigError` for one that cannot be used."""
    try:
        with ExitStack() as unless_usable:
            found = unless_usable.enter_context(closing(_connect(path, write=write)))
            if write:
                found.execute("PRAGMA auto_vacuum = INCREMENTAL")
                found.execute("PRAGMA journal_mode = WAL")
                found.execute("PRAGMA synchronous = NORMAL")
            version = _version(found)
            if version not in ((0, *READABLE) if write else READABLE):
                raise ConfigError(f"{path}: written by another version of Parley ({version})")
            if write:
                _migrate(found)
            unless_usable.pop_all()
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(f"{path}: cannot be used as the store: {error}") from error
    return found


def _connect(path: Path, *, write: bool) -> sqlite3.Connection:
    if write:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        return sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False, isolation_level=None)
    if not path.exists():
        raise ConfigError(f"{path}: there is no such file; the server writes it (PARLEY_STORE)")
    return sqlite3.connect(f"file:{path}?mode=ro", timeout=BUSY_S, uri=True)


def _version(store: sqlite3.Connection) -> int:
    """0: a new file."""
    return int(store.execute("PRAGMA user_version").fetchone()[0])


def _migrate(store: sqlite3.Connection) -> None:
    """Make the tables, or bring those of an older version up to this one. Raises `sqlite3.Error`."""
    store.execute("BEGIN IMMEDIATE")
    # Read under the lock: several processes may start at once and share the file.
    if _version(store) == 1:
        store.execute(_FROM_VERSION_1)
    for statement in filter(str.strip, _SCHEMA.split(";")):
        store.execute(statement)
    store.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    store.execute("COMMIT")


class TurnStore(CallObserver):
    """Observer of all calls. Called on the event loop; never waits."""

    def __init__(
        self,
        path: Path,
        *,
        words: bool = False,
        max_age_days: float = MAX_AGE_DAYS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """Opens the file and starts the writer. `words`: keep what both sides said. Raises `ConfigError`."""
        self._words = words
        self._done: dict[str, int] = {}
        """By call: turns handed over."""
        self._queue: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
        """Bounded by `_put`. Nobody holds a lock of it: the event loop never waits for the writer."""
        self.dropped = 0
        """Rows lost because the disk did not keep up."""
        self._writer = _Writer(open_store(path, write=True), self._queue, max_age_days, max_bytes)
        self._writer.start()

    def turn_ended(self, call: CallRecord, turn: TurnRecord) -> None:
        """A turn sounds, so the ones before it are complete."""
        self._hand_over(call, turn.index)

    def turn_leaves(self, call: CallRecord, turn: TurnRecord) -> None:
        """See `agent.records.CallObserver`. As a rule it was handed over long ago."""
        self._hand_over(call, turn.index + 1)

    def call_ended(self, call: CallRecord) -> None:
        """See `agent.records.CallObserver`."""
        self._hand_over(call, call.turn_count)
        self._done.pop(call.call_id, None)
        info = call.info
        self._put(
            _ADD_CALL,
            (
                call.call_id, info.transport, call.language, call.started_unix_s, call.ended_unix_s or 0.0,
                call.cause, _json(asdict(call.counters)),
            ),
        )  # fmt: skip

    def close(self) -> None:
        """Write what is left. Blocks, `CLOSE_S` at most. Idempotent."""
        if self._writer.is_alive():
            self._writer.stopping.set()
            self._queue.put(None)
            self._writer.join(CLOSE_S)
            if self._writer.is_alive():
                logger.error("the store did not finish writing within %d s", CLOSE_S)

    def _hand_over(self, call: CallRecord, until: int) -> None:
        begin = self._done.get(call.call_id, 0)
        for turn in call.between(begin, until):
            self._put(_ADD_TURN, self._turn_row(call, turn))
        self._done[call.call_id] = max(begin, until)

    def _turn_row(self, call: CallRecord, turn: TurnRecord) -> tuple[Any, ...]:
        caller, agent = (turn.caller, turn.agent) if self._words else ("", "")
        stages = {stage.value: round(value, 2) for stage, value in turn.stages.items()}
        blown = {stage.value: action for stage, action in turn.blown.items()}
        return (
            call.call_id, turn.index, call.started_unix_s + turn.at_ms / 1000, call.info.transport,
            turn.language, turn.kind, turn.interrupted, turn.answered, turn.cache, _json(stages),
            _json(turn.providers), _json(turn.tools), caller, agent, _json(blown),
        )  # fmt: skip

    def _put(self, statement: str, values: tuple[Any, ...]) -> None:
        if self._queue.qsize() < QUEUE_SIZE:
            self._queue.put((statement, values))
            return
        self.dropped += 1
        if self.dropped == 1:
            logger.warning("the store cannot keep up: turns are lost to reports")


class _Writer(threading.Thread):
    """Owns the connection from its start on."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        rows: "queue.SimpleQueue[Row | None]",
        max_age_days: float,
        max_bytes: int,
    ) -> None:
        super().__init__(name="turn store", daemon=True)
        self._connection = connection
        self._rows = rows
        self._max_age_days = max_age_days
        self._max_bytes = max_bytes
        self._batches = 0
        self.stopping = threading.Event()

    def run(self) -> None:
        """Until told to stop and nothing is left."""
        with closing(self._connection):
            while not (self.stopping.is_set() and self._rows.empty()):
                batch = self._collect()
                if batch:
                    self._guarded(batch)

    def _collect(self) -> list[Row]:
        """Rows of one batch: waits for the first, then takes what comes within a second."""
        try:
            first = self._rows.get(timeout=BATCH_S)
        except queue.Empty:
            return []
        batch = [first] if first is not None else []
        if first is not None:
            self.stopping.wait(BATCH_S)
        while len(batch) < BATCH:
            try:
                row = self._rows.get_nowait()
            except queue.Empty:
                break
            if row is not None:
                batch.append(row)
        return batch

    def _guarded(self, batch: list[Row]) -> None:
        try:
            self._write(batch)
            if self._batches % PRUNE_EVERY == 0:
                self._prune()
            self._batches += 1
        except sqlite3.Error:
            logger.exception("%d turns and calls could not be stored", len(batch))

    def _write(self, batch: list[Row]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement, values in batch:
                connection.execute(statement, values)
        except sqlite3.Error:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def _prune(self) -> None:
        """Forget what is too old; when the file is too large, the oldest tenth."""
        connection = self._connection
        for table, column in (("turns", "unix_s"), ("calls", "ended_unix_s")):
            old = f"{column} < unixepoch() - ? * 86400"
            connection.execute(f"DELETE FROM {table} WHERE {old}", (self._max_age_days,))  # noqa: S608  # ours
        while self._size() > self._max_bytes:
            count = connection.execute("SELECT count(*) FROM turns").fetchone()[0]
            some = max(int(count * PRUNED_SHARE), 1)
            row = connection.execute(
                "SELECT unix_s FROM turns ORDER BY unix_s LIMIT 1 OFFSET ?", (min(some, count - 1),)
            ).fetchone()
            if row is None:
                break
            connection.execute("DELETE FROM turns WHERE unix_s <= ?", row)
            connection.execute("DELETE FROM calls WHERE ended_unix_s <= ?", row)
        connection.execute("PRAGMA incremental_vacuum").fetchall()

    def _size(self) -> int:
        """Bytes of the file that hold something."""
        used = "SELECT page_count - freelist_count FROM pragma_page_count, pragma_freelist_count"
        pages = int(self._connection.execute(used).fetchone()[0])
        return pages * int(self._connection.execute("PRAGMA page_size").fetchone()[0])


def _json(content: object) -> str:
    return orjson.dumps(content).decode()
