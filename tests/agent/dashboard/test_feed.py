"""The feed over real sockets: what it tells, what it costs, and who is dropped."""

import asyncio
import json
import logging
import socket
from typing import Any

import aiohttp
import pytest

from agent.dashboard import feed
from tests.agent.dashboard.scene import side_port


async def events(answer: Any, count: int) -> list[tuple[str, Any]]:
    """The next `count` events of a feed."""
    found: list[tuple[str, Any]] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            name = (await answer.content.readline()).decode().removeprefix("event: ").strip()
            data = json.loads((await answer.content.readline()).decode().removeprefix("data: "))
            assert await answer.content.readline() == b"\n"
            found.append((name, data))
    return found


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # the server's own state, which tells nobody
            await asyncio.sleep(0.01)


async def test_a_watcher_is_greeted_with_the_past_and_told_the_present() -> None:
    async with side_port() as (stage, client):
        stage.ended_call("old", 2)
        stage.live(3)
        async with client.get("/dashboard/feed") as answer:
            assert answer.headers["Content-Type"] == "text/event-stream"
            (first, greeting), (second, present) = await events(answer, 2)
        assert (first, second) == ("greeting", "present")
        assert (greeting["agent"], greeting["slots"]) == ("Riverside Clinic", 400)
        assert sum(point[1] for point in greeting["points"]) == 2
        assert {"stage": "response", "budget_ms": 840.0}.items() <= next(
            entry for entry in greeting["stages"] if entry["stage"] == "response"
        ).items()
        assert (present["live"], present["transports"]) == (3, {"twilio-media": 3})
        assert [row[0] for row in present["ended"]] == ["old"]
        assert [turn["call"] for turn in present["turns"]] == ["old", "old"]
        assert present["stages"]["response"][0] == 2
        assert [entry["name"] for entry in present["providers"]] == ["fake", "fake", "fake"]
        assert "opening hours" not in json.dumps(present)


async def test_nothing_runs_while_nobody_watches() -> None:
    async with side_port() as (stage, client):
        before = asyncio.all_tasks()
        answer = await client.get("/dashboard/feed")
        await events(answer, 2)
        assert any(task.get_name() == "dashboard" for task in asyncio.all_tasks())
        answer.close()
        await until(lambda: stage.dashboard.watchers == 0)
        await until(lambda: not any(task.get_name() == "dashboard" for task in asyncio.all_tasks()))
        assert not {task for task in asyncio.all_tasks() - before if task.get_name() == "dashboard"}


async def test_all_watchers_are_told_the_same_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "PERIOD_MS", 30.0)
    async with side_port() as (stage, client):
        answers = [await client.get("/dashboard/feed") for _ in range(3)]
        moments = [{event[1]["at"] for event in (await events(answer, 6))[2:]} for answer in answers]
        assert set.intersection(*moments)
        for answer in answers:
            answer.close()
        await until(lambda: stage.dashboard.watchers == 0)


async def test_who_does_not_read_is_dropped_and_the_others_do_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed, "PERIOD_MS", 5.0)
    monkeypatch.setattr(feed, "STUCK_S", 0.3)
    async with side_port() as (stage, client):
        stage.live(200)
        with socket.socket() as stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            stuck.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(stuck, ("127.0.0.1", client.port))
            await loop.sock_sendall(stuck, b"GET /dashboard/feed HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            answer = await client.get("/dashboard/feed")
            await until(lambda: stage.dashboard.watchers == 2)
            reading = asyncio.create_task(events(answer, 150))
            await until(lambda: stage.dashboard.dropped == 1)
            assert len(await reading) == 150
        answer.close()
        await until(lambda: stage.dashboard.watchers == 0)


async def test_a_house_full_of_watchers_refuses_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MAX_WATCHERS", 1)
    async with side_port() as (stage, client):
        answer = await client.get("/dashboard/feed")
        await events(answer, 1)
        assert (await client.get("/dashboard/feed")).status == 503
        answer.close()
        await until(lambda: stage.dashboard.watchers == 0)


async def test_a_dashboard_that_fails_says_so_and_starts_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(feed, "SILENT_S", 0.05)
    async with side_port() as (stage, client):
        stage.sources.calls.recent.append(None)  # type: ignore[arg-type]  # a bug, for once
        with pytest.raises((aiohttp.ClientError, ValueError)):
            await events(await client.get("/dashboard/feed"), 2)
        assert "the dashboard failed" in caplog.text
        stage.sources.calls.recent.clear()
        answer = await client.get("/dashboard/feed")
        assert [name for name, _ in await events(answer, 2)] == ["greeting", "present"]
        answer.close()
        await until(lambda: stage.dashboard.watchers == 0)


async def test_a_shutdown_ends_the_feeds() -> None:
    async with side_port() as (_, client):
        answer = await client.get("/dashboard/feed")
        await events(answer, 2)
        async with asyncio.timeout(20):
            await client.server.close()


async def test_a_call_is_shown_with_words_and_who_spoke_when() -> None:
    async with side_port() as (stage, client):
        stage.ended_call("old", 2)
        shown = await (await client.get("/dashboard/calls/old")).json()
        assert [turn["caller"] for turn in shown["turns"]] == [
            "what are your opening hours", "how much is a check up",
        ]  # fmt: skip
        assert shown["turns"][1]["interrupted"]
        states = [state for _, state in shown["timeline"]]
        assert states[:4] == ["replying", "speaking", "idle", "hearing"]
        assert states[-1] == "ended"
        assert shown["cause"] == "caller_hung_up"
        assert (await client.get("/dashboard/calls/nobody")).status == 404


async def test_problems_are_told_without_numbers() -> None:
    async with side_port() as (stage, client):
        root = logging.getLogger()
        root.addHandler(stage.problems)
        try:
            logging.getLogger("agent.call").warning("call %s: no way to %s", "ab12", "+44 20 7946 0958")
        finally:
            root.removeHandler(stage.problems)
        async with client.get("/dashboard/feed") as answer:
            present = (await events(answer, 2))[1][1]
        ((_, _, level, name, text, call),) = present["problems"]
        assert (level, name, text, call) == (
            "warning", "agent.call", "call ab12: no way to <number>", "ab12",
        )  # fmt: skip


async def test_the_page_and_its_files_are_served_from_here_only() -> None:
    async with side_port() as (_, client):
        page = await client.get("/")
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        text = await page.text()
        assert "http" not in text.replace("https://www.w3.org", "")
        script = await client.get("/dashboard/page/dashboard.js")
        assert script.content_type == "text/javascript"
        again = await client.get(
            "/dashboard/page/dashboard.js", headers={"If-None-Match": script.headers["ETag"]}
        )
        assert again.status == 304
        for wrong in ("/dashboard/page/none.js", "/dashboard/page/..%2Ffeed.py"):
            assert (await client.get(wrong)).status == 404
