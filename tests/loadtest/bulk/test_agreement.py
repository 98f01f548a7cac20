from typing import Any

import pytest

from loadtest.bulk.agreement import agreement_of
from loadtest.bulk.figures import Answered

UNIX_LESS_CLOCK_MS = 1_000_000.0


def record(*turns: dict[str, Any], call_id: str = "CA1", transport: str = "twilio-media") -> dict[str, Any]:
    """A call that began at 0 of the callers' clock."""
    return {
        "call_id": "c-1", "platform_call_id": call_id, "transport": transport,
        "started_unix_s": UNIX_LESS_CLOCK_MS / 1000, "turns": list(turns),
    }  # fmt: skip


def turn(at_ms: float, response_ms: float | None, caller: str = "hello") -> dict[str, Any]:
    return {
        "at_ms": at_ms,
        "caller": caller,
        "stages": {} if response_ms is None else {"response": response_ms},
    }


def apart(answered: list[Answered], *records: dict[str, Any]) -> tuple[dict[str, list[float]], int]:
    found = agreement_of(answered, records, UNIX_LESS_CLOCK_MS)
    return found.apart_ms, found.unpaired


def test_turns_are_paired_by_call_and_time() -> None:
    mine = [Answered("CA1", 5_000, 341.5), Answered("CA1", 9_000, 330), Answered("CA2", 5_000, 500)]
    theirs = [
        record(turn(0, None, caller=""), turn(5_301, 340), turn(9_301, 332)),
        record(turn(5_301, 480), call_id="CA2", transport="telnyx-media"),
    ]
    assert apart(mine, *theirs) == ({"twilio-media": [1.5, -2.0], "telnyx-media": [20.0]}, 0)


def test_an_answer_without_an_account_does_not_shift_those_behind_it() -> None:
    mine = [Answered("CA1", 5_000, 1_500), Answered("CA1", 9_000, 341)]
    assert apart(mine, record(turn(9_301, 340))) == ({"twilio-media": [1.0]}, 1)


def test_a_sentence_that_the_server_took_for_two_is_held_against_the_reply_that_was_heard() -> None:
    mine = [Answered("CA1", 5_000, 341)]
    assert apart(mine, record(turn(4_500, 90), turn(5_301, 340))) == ({"twilio-media": [1.0]}, 0)


def test_what_the_agent_says_by_itself_is_no_answer() -> None:
    assert apart([Answered("CA1", 5_000, 341)], record(turn(5_301, 340, caller=""))) == ({}, 1)


def test_servers_without_platform_ids_are_paired_by_their_own() -> None:
    theirs = record(turn(5_301, 340), call_id="")
    assert apart([Answered("c-1", 5_000, 341)], theirs) == ({"twilio-media": [1.0]}, 0)


def test_the_summary_tells_the_size_without_sign_and_the_bias_with_it() -> None:
    mine = [Answered("CA1", at * 4_000.0, 300 + by) for at, by in enumerate((-1, -2, -3, 6))]
    theirs = record(*(turn(at * 4_000.0 + 300, 300) for at in range(4)))
    summary = agreement_of(mine, [theirs], UNIX_LESS_CLOCK_MS).summary["twilio-media"]
    assert (summary["count"], summary["p50"], summary["p95"]) == (4, 2.0, 6.0)
    assert summary["bias"] == pytest.approx(-2.0)
