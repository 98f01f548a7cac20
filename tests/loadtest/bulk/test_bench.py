"""`make bench` in small: it runs, and says what it should."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.e2e
async def test_a_small_run_measures_every_figure_of_the_table(tmp_path: Path) -> None:
    report = tmp_path / "out" / "bench.json"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.calls", "--calls", "2", "--relay", "0", "--seconds", "3", "--no-targets",
        "--json", report, cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    (run,) = json.loads(report.read_text())["runs"]
    assert (run["kind"], run["calls"], run["callers"]["live"]) == ("media", 2, 2)
    assert run["strict_ms"]["count"] >= 2, "turns were answered and accounted for"
    assert run["callers"]["voice_to_voice_ms"]["count"] >= 2
    assert run["callers"]["barge_in_ms"]["count"] >= 1
    assert run["cpu_ms"] > 0
    assert run["rss_kb"] > 0
    # The server's clock and the callers' agree, but for a busy machine.
    assert run["response_ms"]["p50"] == pytest.approx(run["callers"]["voice_to_voice_ms"]["p50"], abs=60)
