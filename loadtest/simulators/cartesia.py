"""A stand-in of Cartesia's speech socket, `/tts/websocket`.

It listens on a real socket, refuses what Cartesia refuses, speaks many contexts at once at its profile's
times, and fails as told. Cartesia sheet 1, 2 and 10.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from agent.clock import Clock
from loadtest.simulators.cartesia_context import Context, Request, RequestMistake, error_message, read_request
from loadtest.simulators.cartesia_voice import Voice, tones
from loadtest.simulators.faults import Fault, Faults
from loadtest.simulators.profile import PRESETS, Profile, Timings
from loadtest.simulators.served import Simulator
from loadtest.simulators.watched import IdleWatch

TIMINGS: Mapping[str, Profile] = {
    "connect": Profile.fixed(50),
    "first_audio": PRESETS["cartesia.sonic-3.5.first_audio"],
    # No sheet says how fast the rest comes, only that it is faster than real time: 100 ms each 20 ms.
    "inter_chunk": Profile(20, 40, 80),
    "dribble": Profile.fixed(2_000),
    "slow_close": Profile.fixed(10_000),
}
"""The simulator's delays and what they are unless told otherwise."""

IDLE_MS = 300_000.0
"""A socket without messages is closed after this, with 1000 (sheet 2)."""
VERSIONS = frozenset(("2024-06-10", "2024-11-13", "2025-04-16", "2026-03-01"))
KEPT = 64
"""Things kept for inspection."""
CLOSE_S = 0.5
"""How long the client's half of the closing handshake is waited for."""
MAX_WAITING = 4_096
"""Messages that wait for a client that does not read."""


@dataclass(slots=True)
class Counts:
    """What the simulator has done."""

    connections: int = 0
    open: int = 0
    """Sockets that are open now."""
    contexts: int = 0
    active: int = 0
    """Contexts that are alive now."""
    most_active: int = 0
    finished: int = 0
    """Contexts that got to their `done`."""
    cancelled: int = 0
    expired: int = 0
    """Contexts that nobody ended."""
    errors: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=KEPT))
    """Status and code of the latest errors said on its own account (not as a fault)."""


class CartesiaSimulator(Simulator):
    """`async with` it: listens on entry, on `host` and `port` (0: a free one).

    `voice` makes the audio. `timings` and `faults` can be changed while it runs, also over `PUT /profile` and
    `PUT /faults`. A fault is drawn for each socket (`REFUSE`, `TOO_MANY_REQUESTS`, `SERVER_ERROR`) or, with
    `faults_per_context`, for each context. `api_key` None takes any key; `max_contexts` is the plan's limit.
    """

    SCHEME = "ws"

    def __init__(
        self,
        clock: Clock,
        voice: Voice = tones,
        *,
        timings: Timings | None = None,
        faults: Faults | None = None,
        faults_per_context: bool = False,
        api_key: str | None = None,
        max_contexts: int | None = None,
    ) -> None:
        super().__init__(TIMINGS, timings, faults)
        self.clock = clock
        self.voice = voice
        self.faults_per_context = faults_per_context
        self.max_contexts = max_contexts
        self.counts = Counts()
        self.requests: deque[dict[str, Any]] = deque(maxlen=KEPT)
        """The latest messages from clients."""
        self._api_key = api_key
        self._connections: set[_Connection] = set()

    def routes(self) -> Iterable[web.RouteDef]:
        """See `Simulator`."""
        return [web.get("/tts/websocket", self._speak)]

    def cut_all(self) -> None:
        """Cut every open socket, as a restart of the service would."""
        for connection in list(self._connections):
            connection.cut()

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        self.counts.connections += 1
        fault = None if self.faults_per_context else self.faults.next()
        if fault is Fault.REFUSE:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        if fault is Fault.TOO_MANY_REQUESTS:
            return _error(429, "too_many_connections", "Too many WebSocket connections")
        if fault is Fault.SERVER_ERROR:
            return _error(503, "unavailable", "The service is unavailable")
        version = request.headers.get("Cartesia-Version") or request.query.get("cartesia_version")
        if version not in VERSIONS:
            return self._refused(400, "invalid_version", "The Cartesia-Version header is missing or unknown")
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self._api_key is not None and self._api_key not in (given, request.headers.get("X-API-Key")):
            return self._refused(401, "unauthorized", "Invalid API key")
        await self.clock.sleep(self.timings.draw_ms("connect"))
        slow = fault is Fault.SLOW_CLOSE
        socket = web.WebSocketResponse(compress=False, timeout=CLOSE_S, autoclose=not slow)
        await socket.prepare(request)
        self.counts.open += 1
        connection = _Connection(self, request, socket, fault)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            self.counts.open -= 1
        return socket

    def _refused(self, status: int, code: str, message: str) -> web.Response:
        self.counts.errors.append((status, code))
        return _error(status, code, message)


class _Connection:
    """One socket."""

    def __init__(
        self,
        simulator: CartesiaSimulator,
        request: web.Request,
        socket: web.WebSocketResponse,
        fault: Fault | None,
    ) -> None:
        self._simulator = simulator
        self._request = request
        self._socket = socket
        self._fault = fault
        self._contexts: dict[str, Context] = {}
        self._ended: deque[str] = deque(maxlen=KEPT)
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(MAX_WAITING)
        self._watch = IdleWatch(simulator.clock, IDLE_MS * simulator.timings.scale)

    async def run(self) -> None:
        """Until the socket is closed by either side."""
        try:
            await self._watch.run(self._read(), self._write(), self._close_idle, "cartesia")
        finally:
            contexts = list(self._contexts.values())
            for context in contexts:
                self._end(context)
                context.task.cancel()
            await asyncio.gather(*(context.task for context in contexts), return_exceptions=True)

    async def _close_idle(self) -> None:
        await self._socket.close(code=1000, message=b"connection idle timeout")

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                self._watch.alive()
                self._heard(message.data)
        if self._fault is Fault.SLOW_CLOSE:
            await self._simulator.clock.sleep(self._simulator.timings.draw_ms("slow_close"))

    def _heard(self, data: str) -> None:
        counts = self._simulator.counts
        name = ""
        try:
            message = orjson.loads(data)
            name = str(message.get("context_id", ""))
            self._simulator.requests.append(message)
            if message.get("cancel") is True:
                self._cancel(name)
                return
            request = read_request(message)
            if name in self._ended and not request.transcript:
                return
            context = self._contexts.get(name) or self._begin(name, request)
            context.add(request)
        except RequestMistake as mistake:
            counts.errors.append((mistake.status, mistake.code))
            self.send(error_message(name, mistake.status, mistake.code, str(mistake)))
            if (known := self._contexts.get(name)) is not None:
                known.task.cancel()
                self._end(known)
        except (orjson.JSONDecodeError, AttributeError):
            counts.errors.append((400, "bad_json"))
            self.send(error_message("", 400, "bad_json", "The message is no JSON object"))

    def _begin(self, name: str, request: Request) -> Context:
        simulator, counts = self._simulator, self._simulator.counts
        if name in self._ended:
            raise RequestMistake(400, "context_expired", "The context has ended")
        if simulator.max_contexts is not None and counts.active >= simulator.max_contexts:
            raise RequestMistake(429, "concurrency_limited", "Too many concurrent contexts")
        fault = simulator.faults.next() if simulator.faults_per_context else self._fault
        if fault is Fault.TOO_MANY_REQUESTS and simulator.faults_per_context:
            raise RequestMistake(429, "concurrency_limited", "Too many concurrent contexts")
        if fault is Fault.SERVER_ERROR and simulator.faults_per_context:
            raise RequestMistake(500, "internal", "Something went wrong")
        context = Context(
            name, request, simulator.clock, simulator.timings, simulator.voice, fault, self.send, self.cut
        )
        context.task = asyncio.create_task(context.run(), name="cartesia simulator speaks")
        context.task.add_done_callback(lambda _: self._end(context))
        self._contexts[name] = context
        counts.contexts += 1
        counts.active += 1
        counts.most_active = max(counts.most_active, counts.active)
        return context

    def _cancel(self, name: str) -> None:
        """What is under way goes on to its end; nothing new begins (sheet 2)."""
        context = self._contexts.get(name)
        if context is not None:
            self._simulator.counts.cancelled += 1
            context.cancel()

    def _end(self, context: Context) -> None:
        if self._contexts.pop(context.name, None) is not None:
            self._ended.append(context.name)
            counts = self._simulator.counts
            counts.active -= 1
            counts.finished += context.done
            counts.expired += context.expired

    def send(self, message: bytes) -> None:
        """Queue a message; dropped while the client does not read."""
        if not self._waiting.full():
            self._waiting.put_nowait(message)

    def cut(self) -> None:
        """Cut the connection, behind what was sent."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _write(self) -> None:
        while True:
            message = await self._waiting.get()
            try:
                await self._socket.send_str(message.decode("utf-8", "replace"))
            except ConnectionResetError:
                return  # the client has gone: the reader ends by itself


def _error(status: int, code: str, message: str) -> web.Response:
    body = {
        "title": "Error",
        "message": message,
        "error_code": code,
        "status_code": status,
        "request_id": "simulated",
    }
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
