"""The real server with the real transports inside the test, on loopback ports, with stub providers.

What a child process would hide can be seen here: tasks left behind, sockets left open, lines of the log.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from agent.agentfile import load_agent
from agent.server import Server
from agent.settings import Settings

WAIT_S = 20.0
AGENT = """
name: Test desk
languages: [en]
greeting: Hello.
instructions: You are the reception of a small clinic.
unknown: I do not know that.
knowledge:
  - id: hours
    ask: [what are your opening hours]
    answer: From eight to six.
turns: {reprompt_ms: 60000}
providers:
  stt: [{provider: stub, inprocess: true}]
  llm: [{provider: stub, inprocess: true, tokens: 4, reply: "From eight to six."}]
  tts: [{provider: stub, inprocess: true, chars_per_s: 50}]
"""


class Inside:
    """A running server, its side port, and a client for both."""

    def __init__(self, server: Server, client: aiohttp.ClientSession, scheme: str) -> None:
        self.server = server
        self.client = client
        self.url = f"{scheme}://127.0.0.1:{server.public_address[1]}"
        self.ws = "ws" + self.url.removeprefix("http")
        self.side = f"http://127.0.0.1:{server.side_address[1]}"

    async def get(self, path: str) -> Any:
        """JSON from the side port."""
        async with self.client.get(self.side + path) as answer:
            return await answer.json()

    async def calls(self) -> list[dict[str, Any]]:
        """All calls, live ones first."""
        told = await self.get("/calls")
        return [*told["live"], *told["recent"]]

    async def call(self, platform_call_id: str) -> dict[str, Any]:
        """The record of one call."""
        return dict(await self.get(f"/calls/{platform_call_id}"))

    async def when(self, platform_call_id: str, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The record of one call, once there is one of which this holds."""
        async with asyncio.timeout(WAIT_S):
            while True:
                record = await self.call(platform_call_id)
                if "call_id" in record and holds(record):
                    return record
                await asyncio.sleep(0.01)

    async def live(self, platform_call_id: str) -> dict[str, Any]:
        """The record of one call once it has begun."""
        return await self.when(platform_call_id, lambda record: True)

    async def ended(self, platform_call_id: str) -> dict[str, Any]:
        """The record of one call once it has ended."""
        return await self.when(platform_call_id, lambda record: record["state"] == "ended")

    async def turns(self, platform_call_id: str, count: int) -> list[dict[str, Any]]:
        """The turns of a call once so many of them were heard."""
        record = await self.when(
            platform_call_id, lambda told: sum(bool(turn["agent"]) for turn in told["turns"]) >= count
        )
        turns: list[dict[str, Any]] = record["turns"]
        return turns

    async def refused(self, transport: str, kind: str) -> float:
        """How often something was refused or dropped before there was a call, once it has been."""
        async with asyncio.timeout(WAIT_S):
            while True:
                count = await self.counted("parley_bad_requests_total", transport=transport, kind=kind)
                if count:
                    return count
                await asyncio.sleep(0.01)

    async def counted(self, name: str, **labels: str) -> float:
        """The value of one counter; 0 if it has not counted."""
        async with self.client.get(self.side + "/metrics") as answer:
            text = await answer.text()
        for line in text.splitlines():
            found = re.fullmatch(rf"{name}\{{(.*)\}} (\S+)", line)
            if found and all(f'{label}="{value}"' in found[1] for label, value in labels.items()):
                return float(found[2])
        return 0.0

    @property
    def taken(self) -> int:
        """Slots in use."""
        return self.server.calls.admission.taken

    async def quiet(self, taken: int = 0) -> None:
        """Wait until only so many slots are in use."""
        async with asyncio.timeout(WAIT_S):
            while self.taken != taken:  # noqa: ASYNC110  # nobody signals it
                await asyncio.sleep(0.01)


@asynccontextmanager
async def inside(
    tmp_path: Path, environ: Mapping[str, str] | None = None, *, agent: str = AGENT, **settings: Any
) -> AsyncIterator[Inside]:
    """A server for one test; cut off at the end. `settings` are fields of `agent.settings.Settings`."""
    file = tmp_path / "agent.yaml"
    file.write_text(agent)
    options = {"host": "127.0.0.1", "port": 0, "side_port": 0, "environ": environ or {}, **settings}
    server = Server(Settings(**options), load_agent(file))
    listening = asyncio.Event()
    running = asyncio.create_task(server.run(listening.set))
    waiting = asyncio.create_task(listening.wait())
    try:
        await asyncio.wait((running, waiting), timeout=WAIT_S, return_when=asyncio.FIRST_COMPLETED)
        assert listening.is_set(), running
        async with aiohttp.ClientSession() as client:
            yield Inside(server, client, "https" if settings.get("tls_key") else "http")
    finally:
        waiting.cancel()
        # Twice: cut, do not wait for calls.
        server.stop(cut=True)
        await asyncio.wait_for(asyncio.gather(running, waiting, return_exceptions=True), WAIT_S)
