"""A recorded call: what happened to it, in order, and what it did about that.

Theory of operation
-------------------
A call is a function of what reaches it: messages from its line, timers, beats of the playout ticker, what its
providers and tools return, and what the clock says. Everything of that goes on a tape. An *entry* is one such
happening with its moment; under it are the *readings* of the clock that the call took before the next entry,
and the *decisions* that it made (audio, marks, clears, text, requests to providers).

Readings are kept because a decision may hang on a fraction of a millisecond (one frame more or less in a
message), which no timer of another run could repeat. They are kept under their entry, so that code that reads
the clock more or less often than the recorded one falls out of step for one entry only.

Entries of one iteration of the event loop are *joined*: nothing else ran between them.

The file is gzip'd JSON lines: a header, then the entries.
"""

import asyncio
import gzip
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson

from agent.clock import Clock
from agent.errors import ConfigError

VERSION = 1
MAX_TAPE_BYTES = 32 * 1024 * 1024
"""Longest tape, in memory and before compression: about half an hour of a media call in G.711. What comes
after is not recorded, and the tape says so."""
MAX_FILE_BYTES = 8 * MAX_TAPE_BYTES
"""What `load_recording` unpacks at most: a file that somebody else made must not fill the memory."""
_BLOCK_BYTES = 64 * 1024


class RecordingError(ConfigError):
    """A file is no recording, or one of another version. The message says which."""


@dataclass(slots=True)
class Entry:
    """One happening."""

    at_ms: float
    """The recorded clock's time."""
    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    joined: bool = False
    """In the same iteration of the event loop as the entry before it."""
    readings: list[float] = field(default_factory=list)
    """What the clock said to the call from here to the next entry, in order."""
    decisions: list[dict[str, Any]] = field(default_factory=list)
    """What the call did from here to the next entry: each has `do` and its arguments."""

    def line(self) -> bytes:
        """The entry as one line of the file."""
        content: dict[str, Any] = {"at": self.at_ms, "kind": self.kind, **self.fields}
        if self.joined:
            content["joined"] = True
        if self.readings:
            content["read"] = self.readings
        if self.decisions:
            content["did"] = self.decisions
        return orjson.dumps(content) + b"\n"


@dataclass(slots=True)
class Recording:
    """A whole recorded call."""

    header: dict[str, Any]
    """`version`, `parley`, `agent` (the agent file), `call_id`, `unix_s`."""
    entries: list[Entry]
    complete: bool = True
    """False: the tape was full before the call was over."""

    @property
    def decisions(self) -> list[dict[str, Any]]:
        """All that the call did, in order."""
        return [decision for entry in self.entries for decision in entry.decisions]


class Tape(Protocol):
    """What the taps around a call report to."""

    def stimulus(self, kind: str, /, **fields: Any) -> None:
        """Something reached the call."""

    def decide(self, do: str, /, **fields: Any) -> None:
        """The call did something."""


class LiveTape:
    """Takes a call down while it happens. Event loop only."""

    def __init__(self, clock: Clock, header: dict[str, Any], max_bytes: int = MAX_TAPE_BYTES) -> None:
        self._clock = clock
        self._lines = [orjson.dumps({"version": VERSION, **header}) + b"\n"]
        self._size = 0
        self._max_bytes = max_bytes
        self._entry: Entry | None = None
        self._joined = False
        self.full = False

    def reading(self) -> float:
        """The clock's time, in whole microseconds; remembered."""
        now_ms = round(self._clock.now_ms(), 3)
        if self._entry is not None:
            self._entry.readings.append(now_ms)
        return now_ms

    def stimulus(self, kind: str, /, **fields: Any) -> None:
        """See `Tape`."""
        self._end_entry()
        if self.full:
            return
        self._entry = Entry(round(self._clock.now_ms(), 3), kind, fields, joined=self._joined)
        if not self._joined:
            self._joined = True
            asyncio.get_running_loop().call_soon(self._iterated)

    def decide(self, do: str, /, **fields: Any) -> None:
        """See `Tape`."""
        if self._entry is not None:
            self._entry.decisions.append({"do": do, **fields})

    def finish(self) -> list[bytes]:
        """The file's lines. Nothing is recorded afterwards."""
        self._end_entry()
        self.full = True
        lines, self._lines = self._lines, []
        return lines

    def _iterated(self) -> None:
        self._joined = False

    def _end_entry(self) -> None:
        entry, self._entry = self._entry, None
        if entry is None or self.full:
            return
        line = entry.line()
        self._size += len(line)
        if self._size > self._max_bytes:
            self.full = True
            line = orjson.dumps({"at": entry.at_ms, "kind": "full"}) + b"\n"
        self._lines.append(line)


def save_recording(path: Path, lines: list[bytes]) -> None:
    """Write a tape's lines, for the owner only: it holds voices and words. Blocks; raises `OSError`."""
    part = path.with_suffix(".part")
    part.touch(mode=0o600)
    with gzip.open(part, "wb", compresslevel=3) as file:
        file.writelines(lines)
    part.replace(path)


def load_recording(path: Path) -> Recording:
    """Read a file. Raises `RecordingError` for one that cannot be read or is no recording."""
    try:
        header, *rest = _unpacked(path).splitlines()
        found = orjson.loads(header)
        if found.get("version") != VERSION:
            raise RecordingError(f"{path}: a recording of version {found.get('version')}, not {VERSION}")
        entries = [_entry(orjson.loads(line)) for line in rest]
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, zlib.error) as error:
        raise RecordingError(f"{path}: not a recording ({error})") from None
    complete = not entries or entries[-1].kind != "full"
    return Recording(found, [entry for entry in entries if entry.kind != "full"], complete)


def _unpacked(path: Path) -> bytes:
    blocks: list[bytes] = []
    size = 0
    with gzip.open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            size += len(block)
            if size > MAX_FILE_BYTES:
                raise RecordingError(f"{path}: larger than {MAX_FILE_BYTES} bytes unpacked")
            blocks.append(block)
    return b"".join(blocks)


def _entry(content: dict[str, Any]) -> Entry:
    return Entry(
        float(content.pop("at")),
        str(content.pop("kind")),
        joined=bool(content.pop("joined", False)),
        readings=[float(reading) for reading in content.pop("read", ())],
        decisions=list(content.pop("did", ())),
        fields=content,
    )
