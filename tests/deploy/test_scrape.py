"""Debian's real Prometheus scrapes a live side port while turns go on, and works the rules out."""

import asyncio
import json
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp.test_utils import TestServer

from agent.latency import Stage
from agent.metrics import Metrics
from agent.records import CallRecord, TurnRecord
from agent.settings import Settings
from agent.side import Side
from tests.agent.fakes import Process

BOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "parley.json"
RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "parley.rules.yml"
TOKEN = "scrape-me"
PATIENCE_S = 30.0


@asynccontextmanager
async def live_side_port(calls: int) -> AsyncIterator[tuple[Process, Metrics, TestServer]]:
    process = Process(calls)
    metrics = Metrics(process.book, process.calls, process.lag, process.ticker)
    side = Side(process.calls, metrics, Settings(side_token=TOKEN), lambda: None, process.lag)
    server = TestServer(side.application(), host="127.0.0.1")
    await server.start_server()
    for number in range(calls):
        process.media(f"CA{number}")
    try:
        yield process, metrics, server
    finally:
        await server.close()
        await process.close()


def take_turns(process: Process, count: int) -> None:
    for call in process.calls.live:
        _take_turns(process, call.record, count)


def _take_turns(process: Process, record: CallRecord, count: int) -> None:
    for number in range(count):
        stages = {Stage.RESPONSE: 600.0 + number, Stage.ADDED: 3.0, Stage.ENDPOINTING: 300.0}
        process.book.turn_ended(record, TurnRecord(number, 0.0, "en", stages=stages))
        record.counters.turns += 1
        record.counters.frames_out += 100


async def test_promtools_lint_finds_nothing_in_a_scrape(promtool: str) -> None:
    async with live_side_port(3) as (process, metrics, _):
        take_turns(process, 5)
        process.calls.count_bad_request('tw"il\\io', "a\nb")
        lint = await asyncio.create_subprocess_exec(
            promtool, "check", "metrics", "--extended", stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(lint.communicate(metrics.exposition()), 30)
    assert err.decode() == ""
    assert lint.returncode == 0
    assert b"parley_stage_seconds" in out


@pytest.fixture
def prometheus() -> str:
    path = shutil.which("prometheus")
    if path is None:
        pytest.skip("prometheus is not installed: `make debian` installs it where it may")
    return path


def configuration(target: str) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            {
                "job_name": "parley",
                "authorization": {"credentials": TOKEN},
                "static_configs": [{"targets": [target]}],
            }
        ],
    }


async def ask(client: aiohttp.ClientSession, url: str, query: str) -> list[Any]:
    """An instant query's result; nothing while Prometheus starts."""
    try:
        async with client.get(f"{url}/api/v1/query", params={"query": query}) as answer:
            found = (await answer.json())["data"]["result"] if answer.status == 200 else []
    except aiohttp.ClientError:
        return []
    return list(found)


@asynccontextmanager
async def running(binary: str, folder: Path, target: str) -> AsyncIterator[str]:
    """Prometheus with our rules, in 1 s steps. Yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        address = f"127.0.0.1:{held.getsockname()[1]}"
    # The groups' own intervals are made for production.
    (folder / "rules.yml").write_text(RULES.read_text().replace("interval: 15s", "interval: 1s"))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration(target)))
    process = await asyncio.create_subprocess_exec(
        binary, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}", "--log.level=error", stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 20)


def queries() -> list[str]:
    """Of the Grafana dashboard, with its variables filled in as Grafana would."""
    board = json.loads(BOARD.read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    filled = {"$job": ".*", "$instance": ".*", "$__rate_interval": "4s"}
    for variable, value in filled.items():
        expressions = [each.replace(variable, value) for each in expressions]
    return expressions


async def test_prometheus_understands_and_answers_every_query_of_the_grafana_dashboard(
    prometheus: str, tmp_path: Path
) -> None:
    async with (
        live_side_port(3) as (process, _, server),
        running(prometheus, tmp_path, f"127.0.0.1:{server.port}") as url,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as client,
        asyncio.timeout(PATIENCE_S),
    ):
        while not await ask(client, url, "rate(parley_turns_total[4s]) > 0"):
            take_turns(process, 2)
            await asyncio.sleep(0.25)
        wrong, empty = [], []
        for query in queries():
            async with client.get(f"{url}/api/v1/query", params={"query": query}) as answer:
                told = await answer.json()
            if told["status"] != "success":
                wrong.append((query, told["error"]))
            elif not told["data"]["result"]:
                empty.append(query)
    assert wrong == []
    # What has happened is to be seen: calls, turns, their times, the process.
    for part in ("parley_calls_live", "parley_turns_total", '"end_to_end"', "process_cpu", "parley_tasks"):
        assert not [query for query in empty if part in query], part


async def test_prometheus_scrapes_and_works_the_rules_out(prometheus: str, tmp_path: Path) -> None:
    async with (
        live_side_port(20) as (process, _, server),
        running(prometheus, tmp_path, f"127.0.0.1:{server.port}") as url,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as client,
        asyncio.timeout(PATIENCE_S),
    ):
        value = 0.0
        while not 0.5 < value < 0.8:
            take_turns(process, 2)
            await asyncio.sleep(0.25)
            found = await ask(client, url, "parley:end_to_end_seconds:p95_5m")
            value = float(found[0]["value"][1]) if found else 0.0
        (up,) = await ask(client, url, 'up{job="parley"}')
        (live,) = await ask(client, url, "parley_calls_live")
        (took,) = await ask(client, url, "max_over_time(scrape_duration_seconds[1m])")
        assert (up["value"][1], live["value"][1]) == ("1", "20")
        assert float(took["value"][1]) > 0
        assert await ask(client, url, 'ALERTS{alertstate="firing"}') == []
