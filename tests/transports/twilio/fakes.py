"""A small core for the transport's tests: it answers calls and writes down what it hears."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from multidict import CIMultiDict
from twilio.request_validator import RequestValidator

from agent.agentfile.schema import AgentFile
from agent.clock import LoopClock
from agent.errors import RefusalReason, Refused, TicketError
from agent.lines import MediaLine, TextLine
from agent.plugins import TransportContext
from agent.settings import Settings
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
class FakeSlot:
    releases: int = 0

    def release(self) -> None:
        self.releases += 1


@dataclass
class FakeCall:
    """Both kinds of call: what was heard, in order."""

    line: Any
    slot: FakeSlot
    greeted: bool = False
    events: list[tuple[Any, ...]] = field(default_factory=list)
    bad: Counter[str] = field(default_factory=Counter)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    breaks_on_audio: bool = False

    def hear(self, payload: bytes, timestamp_ms: float) -> None:
        if self.breaks_on_audio:
            raise RuntimeError("the core has a bug")
        self.events.append(("hear", payload, timestamp_ms))

    def marked(self, name: str) -> None:
        self.events.append(("marked", name))

    def prompt(self, text: str, *, final: bool, language: str | None = None) -> None:
        self.events.append(("prompt", text, final, language))

    def interrupted(self, heard: str, heard_ms: float) -> None:
        self.events.append(("interrupted", heard, heard_ms))

    def played(self, text: str) -> None:
        self.events.append(("played", text))

    def agent_speaking(self, speaking: bool) -> None:
        self.events.append(("agent_speaking", speaking))

    def caller_speaking(self, speaking: bool) -> None:
        self.events.append(("caller_speaking", speaking))

    def dtmf(self, digit: str) -> None:
        self.events.append(("dtmf", digit))

    def bad_message(self, kind: str) -> None:
        self.bad[kind] += 1

    async def hung_up(self, cause: str) -> None:
        self.events.append(("hung_up", cause))
        self.ended.set()

    async def lost(self) -> None:
        self.events.append(("lost",))
        self.ended.set()


class FakeTickets:
    """Tickets are `ticket-1`, `ticket-2` and so on."""

    def __init__(self) -> None:
        self.issued: dict[str, str] = {}
        self.cancelled: list[str] = []
        self.full = False
        self._count = 0

    def issue(self, platform_call_id: str) -> str:
        if self.full:
            raise Refused(RefusalReason.FULL)
        self.cancel(platform_call_id)
        self._count += 1
        ticket = f"ticket-{self._count}"
        self.issued[ticket] = platform_call_id
        return ticket

    def redeem(self, ticket: str, platform_call_id: str) -> FakeSlot:
        if self.issued.get(ticket) != platform_call_id:
            raise TicketError("unknown, used, or of another call")
        del self.issued[ticket]
        return FakeSlot()

    def cancel(self, platform_call_id: str) -> None:
        self.cancelled.append(platform_call_id)
        self.issued = {ticket: call for ticket, call in self.issued.items() if call != platform_call_id}


class FakeHost:
    """Answers every call. `live` holds the latest call by its platform id."""

    def __init__(self) -> None:
        self.tickets = FakeTickets()
        self.calls: list[FakeCall] = []
        self.live: dict[str, FakeCall] = {}
        self.over: list[tuple[str, str]] = []
        self.bad: Counter[tuple[str, str]] = Counter()
        self.full = False
        self.fails = False
        self.slots: list[FakeSlot] = []
        self.answered = asyncio.Event()

    def reserve(self) -> FakeSlot:
        if self.full:
            raise Refused(RefusalReason.FULL)
        return FakeSlot()

    def answer_media(self, line: MediaLine, slot: FakeSlot) -> FakeCall:
        return self._answer(line, slot)

    def answer_text(self, line: TextLine, slot: FakeSlot, *, greeted: bool = False) -> FakeCall:
        return self._answer(line, slot, greeted)

    def _answer(self, line: Any, slot: FakeSlot, greeted: bool = False) -> FakeCall:
        self.slots.append(slot)
        if self.fails:
            raise RuntimeError("cannot answer")
        earlier = self.live.get(line.info.platform_call_id)
        call = FakeCall(line, slot, greeted)
        if earlier is not None:
            earlier.line.close()
        self.calls.append(call)
        self.live[line.info.platform_call_id] = call
        self.answered.set()
        return call

    def is_live(self, platform_call_id: str) -> bool:
        return platform_call_id in self.live

    async def hang_up(self, platform_call_id: str, cause: str) -> None:
        self.over.append((platform_call_id, cause))
        self.live.pop(platform_call_id, None)

    def count_bad_request(self, transport: str, kind: str) -> None:
        self.bad[transport, kind] += 1


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
        async with asyncio.timeout(3):
            await self.host.answered.wait()
        self.host.answered.clear()
        return self.host.calls[-1]


@asynccontextmanager
async def serving(
    agent: AgentFile | None = None, public_url: str | None = None, **environ: str
) -> AsyncIterator[Served]:
    """The transport on a free loopback port, for one test."""
    host = FakeHost()
    settings = Settings(public_url=public_url, environ=environ)
    twilio = Twilio(TransportContext(host, settings, agent or agent_file(), LoopClock()))
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


async def eventually(condition: Any) -> None:
    """Wait until `condition()` holds; fails after 3 s."""
    async with asyncio.timeout(3):
        while not condition():  # noqa: ASYNC110  # some conditions are other objects' lists
            await asyncio.sleep(0.005)
