"""Which calls are recorded, and that recording changes nothing for the others."""

from pathlib import Path

import pytest

from agent.clock import LoopClock
from agent.replay import record
from agent.replay.tape import load_recording
from tests.agent.replay.scene import Scene, tapes


async def test_every_second_call(tmp_path: Path) -> None:
    stage = Scene(tmp_path, LoopClock(), every=2)
    for number in range(4):
        stage.media(f"CA{number}")
    await stage.close()
    begins = [load_recording(path).entries[0] for path in tapes(tmp_path)]
    assert {begin.fields["info"]["platform_call_id"] for begin in begins} == {"CA0", "CA2"}


async def test_no_more_than_so_many_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "MAX_RECORDED", 2)
    stage = Scene(tmp_path, LoopClock())
    for number in range(3):
        stage.media(f"CA{number}")
    await stage.calls.hang_up("CA0", "completed")
    stage.media("CA3")
    await stage.close()
    assert len(tapes(tmp_path)) == 3
    assert stage.recorder.skipped == 1


async def test_numbers_of_callers_and_secrets_are_not_on_the_tape(tmp_path: Path) -> None:
    stage = Scene(tmp_path, LoopClock())
    line = stage.media("CA1")
    assert line.call is not None
    await stage.close()
    (path,) = tapes(tmp_path)
    begin = load_recording(path).entries[0]
    assert set(begin.fields["info"]) == {"transport", "platform_call_id", "direction", "language"}


async def test_a_folder_that_cannot_be_written_costs_the_recording_not_the_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Scene(tmp_path / "gone", LoopClock())
    stage.media("CA1")
    (tmp_path / "gone").rmdir()
    await stage.close()
    assert "could not be written" in caplog.text
    assert [call.cause for call in stage.calls.recent] == ["drained"]
