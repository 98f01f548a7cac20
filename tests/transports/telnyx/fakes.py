"""The running transport for its tests, and Telnyx's side of webhooks and sockets."""

import asyncio
import base64
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
import orjson
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from agent.agentfile.schema import AgentFile
from agent.clock import Clock, LoopClock, Timer
from agent.plugins import TransportContext
from agent.settings import Settings
from agent.ticker import Ticker
from tests.transports.fakes import FakeCall, FakeHost, eventually
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
        "phrases": {
            "reprompt": {"en": "Are you there?"},
            "silence_goodbye": {"en": "I hang up."},
            "time_goodbye": {"en": "Time is up."},
            "apology": {"en": "Please call again."},
            "not_understood": {"en": "Pardon?"},
            "transferring": {"en": "One moment."},
            "goodbye": {"en": "Goodbye."},
        },
        "unknown": {"en": "I do not know."},
        "knowledge": [{"id": "hours", "ask": {"en": ["hours"]}, "answer": {"en": "Nine to five."}}],
    }
)


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

    async def mark(self, name: str) -> None:
        await self.send({"event": "mark", "stream_id": STREAM, "mark": {"name": name}})

    async def stop(self) -> None:
        stop = {"user_id": "user", "call_control_id": CALL}
        await self.send({"event": "stop", "sequence_number": "400", "stop": stop, "stream_id": STREAM})

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(20):
            message: dict[str, Any] = orjson.loads(await self.socket.recv())
            return message

    async def closed(self) -> int:
        """Read until the server closes; its code."""
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self.socket.recv()
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
    environ: Mapping[str, str] | None = None,
    signing: bool = False,
    clock: Clock | None = None,
    public_url: str | None = None,
    **more: str,
) -> AsyncIterator[Served]:
    """The transport on a free loopback port, for one test. Variables by `environ` or by name.

    `signing`: with the public key set.
    """
    host = FakeHost()
    clock = clock or LoopClock()
    keys = {"TELNYX_PUBLIC_KEY": PUBLIC_KEY} if signing else {}
    settings = Settings(public_url=public_url, environ={**(environ or {}), **more, **keys})
    telnyx = Telnyx(TransportContext(host, settings, AGENT, clock, Ticker(clock)))
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
