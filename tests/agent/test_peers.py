"""Siblings that answer, that do not, that are ourselves, that have started again. Over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, web
from prometheus_client.parser import text_string_to_metric_families

from agent import peers
from agent.errors import ConfigError
from agent.latency import Stage
from agent.lines import CallInfo
from agent.metrics import Metrics
from agent.peers import LATENCY_PATH, METRICS_PATH, Peers, read_peers
from agent.records import CallRecord, TurnRecord
from agent.settings import Settings
from agent.side import Side
from tests.agent.fakes import Process

TOKEN = "side-token"
ZEROS = [0] * 20


class Sibling:
    """One process of several, with a side port of its own."""

    def __init__(self, token: str | None = None) -> None:
        self.process = Process()
        self.metrics = Metrics(self.process.book, self.process.calls, self.process.lag, self.process.ticker)
        self.token = token
        self.url = ""
        self.peers: Peers | None = None
        self._runner: web.AppRunner | None = None

    async def open(self, *urls: str) -> None:
        """Listen, and know the siblings at `urls`."""
        self.peers = Peers(urls, self.metrics, lambda: self.address, self.token) if urls else None
        settings = Settings(side_token=self.token)
        side = Side(
            self.process.calls, self.metrics, settings, lambda: None, self.process.lag, None, self.peers
        )
        self._runner = await listening(side.application())
        self.url = "http://{}:{}".format(*self._runner.addresses[0])

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")

    def turn(self, response_ms: float) -> None:
        """A caller was answered."""
        record = CallRecord("c1", CallInfo("webrtc", "CA1"), 0.0, "en")
        self.process.book.turn_ended(record, TurnRecord(0, 0.0, "en", stages={Stage.RESPONSE: response_ms}))

    def refuse(self, times: int) -> None:
        """Something counted by a counter."""
        for _ in range(times):
            self.process.calls.count_bad_request("twilio", "bad_signature")

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self.peers is not None:
            await self.peers.close()
        await self.process.close()


async def listening(app: web.Application) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


@asynccontextmanager
async def family(count: int = 2, token: str | None = None) -> AsyncIterator[list[Sibling]]:
    """The first one knows the others."""
    siblings = [Sibling(token) for _ in range(count)]
    try:
        for sibling in siblings[1:]:
            await sibling.open()
        await siblings[0].open(*(sibling.url for sibling in siblings[1:]))
        yield siblings
    finally:
        for sibling in siblings:
            await sibling.close()


async def get(url: str, token: str | None = None) -> str:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with ClientSession(headers=headers) as client, client.get(url) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.text()


async def samples(url: str, token: str | None = None) -> dict[tuple[str, frozenset[str]], float]:
    text = await get(url, token)
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


BAD = ("parley_bad_requests_total", frozenset(("twilio", "bad_signature")))
PROCESSES: tuple[str, frozenset[str]] = ("parley_processes", frozenset())


def misses(found: dict[tuple[str, frozenset[str]], float]) -> list[float]:
    return [value for (name, _), value in found.items() if name == "parley_peer_misses_total"]


async def test_whichever_is_asked_answers_for_all() -> None:
    async with family(3) as (asked, *others):
        for number, sibling in enumerate((asked, *others), 1):
            sibling.refuse(number)
            sibling.turn(100.0 * number)
        found = await samples(f"{asked.url}/metrics")
        assert (found[BAD], found[PROCESSES]) == (6, 3)
        assert misses(found) == []
        counts = [value for (name, _), value in found.items() if name == "parley_stage_seconds_count"]
        assert counts == [3.0] * len(counts)
        lags = {labels for name, labels in found if name == "parley_loop_lag_seconds"}
        assert lags == {frozenset((sibling.address,)) for sibling in (asked, *others)}
        assert asked.peers is not None
        latency = await asked.peers.latency(("1m", "start"))
        stages: Any = latency["stages"]
        assert latency["processes"] == 3
        assert stages["response"]["all"]["count"] == 3
        assert stages["response"]["all"]["max"] == pytest.approx(300.0, rel=0.01)


async def test_each_can_still_be_asked_about_itself_alone() -> None:
    async with family() as (asked, other):
        other.refuse(5)
        other.turn(500.0)
        found = await samples(f"{asked.url}/metrics?only=self")
        assert BAD not in found
        assert found[PROCESSES] == 1
        assert '"response"' not in await get(f"{asked.url}/latency?only=self")
        assert '"response"' in await get(f"{asked.url}/latency")


async def test_a_sibling_that_does_not_answer_is_counted_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peers, "DEADLINE_S", 0.05)
    release = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    app = web.Application()
    app.router.add_get(METRICS_PATH, hang)
    runner = await listening(app)
    host, port = runner.addresses[0]
    asked = Sibling()
    try:
        await asked.open(f"http://{host}:{port}")
        asked.refuse(2)
        async with asyncio.timeout(20):
            found = await samples(f"{asked.url}/metrics")
        assert (found[BAD], found[PROCESSES]) == (2, 1)
        assert misses(found) == [1]
    finally:
        release.set()
        await runner.cleanup()
        await asked.close()


async def test_what_a_sibling_counted_stays_when_it_falls_silent_and_its_gauges_go() -> None:
    async with family() as (asked, other):
        other.refuse(4)
        other.process.media("CA1")
        before = await samples(f"{asked.url}/metrics")
        live = ("parley_calls_live", frozenset(("twilio-media",)))
        assert (before[BAD], before[live]) == (4, 1)
        assert other._runner is not None
        await other._runner.cleanup()
        after = await samples(f"{asked.url}/metrics")
        assert (after[BAD], after[PROCESSES]) == (4, 1)
        assert live not in after
        # Latencies are about now: a window must not hold what may be long over.
        assert '"processes":1' in await get(f"{asked.url}/latency")


async def test_a_sibling_that_started_again_adds_to_what_it_had_counted() -> None:
    async with family() as (asked, other):
        other.refuse(4)
        assert (await samples(f"{asked.url}/metrics"))[BAD] == 4
        again = Metrics(other.process.book, other.process.calls, other.process.lag, other.process.ticker)
        other.process.calls.bad_requests.clear()
        other.metrics.instance = again.instance
        other.refuse(1)
        for _ in range(3):
            assert (await samples(f"{asked.url}/metrics"))[BAD] == 5
        other.refuse(1)
        assert (await samples(f"{asked.url}/metrics"))[BAD] == 6


async def test_a_process_counts_once_whatever_it_is_called() -> None:
    async with family() as (asked, other):
        assert asked.peers is not None
        # Ourselves, and the sibling by another name as well.
        port = other.url.rpartition(":")[2]
        asked.peers._urls = (asked.url, other.url, f"http://localhost:{port}")
        other.refuse(3)
        asked.refuse(1)
        found = await samples(f"{asked.url}/metrics")
        assert (found[BAD], found[PROCESSES]) == (4, 2)


async def test_siblings_share_one_token() -> None:
    async with family(token=TOKEN) as (asked, other):
        other.refuse(2)
        assert (await samples(f"{asked.url}/metrics", TOKEN))[BAD] == 2
        async with ClientSession() as client, client.get(other.url + METRICS_PATH) as answer:
            assert answer.status == 401


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=500),
        lambda: web.Response(body=b"<html>"),
        lambda: web.Response(body=b"[]"),
        lambda: web.Response(body=b"{}"),
        lambda: web.json_response({"instance": "x", "metrics": {}}),
        lambda: web.json_response({"instance": "x", "metrics": {"families": [], "stages": [[ZEROS]]}}),
        lambda: web.HTTPFound("/elsewhere"),
        lambda: web.Response(body=b" " * (17 * 1024 * 1024)),
    ],
)
async def test_nonsense_is_left_out_and_counted(
    answer: Callable[[], web.Response], caplog: pytest.LogCaptureFixture
) -> None:
    async def speak(request: web.Request) -> web.Response:
        return answer()

    app = web.Application()
    app.router.add_get(METRICS_PATH, speak)
    app.router.add_get(LATENCY_PATH, speak)
    runner = await listening(app)
    host, port = runner.addresses[0]
    asked = Sibling()
    try:
        await asked.open(f"http://{host}:{port}")
        asked.refuse(2)
        found = await samples(f"{asked.url}/metrics")
        assert (found[BAD], found[PROCESSES], misses(found)) == (2, 1, [1])
        assert '"processes":1' in await get(f"{asked.url}/latency")
        assert misses(await samples(f"{asked.url}/metrics")) == [3]
        assert caplog.text.count("is left out of metrics") == 1
    finally:
        await runner.cleanup()
        await asked.close()


async def test_only_the_first_silence_in_a_row_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with family() as (asked, other):
        assert other._runner is not None
        await other._runner.cleanup()
        for _ in range(3):
            await get(f"{asked.url}/metrics")
        assert caplog.text.count("is left out of metrics") == 1
        assert asked.metrics.misses[other.address] == 3


def test_the_variable_is_read() -> None:
    assert read_peers({}) == ()
    given = "http://127.0.0.1:9465, http://127.0.0.1:9466/,http://127.0.0.1:9465,"
    assert read_peers({"PARLEY_PEERS": given}) == ("http://127.0.0.1:9465", "http://127.0.0.1:9466")


@pytest.mark.parametrize(
    "given",
    ["127.0.0.1:9465", "ftp://a:1", "http://", "http://a:0", "http://a:99999", "http://a:1/metrics",
     "http://a:1?x", "http://me@a:1", ",".join(f"http://a:{n}" for n in range(1, 66))],
)  # fmt: skip
def test_what_is_no_side_port_is_told_at_start(given: str) -> None:
    with pytest.raises(ConfigError, match="PARLEY_PEERS"):
        read_peers({"PARLEY_PEERS": given})
