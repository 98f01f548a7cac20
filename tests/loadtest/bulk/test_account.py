from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from loadtest.bulk.account import account_of, read_counters, read_records
from loadtest.callers.errors import Unreachable

METRICS = """# HELP parley_underruns_total Gaps
# TYPE parley_underruns_total counter
parley_underruns_total{transport="telnyx-media"} 2.0
parley_underruns_total{transport="twilio-media"} 3.0
# HELP parley_turns_total Turns
# TYPE parley_turns_total counter
parley_turns_total{transport="twilio-media"} 30.0
"""


def record(*turns: dict[str, Any], started_unix_s: float = 1_000.0) -> dict[str, Any]:
    return {"started_unix_s": started_unix_s, "turns": list(turns)}


def turn(at_ms: float, caller: str = "hello", **stages: float) -> dict[str, Any]:
    return {"at_ms": at_ms, "caller": caller, "stages": stages}


def test_what_the_stubs_were_told_to_take_is_not_the_servers_but_all_else_is() -> None:
    account = account_of(
        [record(turn(0.0, response=352.0, endpointing=310.0, llm_first_sentence=39.0, added=0.5))], 0.0, 35.0
    )
    assert account.response_ms == [352.0]
    assert account.added_ms == [0.5]
    assert account.strict_ms == [pytest.approx(7.0)]


def test_only_answered_turns_of_callers_within_the_run_count() -> None:
    told = record(
        turn(1_000.0, response=1.0),
        turn(5_000.0, caller="", response=2.0),
        turn(6_000.0),
        turn(7_000.0, response=3.0),
    )
    assert account_of([told], 1_004.0, 0.0).response_ms == [3.0]


@pytest.fixture
async def side_url() -> AsyncIterator[str]:
    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=METRICS)

    async def call(request: web.Request) -> web.Response:
        if request.match_info["call_id"] != "v3:a/b":
            raise web.HTTPNotFound
        return web.json_response(record(turn(0.0, response=1.0)))

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/calls/{call_id}", call)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_counters_are_summed_over_transports_and_0_where_nothing_happened(side_url: str) -> None:
    counters = await read_counters(side_url)
    assert counters["underruns"] == 5.0
    assert counters["unanswered"] == 0.0
    assert "turns" not in counters


async def test_records_of_unknown_calls_are_left_out(side_url: str) -> None:
    assert await read_records(side_url, ["v3:a/b", "gone"]) == [record(turn(0.0, response=1.0))]


async def test_a_side_port_that_is_not_there_is_named() -> None:
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1/metrics"):
        await read_counters("http://127.0.0.1:1")
