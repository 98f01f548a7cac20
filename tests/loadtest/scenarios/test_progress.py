import io

import pytest
from rich.console import Console

from loadtest.scenarios.progress import LiveProgress, PlainProgress, progress_for
from tests.loadtest.scenarios.runs import point


def test_a_log_gets_a_line_now_and_then_and_one_for_each_error(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainProgress("quick") as progress:
        progress.say("10 calls, 20 s")
        for second in range(1, 11):
            progress.point(point(float(second), errors=int(second == 8)))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "quick: 10 calls, 20 s"
    assert [line.split(",")[0] for line in lines[1:]] == [f"quick: second {second}" for second in (1, 6, 8)]
    assert "errors 1" in lines[-1]
    assert "p95 ms 590" in lines[-1]


def test_a_terminal_has_a_live_table_that_vanishes_and_keeps_what_was_said() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    progress = progress_for("quick", console)
    assert isinstance(progress, LiveProgress)
    with progress:
        progress.say("10 calls, 20 s")
        for second in range(30):
            progress.point(point(float(second), calls=9))
    shown = screen.getvalue()
    assert "10 calls, 20 s" in shown
    assert "9/10" in shown, "calls that are on, of those that should be"
    assert "Ctrl-C" in shown


def test_without_a_terminal_there_are_lines() -> None:
    assert isinstance(progress_for("quick", Console(file=io.StringIO())), PlainProgress)
