"""`parley report`, from a store as the server writes it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.cli import main
from agent.latency import Stage
from agent.lines import CallInfo
from agent.records import CallRecord, TurnRecord
from agent.store import TurnStore


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "turns.sqlite3"
    store = TurnStore(path)
    now = datetime.now(UTC).timestamp()
    for number in range(20):
        transport = ("twilio-media", "telnyx-media")[number % 2]
        began = now - 3_600 * (number + 0.5)
        record = CallRecord(f"c{number}", CallInfo(transport, f"CA{number}"), began, "en")
        for index in range(5):
            stages = {Stage.RESPONSE: 400.0 + 10 * number + index, Stage.LLM_FIRST_TOKEN: 100.0 + index}
            turn = TurnRecord(index, index * 5_000.0, "en", "x", "y", answered=index != 3, stages=stages)
            turn.providers = {"llm": "<openai>"}
            turn.interrupted = index == 2
            if index == 4:
                turn.blown = {Stage.LLM_FIRST_TOKEN: ("smaller_model", "none")[number % 2]}
            record.turns.append(turn)
        record.ended_unix_s, record.cause = began + 30, "caller_hung_up"
        record.counters.provider_failures = 1
        store.call_ended(record)
    store.close()
    return path


def report(*arguments: str) -> int:
    return main(["report", *arguments])


def test_percentiles_and_trends(stored: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    saved = tmp_path / "out.json"
    assert report("--store", str(stored), "--json", str(saved)) == 0
    out = capsys.readouterr().out
    assert "20 calls, 100 turns" in out
    assert "20 turns interrupted, 20 unanswered, 20 provider failures" in out
    assert "response by transport" in out
    found = json.loads(saved.read_text())
    assert found["stages"]["response"] == {
        "count": 100, "p50": 494.0, "p95": 584.0, "p99": 593.0, "max": 594.0,
    }  # fmt: skip
    assert set(found["by"]["transport"]) == {"twilio-media", "telnyx-media"}
    assert found["providers"]["llm <openai>"]["count"] == 100
    assert sum(step["turns"] for step in found["trend"]) == 100


def test_blown_budgets_are_told_with_what_was_done(
    stored: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    saved, page = tmp_path / "out.json", tmp_path / "report.html"
    assert report("--store", str(stored), "--json", str(saved), "--html", str(page)) == 0
    told = "20 turns over a budget: llm first token 20 (none 10, smaller model 10)"
    assert told in " ".join(capsys.readouterr().out.split())
    found = json.loads(saved.read_text())
    assert found["over_budget"] == 20
    assert found["blown"] == {"llm_first_token": {"none": 10, "smaller_model": 10}}
    assert "<td>llm first token<td>smaller model<td>10" in page.read_text()


def test_only_what_was_asked_for(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report("--store", str(stored), "--since", "3h") == 0
    assert "3 calls, 15 turns" in capsys.readouterr().out


def test_a_page_that_needs_nothing_else(stored: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert report("--store", str(stored), "--html", str(page)) == 0
    text = page.read_text()
    assert "&lt;openai&gt;" in text
    assert "<openai>" not in text
    assert "src=" not in text
    assert "http" not in text


def test_nothing_stored_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "turns.sqlite3"
    TurnStore(path).close()
    assert report("--store", str(path)) == 0
    assert "Nothing is stored" in capsys.readouterr().out


@pytest.mark.parametrize("span", ["24", "h", "0h", "-3h", "soon"])
def test_spans_that_make_no_sense(span: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        report(f"--since={span}")
    assert "such as 24h" in capsys.readouterr().err


def test_no_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert report("--store", str(tmp_path / "none")) == 2
    assert "no such file" in capsys.readouterr().err
    monkeypatch.setenv("PARLEY_STORE", "off")
    assert report() == 2
    assert "nothing is stored" in capsys.readouterr().err
