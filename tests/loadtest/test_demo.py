"""The demo's latency table."""

import io
from typing import Any, cast

from rich.console import Console

from loadtest.callers.plan import CallAccount
from loadtest.callers.result import CallerTurn, CallResult
from loadtest.callers.session import Session
from loadtest.demo import latency_table


def test_each_turn_shows_both_ends() -> None:
    result = CallResult("CA1", "twilio")
    result.turns = [
        CallerTurn(0, "When?", answered=True, response_ms=512.3),
        CallerTurn(1, "Where?", answered=True, response_ms=480.0, barge_in_stop_ms=139.6),
        CallerTurn(2, "Bye"),
    ]
    server: dict[str, Any] = {
        "turns": [
            {"kind": "greeting", "agent": "Welcome", "stages": {"response": 1.0}},
            {"kind": "speech", "stages": {"response": 490.1, "endpointing": 300.2, "added": 2.34}},
            {"kind": "reprompt", "stages": {}},
            {"kind": "speech", "stages": {"response": 455.0}},
        ]
    }
    out = io.StringIO()
    account = CallAccount(cast("Session", type("Made", (), {"result": result})()), server, None)
    Console(file=out, width=160).print(latency_table(account))
    rows = [
        [cell.strip() for cell in row.split("│")[1:-1]] for row in out.getvalue().splitlines() if "│" in row
    ]
    assert rows == [
        ["When?", "512", "-", "490", "300", "-", "-", "-", "2.3"],
        ["Where?", "480", "140", "455", "-", "-", "-", "-", "-"],
        ["Bye", "-", "-", "-", "-", "-", "-", "-", "-"],
    ]
