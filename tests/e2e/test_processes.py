"""Two server processes on one machine: either of them answers for both on its side port."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse
from prometheus_client.parser import text_string_to_metric_families

from agent.clock import LoopClock
from loadtest.callers.identity import twilio_identity
from loadtest.callers.local_server import LocalServer, free_ports
from loadtest.callers.twilio_relay import TwilioRelayFarEnd

pytestmark = pytest.mark.e2e

LIVE = ("parley_calls_live", "twilio-relay")
TURNS = ("parley_turns_total", "twilio-relay")
PROCESSES = ("parley_processes", "")


@asynccontextmanager
async def two() -> AsyncIterator[list[LocalServer]]:
    """Each knows the other."""
    sides = free_ports(2)
    servers = [
        LocalServer(
            LoopClock(), os.environ, PARLEY_TRANSPORTS="twilio", PARLEY_STORE="off",
            PARLEY_SIDE_PORT=str(own), PARLEY_PEERS=f"http://127.0.0.1:{other}",
        )
        for own, other in (sides, sides[::-1])
    ]  # fmt: skip
    for server, side in zip(servers, sides, strict=True):
        server.side_port = side
    async with servers[0], servers[1]:
        yield servers


async def answered(socket: ClientWebSocketResponse) -> None:
    """The agent has said something to its end."""
    while not orjson.loads(await socket.receive_str()).get("last"):
        pass


@asynccontextmanager
async def call_with_a_turn(client: ClientSession, server: LocalServer) -> AsyncIterator[None]:
    """A caller on ConversationRelay asked something, was answered, and is still there."""
    end = TwilioRelayFarEnd(twilio_identity(), {})
    async with client.ws_connect(f"{server.url}/twilio/relay") as socket, asyncio.timeout(20):
        await socket.send_str(end.setup())
        await answered(socket)
        await socket.send_str(end.prompt("Are you open on Sunday?", language="en-US", last=True))
        await answered(socket)
        yield


async def metrics(client: ClientSession, url: str) -> dict[tuple[str, str], float]:
    """By name and transport, where there is one."""
    async with client.get(url) as answer:
        assert answer.status == 200
        text = await answer.text()
    return {
        (sample.name, sample.labels.get("transport", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_two_processes_give_one_answer_and_one_that_is_gone_is_left_out() -> None:
    async with (
        two() as (one, other),
        ClientSession() as client,
        call_with_a_turn(client, one),
        call_with_a_turn(client, other),
    ):
        for server in (one, other):
            found = await metrics(client, f"{server.side_url}/metrics")
            assert (found[LIVE], found[TURNS], found[PROCESSES]) == (2, 2, 2)
            async with client.get(f"{server.side_url}/latency?window=5m") as answer:
                told: dict[str, Any] = await answer.json()
            assert told["processes"] == 2
            assert told["windows"]["5m"]["stages"]["response"]["all"]["count"] == 2
        alone = await metrics(client, f"{one.side_url}/metrics?only=self")
        assert (alone[LIVE], alone[TURNS], alone[PROCESSES]) == (1, 1, 1)
        os.kill(other.pid, signal.SIGKILL)
        await other.wait()
        left = await metrics(client, f"{one.side_url}/metrics")
        assert (left[LIVE], left[TURNS], left[PROCESSES]) == (1, 2, 1)
        async with client.get(f"{one.side_url}/latency?window=5m") as answer:
            told = await answer.json()
        assert told["processes"] == 1
        assert told["windows"]["5m"]["stages"]["response"]["all"]["count"] == 1
