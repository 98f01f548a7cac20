"""A small core for the transport's tests: it answers calls and writes down what it hears. And Telnyx's side."""

import asyncio
import base64
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
import orjson
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import ClientConnection, connect

from agent.agentfile.schema import AgentFile
from agent.clock import Clock, LoopClock, Timer
from agent.errors import RefusalReason, Refused, TicketError
from agent.lines import MediaLine
from agent.plugins import TransportContext
from agent.settings import Settings
from transports.telnyx import Telnyx

CALL = "v3:exampleControlId"
STREAM = "00000000-0000-4000-8000-0000000000c1"
SESSION = "00000000-0000-4000-8000-0000000000b1"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC_KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
API_KEY = "KEY-of-the-test"
SILENCE = base64.b64encode(b"\xff" * 160).decode()

AGENT = AgentFile.model_validate(
    {
        "name": "Desk",
        "languages": ["en"],
        "greeting": {"en": "Hello."},
        "instructions": "Be short.",
        "phrases": dict.fromkeys(
            ("reprompt", "silence_goodbye", "time_goodbye", "apology", "not_understood", "transferring",
             "goodbye"),
            {"en": "Phrase."},
        ),
        "unknown": {"en": "I do not know."},
        "knowledge": [{"id": "hours", "ask": {"en": ["hours"]}, "answer": {"en": "Nine to five."}}],
    }
)  # fmt: skip


class ManualClock:
    """Stands still until moved. Callbacks run in order of their time."""

    def __init__(self, unix_s: float = 1_760_000_000.0) -> None:
        self._now_ms = 1_000.0
        self._unix_s = unix_s
        self._order = itertools.count()
        self._timers: list[tuple[float, int, ManualTimer]] = []

    def now_ms(self) -> float:
        return self._now_ms

    def unix_s(self) -> float:
        return self._unix_s + (self._now_ms - 1_000.0) / 1000

    def call_later(self, delay_ms: float, callback: Callable[[], object]) -> Timer:
        timer = ManualTimer(callback)
        self._timers.append((self._now_ms + delay_ms, next(self._order), timer))
        return timer

    async def sleep(self, delay_ms: float) -> None:
        raise NotImplementedError

    def move(self, ms: float) -> None:
        end_ms = self._now_ms + ms
        while due := sorted(entry for entry in self._timers if entry[0] <= end_ms):
            self._timers.remove(due[0])
            self._now_ms = due[0][0]
            due[0][2].fire()
        self._now_ms = end_ms


@dataclass
class ManualTimer:
    callback: Callable[[], object] | None

    def cancel(self) -> None:
        self.callback = None

    def fire(self) -> None:
        if self.callback is not None:
            self.callback()


class ShiftedClock(LoopClock):
    """Real time that can be pushed forward; timers stay real."""

    def __init__(self) -> None:
        super().__init__()
        self.shift_ms = 0.0

    def now_ms(self) -> float:
        return super().now_ms() + self.shift_ms

    def unix_s(self) -> float:
        return super().unix_s() + self.shift_ms / 1000


@dataclass
class FakeSlot:
    releases: int = 0

    def release(self) -> None:
        self.releases += 1


@dataclass
class FakeCall:
    """What was heard, in order."""

    line: Any
    slot: Any
    events: list[tuple[Any, ...]] = field(default_factory=list)
    bad: Counter[str] = field(default_factory=Counter)
    breaks_on_audio: bool = False

    def hear(self, payload: bytes, timestamp_ms: float) -> None:
        if self.breaks_on_audio:
            raise RuntimeError("the core has a bug")
        self.events.append(("hear", payload, timestamp_ms))

    def marked(self, name: str) -> None:
        self.events.append(("marked", name))

    def dtmf(self, digit: str) -> None:
        self.events.append(("dtmf", digit))

    def bad_message(self, kind: str) -> None:
        self.bad[kind] += 1

    async def hung_up(self, cause: str) -> None:
        self.events.append(("hung_up", cause))

    async def lost(self) -> None:
        self.events.append(("lost",))

    def count(self, name: str) -> int:
        return sum(1 for event in self.events if event[0] == name)

    @property
    def keys(self) -> str:
        return "".join(event[1] for event in self.events if event[0] == "dtmf")


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
        self._drop(platform_call_id)
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
        self._drop(platform_call_id)

    def _drop(self, platform_call_id: str) -> None:
        self.issued = {ticket: call for ticket, call in self.issued.items() if call != platform_call_id}


class FakeHost:
    """Answers every call; a live one goes on over a new line."""

    def __init__(self) -> None:
        self.tickets = FakeTickets()
        self.calls: list[FakeCall] = []
        self.live: dict[str, FakeCall] = {}
        self.over: list[tuple[str, str]] = []
        self.bad: Counter[tuple[str, str]] = Counter()
        self.slots: list[Any] = []
        self.full = False
        self.fails = False

    def reserve(self) -> FakeSlot:
        if self.full:
            raise Refused(RefusalReason.FULL)
        return FakeSlot()

    def answer_media(self, line: MediaLine, slot: Any) -> FakeCall:
        self.slots.append(slot)
        if self.fails:
            raise RuntimeError("cannot answer")
        call_id = line.info.platform_call_id
        live = self.live.get(call_id)
        if live is not None:
            slot.release()
            old, live.line = live.line, line
            old.close()
            live.events.append(("reattached",))
            return live
        call = FakeCall(line, slot)
        self.calls.append(call)
        self.live[call_id] = call
        return call

    def answer_text(self, line: Any, slot: Any, *, greeted: bool = False) -> Any:
        raise NotImplementedError

    def is_live(self, platform_call_id: str) -> bool:
        return platform_call_id in self.live

    async def hang_up(self, platform_call_id: str, cause: str) -> None:
        self.over.append((platform_call_id, cause))
        call = self.live.pop(platform_call_id, None)
        if call is not None:
            call.line.close()

    def count_bad_request(self, transport: str, kind: str) -> None:
        self.bad[transport, kind] += 1


class Phone:
    """Telnyx's side of one media socket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self._sequence = itertools.count(1)
        self._chunk = itertools.count(1)

    async def send(self, message: dict[str, Any]) -> None:
        await self.socket.send(orjson.dumps(message).decode())

    async def connected(self, **more: Any) -> None:
        await self.send({"event": "connected", "version": "1.0.0", **more})

    async def start(
        self,
        call_id: str = CALL,
        encoding: str = "PCMU",
        rate_hz: int = 8000,
        parameters: Any = None,
        stream_id: str = STREAM,
        **more: Any,
    ) -> None:
        await self.send(
            {
                "event": "start",
                "sequence_number": str(next(self._sequence)),
                "start": {
                    "user_id": "user",
                    "call_control_id": call_id,
                    "call_session_id": SESSION,
                    "from": "+15005550001",
                    "to": "+15005550006",
                    "tags": [],
                    "client_state": None,
                    "custom_parameters": {} if parameters is None else parameters,
                    "media_format": {"encoding": encoding, "sample_rate": rate_hz, "channels": 1},
                    **more,
                },
                "stream_id": stream_id,
            }
        )

    async def audio(self, payload: bytes = b"\x7f" * 160, **more: Any) -> None:
        chunk = next(self._chunk)
        media = {
            "track": "inbound",
            "chunk": str(chunk),
            "timestamp": str(chunk * 20),
            "payload": base64.b64encode(payload).decode(),
            **more,
        }
        await self.send({"event": "media", "sequence_number": "9", "media": media, "stream_id": STREAM})

    async def key(self, digit: str, occurred_at: str = "") -> None:
        message = {"event": "dtmf", "stream_id": STREAM, "dtmf": {"digit": digit}}
        await self.send(message | ({"occurred_at": occurred_at} if occurred_at else {}))

    async def stop(self) -> None:
        stop = {"user_id": "user", "call_control_id": CALL}
        await self.send({"event": "stop", "sequence_number": "400", "stop": stop, "stream_id": STREAM})

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(3):
            message: dict[str, Any] = orjson.loads(await self.socket.recv())
            return message

    async def closed(self) -> int:
        """Read until the server closes; its code."""
        async with asyncio.timeout(5):
            await self.socket.wait_closed()
        assert self.socket.close_code is not None
        return self.socket.close_code

    def break_off(self) -> None:
        """The network goes away."""
        self.socket.transport.abort()


class Served:
    """A running transport, and Telnyx's side of it."""

    def __init__(self, host: FakeHost, telnyx: Telnyx, url: str, clock: Clock, signing: bool) -> None:
        self.host = host
        self.telnyx = telnyx
        self.url = url
        self._clock = clock
        self._signing = signing
        self._events = itertools.count(1)
        self._session = aiohttp.ClientSession()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def post(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, str]:
        """A request, signed where the server has the key, unless `headers` say otherwise."""
        if headers is None:
            headers = signed(body, self._clock) if self._signing else {}
        if not any(name.casefold() == "content-type" for name in headers):
            headers = {"Content-Type": "application/json"} | headers
        async with self._session.post(self.url + path, data=body, headers=headers) as response:
            return response.status, await response.text()

    async def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
        async with self._session.get(self.url + path, headers=headers) as response:
            return response.status, await response.text()

    async def event(self, event_type: str, call_id: str = CALL, event_id: str = "", **payload: Any) -> int:
        """A Call Control webhook. Its HTTP status."""
        event_id = event_id or f"event-{next(self._events)}"
        status, _ = await self.post("/telnyx/voice", webhook(event_type, call_id, event_id, **payload))
        return status

    async def texml(self, call_id: str = CALL, path: str = "/telnyx/texml", **fields: str) -> tuple[int, str]:
        body = urlencode({"CallSid": call_id, "From": "+1", "To": "+2", **fields}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self.post(path, body, headers | (signed(body, self._clock) if self._signing else {}))

    @asynccontextmanager
    async def phone(self, headers: dict[str, str] | None = None) -> AsyncIterator[Phone]:
        url = "ws" + self.url.removeprefix("http") + "/telnyx/media"
        async with connect(
            url, additional_headers=headers, compression=None, proxy=None, close_timeout=1
        ) as socket:
            yield Phone(socket)

    async def call(self, number: int = 1) -> FakeCall:
        """The latest of this many calls, once they are there."""
        await eventually(lambda: len(self.host.calls) >= number)
        return self.host.calls[-1]


@asynccontextmanager
async def serving(
    signing: bool = False, clock: Clock | None = None, public_url: str | None = None, **environ: str
) -> AsyncIterator[Served]:
    """The transport on a free loopback port, for one test. `signing`: with the public key set."""
    host = FakeHost()
    clock = clock or LoopClock()
    if signing:
        environ["TELNYX_PUBLIC_KEY"] = PUBLIC_KEY
    settings = Settings(public_url=public_url, environ=environ)
    telnyx = Telnyx(TransportContext(host, settings, AGENT, clock))
    app = web.Application()
    app.add_routes(telnyx.routes())
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with Served(host, telnyx, url, clock, signing) as served:
            yield served
    finally:
        await runner.cleanup()
        await telnyx.close()


def webhook(event_type: str, call_id: str = CALL, event_id: str = "event", **payload: Any) -> bytes:
    data = {
        "record_type": "event",
        "event_type": event_type,
        "id": event_id,
        "occurred_at": "2026-11-20T10:00:20.000000Z",
        "payload": {"call_control_id": call_id, "call_session_id": SESSION, **payload},
    }
    return orjson.dumps({"data": data, "meta": {"attempt": 1, "delivered_to": "https://x.test"}})


def signed(body: bytes, clock: Clock, key: Ed25519PrivateKey = KEY, age_s: int = 0) -> dict[str, str]:
    """The headers with which Telnyx signs."""
    timestamp = str(int(clock.unix_s()) - age_s)
    signature = base64.b64encode(key.sign(timestamp.encode() + b"|" + body)).decode()
    return {"telnyx-signature-ed25519": signature, "telnyx-timestamp": timestamp}


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until `condition()` holds; fails after 5 s."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)
