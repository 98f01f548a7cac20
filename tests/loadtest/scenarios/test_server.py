"""A server that somebody else runs, seen from outside."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from agent.errors import ConfigError
from loadtest.scenarios.schema import Action
from loadtest.scenarios.server import RemoteServer

METRICS = """# TYPE process_cpu_seconds counter
process_cpu_seconds_total 12.5
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 8.0e+07
# TYPE process_open_fds gauge
process_open_fds 31.0
# TYPE parley_calls_live gauge
parley_calls_live{transport="twilio-media"} 3.0
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.7e+09
# TYPE parley_underruns counter
parley_underruns_total{transport="twilio-media"} 3.0
"""


@pytest.fixture
async def side_url() -> AsyncIterator[str]:
    async def metrics(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer secret":
            raise web.HTTPUnauthorized
        return web.Response(text=METRICS)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_its_gauges_are_read_from_its_side_port(side_url: str) -> None:
    server = RemoteServer("http://127.0.0.1:8080", side_url, "secret")
    assert await server.gauges() == {"cpu_s": 12.5, "rss": 8e7, "fds": 31.0}
    assert (server.target.host, server.target.port) == ("127.0.0.1", 8080)


async def test_its_counters_are_those_of_all_its_processes(side_url: str) -> None:
    server = RemoteServer("http://127.0.0.1:8080", side_url, "secret")
    assert (await server.counters())["underruns"] == 3.0
    server.side_url = "http://127.0.0.1:1"
    assert (await server.counters())["underruns"] == 3.0, "it may be about to come back"


@pytest.mark.parametrize("token", [None, "wrong"])
async def test_without_the_token_nothing_is_known_and_nothing_fails(side_url: str, token: str | None) -> None:
    assert await RemoteServer("127.0.0.1:8080", side_url, token).gauges() == {}


async def test_a_side_port_that_is_not_there_is_no_error() -> None:
    server = RemoteServer("http://127.0.0.1:8080", "http://127.0.0.1:1", None)
    assert await server.gauges() == {}
    assert await server.counters() == {}
    assert await server.ended() == ""
    assert server.cpu_ms() is server.waited_ms() is server.rss_kb() is None
    await server.stop()


async def test_nothing_is_done_to_it() -> None:
    with pytest.raises(ConfigError, match="kill_server needs a server of the scenario's own"):
        await RemoteServer("http://127.0.0.1:8080", "", None).do(Action.KILL_SERVER)


@pytest.mark.parametrize(
    ("url", "host", "port", "secure"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080, False),
        ("http://voice.example", "voice.example", 80, False),
        ("ws://voice.example:81/", "voice.example", 81, False),
        ("https://voice.example", "voice.example", 443, True),
        ("wss://voice.example:8443", "voice.example", 8443, True),
    ],
)
def test_a_target_may_be_behind_tls(url: str, host: str, port: int, secure: bool) -> None:
    target = RemoteServer(url, "", None).target
    assert (target.host, target.port, target.tls is not None) == (host, port, secure)


@pytest.mark.parametrize("url", ["http://voice.example:none", "http://voice.example:99999"])
def test_a_port_that_is_none_is_wrong_usage(url: str) -> None:
    with pytest.raises(ConfigError, match="--target"):
        RemoteServer(url, "", None)
