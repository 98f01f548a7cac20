"""`parley replay`."""

import asyncio
import json
from pathlib import Path

import pytest

from agent.cli import main
from agent.clock import LoopClock
from tests.agent.replay.scene import Scene, tapes


@pytest.fixture
async def recorded(tmp_path: Path) -> Path:
    stage = Scene(tmp_path, LoopClock())
    line = stage.media()
    await stage.quiet(line, 200)
    await line.call.hung_up("caller_hung_up")
    await stage.close()
    return tapes(tmp_path)[0]


async def replay(*arguments: str) -> int:
    return await asyncio.to_thread(main, ["replay", *arguments])


async def test_the_same_call_again(
    recorded: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    saved = tmp_path / "out.json"
    assert await replay(str(recorded), "--decisions", "--json", str(saved)) == 0
    out = capsys.readouterr().out
    assert "byte for byte" in out
    assert "greeting" in out
    assert "send audio=" in out
    summary = json.loads(saved.read_text())
    assert (summary["first_difference"], summary["cause"]) == (None, "caller_hung_up")


async def test_with_another_agent_file_the_first_difference_is_shown(
    recorded: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(
        "name: Other\nlanguages: [en-US]\ngreeting: Good day.\ninstructions: Be kind.\nunknown: No idea.\n"
    )
    assert await replay(str(recorded), "--agent", str(other)) == 1
    out = capsys.readouterr().out
    assert "different, from decision 0" in out
    assert 'languages=["en-US"]' in out


async def test_what_is_no_recording_is_a_mistake_of_the_operator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await replay(str(tmp_path / "none")) == 2
    assert "No such file" in capsys.readouterr().err
