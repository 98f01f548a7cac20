"""The running transport for its tests, and Twilio's signatures."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from multidict import CIMultiDict
from twilio.request_validator import RequestValidator

from agent.agentfile.schema import AgentFile
from agent.clock import LoopClock
from agent.plugins import TransportContext
from agent.settings import Settings
from agent.ticker import Ticker
from tests.transports.fakes import FakeCall, FakeHost
from transports.twilio import Twilio

CALL = "CA00000000000000000000000000000001"
STREAM = "MZ00000000000000000000000000000001"
ACCOUNT = "AC00000000000000000000000000000001"
TOKEN = "0123456789abcdef0123456789abcdef"
PUBLIC = "https://voice.example.test"

PHRASES = {
    name: {"en": "Phrase."}
    for name in (
        "reprompt", "silence_goodbye", "time_goodbye", "apology", "not_understood", "transferring", "goodbye",
    )
}  # fmt: skip


def agent_file(**changes: Any) -> AgentFile:
    return AgentFile.model_validate(
        {
            "name": "Desk",
            "languages": ["en", "es"],
            "greeting": {"en": "Hello, how can I help?", "es": "Hola."},
            "instructions": "Be short.",
            "phrases": PHRASES,
            "unknown": {"en": "I do not know."},
            "knowledge": [
                {
                    "id": "hours",
                    "ask": {"en": ["when are you open, please", "opening hours"], "es": ["horario"]},
                    "answer": {"en": "Nine to five.", "es": "De nueve a cinco."},
                }
            ],
            "tools": [{"kind": "end_call", "ask": {"en": ["goodbye"]}}],
            **changes,
        }
    )


@dataclass
class Served:
    """A running transport."""

    host: FakeHost
    twilio: Twilio
    url: str

    @property
    def ws(self) -> str:
        return "ws" + self.url.removeprefix("http")

    async def call(self) -> FakeCall:
        """The latest call, once there is one."""
        async with asyncio.timeout(20):
            await self.host.answered.wait()
        self.host.answered.clear()
        return self.host.calls[-1]


@asynccontextmanager
async def serving(
    environ: Mapping[str, str] | None = None,
    agent: AgentFile | None = None,
    public_url: str | None = None,
    **more: str,
) -> AsyncIterator[Served]:
    """The transport on a free loopback port, for one test. Variables by `environ` or by name."""
    host = FakeHost()
    settings = Settings(public_url=public_url, environ={**(environ or {}), **more})
    twilio = Twilio(TransportContext(host, settings, agent or agent_file(), LoopClock(), Ticker(LoopClock())))
    app = web.Application()
    app.add_routes(twilio.routes())
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield Served(host, twilio, f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()
        await twilio.close()


def signed(url: str, fields: dict[str, str] | None = None, token: str = TOKEN) -> CIMultiDict[str]:
    """The header with which Twilio itself signs."""
    return CIMultiDict({"X-Twilio-Signature": RequestValidator(token).compute_signature(url, fields or {})})
