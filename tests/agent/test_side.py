"""The side port over real sockets."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from agent.latency import Stage
from agent.lines import CallInfo
from agent.metrics import Metrics, merge
from agent.metrics.latency_book import LatencyBook
from agent.records import CallRecord, TurnRecord, Turns
from agent.settings import Settings
from agent.side import Side
from tests.agent.fakes import Process

TOKEN = "side-token"


@asynccontextmanager
async def side_port(
    process: Process, token: str | None = None, why_not: str | None = None
) -> AsyncIterator[Any]:
    metrics = Metrics(process.book, process.calls, process.lag, process.ticker)
    side = Side(process.calls, metrics, Settings(side_token=token), lambda: why_not, process.lag)
    client = TestClient(TestServer(side.application()))
    await client.start_server()
    try:
        yield client
    finally:
        await client.close()
        await process.close()


async def test_metrics_are_prometheus_text() -> None:
    async with side_port(Process()) as client:
        answer = await client.get("/metrics")
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "parley_loop_lag_seconds" in await answer.text()


@pytest.mark.parametrize(
    ("path", "source", "pieces"),
    [("/metrics", Metrics, "exposition_pieces"), ("/latency", LatencyBook, "summary_pieces")],
)
async def test_calls_go_on_between_the_pieces_of_a_scrape(
    path: str, source: type, pieces: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns_of_the_loop = 0
    seen: list[int] = []
    whole = getattr(source, pieces)

    async def others() -> None:
        nonlocal turns_of_the_loop
        while True:
            turns_of_the_loop += 1
            await asyncio.sleep(0)

    def noted(*given: Any) -> Iterator[Any]:
        for piece in whole(*given):
            seen.append(turns_of_the_loop)
            yield piece

    monkeypatch.setattr(source, pieces, noted)
    process = Process()
    async with side_port(process) as client:
        process.media("CA1")
        (call,) = process.calls.live
        for stage in (Stage.RESPONSE, Stage.ADDED, Stage.ENDPOINTING):
            process.book.record_stage(call.record, stage, 100.0)
        working = asyncio.create_task(others())
        answer = await client.get(path)
        working.cancel()
        assert answer.status == 200
    assert len(seen) >= 4
    assert len(set(seen)) == len(seen)


async def test_a_call_is_shown_while_live_and_after_by_either_id() -> None:
    process = Process()
    async with side_port(process) as client:
        process.media("CA1")
        (call,) = process.calls.live
        stages = {Stage.RESPONSE: 640.0, Stage.ADDED: 2.5}
        call.record.turns.append(TurnRecord(7, 1200.0, "en", "when?", "Nine.", stages=stages))
        listed = await (await client.get("/calls")).json()
        assert [entry["platform_call_id"] for entry in listed["live"]] == ["CA1"]
        assert "when?" not in str(listed)  # the list carries no words
        await process.calls.hang_up("CA1", "caller_hung_up")
        listed = await (await client.get("/calls")).json()
        assert (listed["live"], [entry["cause"] for entry in listed["recent"]]) == ([], ["caller_hung_up"])
        for name in ("CA1", call.record.call_id):
            shown = await (await client.get(f"/calls/{name}")).json()
            assert shown["info"]["platform_call_id"] == "CA1"
            (turn,) = [turn for turn in shown["turns"] if turn["index"] == 7]
            assert (turn["caller"], turn["stages"]) == ("when?", {"response": 640.0, "added": 2.5})


async def test_a_long_call_tells_how_many_turns_are_no_longer_shown() -> None:
    process = Process()
    async with side_port(process) as client:
        process.media("CA1")
        (call,) = process.calls.live
        call.record.turns = Turns(TurnRecord(index, 0.0, "en") for index in range(3))
        call.record.let_go()
        shown = await (await client.get("/calls/CA1")).json()
        assert (shown["turn_count"], shown["left_out"]) == (3, 1)
        assert [turn["index"] for turn in shown["turns"]] == [1, 2]
        shown = await (await client.get("/calls")).json()
        assert shown["live"][0]["turn_count"] == 3


async def test_turns_that_are_over_are_shown_as_they_were() -> None:
    process = Process()
    async with side_port(process) as client:
        process.media("CA1")
        (call,) = process.calls.live
        turn = TurnRecord(
            0, 5.5, "en", "when?", "Nine.", interrupted=True, stages={Stage.RESPONSE: 640.25},
            providers={"llm": "a"}, tools=["book"], cache="miss", blown={Stage.RESPONSE: "filler"},
        )  # fmt: skip
        call.record.turns = Turns([turn])
        before = (await (await client.get("/calls/CA1")).json())["turns"]
        for index in range(1, 5):
            call.record.turns.append(TurnRecord(index, 0.0, "en"))
        call.record.turns.pack()
        after = (await (await client.get("/calls/CA1")).json())["turns"]
        assert before == after[:1]
        assert before == [
            {
                "index": 0, "at_ms": 5.5, "language": "en", "caller": "when?", "agent": "Nine.",
                "kind": "speech", "interrupted": True, "answered": False, "stages": {"response": 640.25},
                "providers": {"llm": "a"}, "tools": ["book"], "cache": "miss",
                "blown": {"response": "filler"},
            }
        ]  # fmt: skip


async def test_latency_is_json_in_milliseconds() -> None:
    process = Process()
    async with side_port(process) as client:
        process.media("CA1")
        (call,) = process.calls.live
        process.book.turn_ended(call.record, TurnRecord(0, 0.0, "en", stages={Stage.ADDED: 2.0}))
        shown = await (await client.get("/latency")).json()
        assert shown["unit"] == "ms"
        assert shown["stages"]["added"]["all"]["count"] == 1


async def test_latency_can_be_asked_for_by_window() -> None:
    process = Process()
    async with side_port(process) as client:
        process.media("CA1")
        (call,) = process.calls.live
        process.book.turn_ended(call.record, TurnRecord(0, 0.0, "en", stages={Stage.RESPONSE: 640.0}))
        for query, windows in (("", ["1m", "5m", "1h", "start"]), ("?window=5m,1m", ["5m", "1m"])):
            shown = await (await client.get(f"/latency{query}")).json()
            assert list(shown["windows"]) == windows
            for window in windows:
                figures = shown["windows"][window]["stages"]["response"]["by"]["transport"]["twilio-media"]
                assert set(figures) == {"count", "p50", "p90", "p95", "p99", "max"}
                assert figures["p95"] == pytest.approx(640.0, rel=0.01)


async def test_latency_of_several_processes_can_be_added_up() -> None:
    first, second = Process(), Process()
    for process, value in ((first, 100.0), (second, 300.0)):
        record = CallRecord("c1", CallInfo("twilio-media", "CA1"), 0.0, "en")
        process.book.turn_ended(record, TurnRecord(0, 0.0, "en", stages={Stage.RESPONSE: value}))
    async with side_port(first) as one, side_port(second) as other:
        documents = [await (await client.get("/latency?format=hdr")).json() for client in (one, other)]
    figures = merge(documents)["stages"]["response"]["all"]  # type: ignore[index]
    assert figures["count"] == 2
    assert figures["max"] == pytest.approx(300.0, rel=0.01)


async def test_a_window_or_format_that_is_none_is_told_what_there_is() -> None:
    async with side_port(Process()) as client:
        for query in ("window=2m", "window=1m,x", "format=xml"):
            answer = await client.get(f"/latency?{query}")
            assert answer.status == 400
            assert "1m, 5m, 1h, start" in (await answer.json())["detail"]


async def test_secrets_that_came_with_a_call_are_not_shown() -> None:
    process = Process()
    async with side_port(process) as client:
        process.media("CA1")
        (call,) = process.calls.live
        parameters = {"Ticket": "t0p", "campaign": "spring", "api_key": "k3y"}
        call.record.info = CallInfo("twilio-media", "CA1", parameters=parameters)
        text = await (await client.get("/calls/CA1")).text()
        assert "spring" in text
        assert "t0p" not in text
        assert "k3y" not in text


async def test_without_a_token_only_this_machine_is_answered_under_its_own_name() -> None:
    async with side_port(Process()) as client:
        for headers in ({"Host": "attacker.example"}, {"X-Forwarded-For": "203.0.113.7"}):
            for path in ("/metrics", "/latency", "/calls"):
                answer = await client.get(path, headers=headers)
                assert answer.status == 403
                assert "PARLEY_SIDE_TOKEN" in (await answer.json())["detail"]
            assert (await client.get("/healthz", headers=headers)).status == 200
        for name in ("localhost", "127.0.0.1:9464", "[::1]:9464"):
            assert (await client.get("/calls", headers={"Host": name})).status == 200


@pytest.mark.parametrize(("token", "told"), [(None, "this machine only"), (TOKEN, "bearer token required")])
async def test_who_is_answered_is_said_at_the_start(
    token: str | None, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process()
    metrics = Metrics(process.book, process.calls, process.lag, process.ticker)
    with caplog.at_level(logging.INFO, "agent.side"):
        Side(process.calls, metrics, Settings(side_token=token), lambda: None, process.lag).announce(
            ("10.0.0.7", 9464)
        )
    assert f"10.0.0.7:9464: {told}" in caplog.text
    assert TOKEN not in caplog.text
    await process.close()


async def test_health_tells_the_loop_lag() -> None:
    process = Process()
    async with side_port(process) as client:
        process.lag.smoothed_ms = 1.25
        answer = await client.get("/healthz")
        assert (answer.status, await answer.json()) == (200, {"status": "ok", "loop_lag_ms": 1.25})


async def test_not_ready_says_why() -> None:
    async with side_port(Process(), why_not="draining") as client:
        answer = await client.get("/readyz")
        assert (answer.status, (await answer.json())["detail"]) == (503, "draining")
    async with side_port(Process()) as client:
        assert (await client.get("/readyz")).status == 200


async def test_what_is_not_there_is_a_problem_document() -> None:
    async with side_port(Process()) as client:
        for method, path, status in (
            ("GET", "/nope", 404),
            ("GET", "/calls/CA9", 404),
            ("POST", "/calls", 405),
        ):
            answer = await client.request(method, path)
            assert (answer.status, answer.content_type) == (status, "application/problem+json")
            assert (await answer.json())["status"] == status


async def test_a_token_guards_everything_but_the_probes() -> None:
    async with side_port(Process(), token=TOKEN) as client:
        for header in (None, "Bearer wrong", TOKEN, f"Basic {TOKEN}", "Bearer \xff"):
            headers = {} if header is None else {"Authorization": header}
            for path in ("/metrics", "/latency", "/calls", "/calls/CA1", "/nope"):
                assert (await client.get(path, headers=headers)).status == 401
        assert (await client.get("/calls", headers={"Authorization": f"bearer {TOKEN}"})).status == 200
        assert (await client.get("/healthz")).status == 200
        assert (await client.get("/readyz")).status == 200


async def test_a_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(offered: bytes, right: bytes) -> bool:
        compared.append((offered, right))
        return False

    monkeypatch.setattr("agent.side.secrets.compare_digest", compare)
    async with side_port(Process(), token=TOKEN) as client:
        answer = await client.get("/calls", headers={"Authorization": f"Bearer {TOKEN}"})
    # What that comparison says counts, and no other one was there before it.
    assert answer.status == 401
    assert compared == [(TOKEN.encode(), TOKEN.encode())]


async def test_headers_of_raw_bytes_are_refused_not_a_fault() -> None:
    async with side_port(Process(), token=TOKEN) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(
            b"GET /calls HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer \xff\xfe\r\n\r\n"
        )
        status = await asyncio.wait_for(reader.readline(), 20)
        writer.close()
        await writer.wait_closed()
        assert b" 401 " in status or b" 400 " in status
