"""What is on a tape, and what files are taken for one."""

import gzip
from pathlib import Path

import pytest

from agent.clock import LoopClock
from agent.replay import tape
from agent.replay.tape import LiveTape, RecordingError, load_recording, save_recording


async def test_a_tape_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    live = LiveTape(LoopClock(), {"agent": {"name": "x"}, "unix_s": 1.5})
    live.decide("lost", reason="nothing has reached the call yet")
    live.stimulus("hear", audio="AAAA", stream_ms=20.0)
    readings = [live.reading(), live.reading()]
    live.decide("send", audio="////")
    live.stimulus("timer", n=1)
    path = tmp_path / "a.call.gz"
    save_recording(path, live.finish())
    found = load_recording(path)
    assert found.header == {"version": 1, "agent": {"name": "x"}, "unix_s": 1.5}
    first, second = found.entries
    assert (first.kind, first.fields, first.readings) == (
        "hear", {"audio": "AAAA", "stream_ms": 20.0}, readings,
    )  # fmt: skip
    assert found.decisions == [{"do": "send", "audio": "////"}]
    assert (first.joined, second.joined) == (False, True)  # no iteration of the loop in between
    assert path.stat().st_mode & 0o077 == 0


async def test_a_full_tape_stops_and_says_so(tmp_path: Path) -> None:
    live = LiveTape(LoopClock(), {}, max_bytes=1_000)
    for _ in range(100):
        live.stimulus("hear", audio="A" * 100)
    assert live.full
    path = tmp_path / "a.call.gz"
    save_recording(path, live.finish())
    found = load_recording(path)
    assert not found.complete
    assert 5 < len(found.entries) < 10


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not a recording"),
        (b"no json", "not a recording"),
        (b"[]", "not a recording"),
        (b'{"version":1}\n{"kind":"hear"}', "not a recording"),
        (b'{"version":7}', "version 7"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "a.call.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(RecordingError, match=complaint):
        load_recording(path)


def test_files_that_cannot_be_unpacked_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.call.gz"
    with pytest.raises(RecordingError, match="No such file"):
        load_recording(path)
    path.write_bytes(b"plain text")
    with pytest.raises(RecordingError):
        load_recording(path)
    path.write_bytes(gzip.compress(b"x" * 1_000)[:-12])
    with pytest.raises(RecordingError):
        load_recording(path)
    monkeypatch.setattr(tape, "MAX_FILE_BYTES", 10_000)
    path.write_bytes(gzip.compress(b"0" * 200_000))
    with pytest.raises(RecordingError, match="larger than"):
        load_recording(path)
