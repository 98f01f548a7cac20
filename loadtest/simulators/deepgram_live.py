"""A stand-in of Deepgram's live recognition, `/v1/listen`, that hears what the callers of a load test say.

It listens on a real socket, refuses what Deepgram refuses, knows the callers' sentences by their sound
(`loadtest.simulators.audio_fingerprint`), answers at its profile's times and fails as told. Everything
that it says follows the audio it was sent, not the clock. Deepgram sheet 1, 2 and 10.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import orjson
from aiohttp import WSMsgType, web

from agent.clock import Clock
from loadtest.simulators.audio_fingerprint import Fingerprints
from loadtest.simulators.deepgram_session import ListenQuery, LiveSession, QueryMistake, metadata, read_query
from loadtest.simulators.faults import Fault, Faults
from loadtest.simulators.profile import PRESETS, Profile, Timings
from loadtest.simulators.served import Simulator
from loadtest.simulators.watched import IdleWatch

TIMINGS: Mapping[str, Profile] = {
    # No sheet says how long an upgrade takes; name resolution and TLS are not in it.
    "connect": Profile.fixed(50),
    "final": PRESETS["deepgram.nova-3.final"],
    # Published for finals only: an interim result is taken to be behind the audio by about as much.
    "interim": Profile(150, 250, 300),
    "dribble": Profile.fixed(3_000),
    # Longer than any client should wait for the goodbye.
    "slow_close": Profile.fixed(10_000),
}
"""The simulator's delays and what they are unless told otherwise."""

IDLE_MS = 10_000.0
"""Without audio or KeepAlive the socket is closed with NET-0001 (sheet 2)."""
KEPT = 64
"""Things kept for inspection; a load test makes hundreds of thousands."""
CLOSE_S = 0.5
"""How long the client's half of the closing handshake is waited for."""
MAX_WAITING = 1_024
"""Results that wait to be sent on one socket; at one a second that is a quarter of an hour."""
_GARBAGE = (
    b'{"type":"Results","channel":{"alterna',
    b'{"type":"Results","channel":[]}',
    b"\x00<html>",
    b"[1]",
)


@dataclass(slots=True)
class Counts:
    """What the simulator has done."""

    connections: int = 0
    open: int = 0
    """Sockets that are open now."""
    audio_ms: float = 0.0
    results: int = 0
    finalized: int = 0
    finished: int = 0
    """Sockets that ended with CloseStream and its answers."""
    idle: int = 0
    """Sockets closed with NET-0001."""
    refused: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=KEPT))
    """Status and code of the latest upgrades refused on its own account (not as a fault)."""


class DeepgramLiveSimulator(Simulator):
    """`async with` it: listens on entry, on `host` and `port` (0: a free one).

    `known` are the sentences it understands; all else is heard as silence. `timings` and `faults` can be
    changed while it runs, also over `PUT /profile` and `PUT /faults`. `api_key` None takes any key, and none.
    With `finalize_needs_ms` a `Finalize` that less audio was pending for goes unanswered (sheet 2, rule 5).
    """

    SCHEME = "ws"

    def __init__(
        self,
        clock: Clock,
        known: Fingerprints,
        *,
        timings: Timings | None = None,
        faults: Faults | None = None,
        api_key: str | None = None,
        finalize_needs_ms: float = 0.0,
    ) -> None:
        super().__init__(TIMINGS, timings, faults)
        self.known = known
        self.counts = Counts()
        self.queries: deque[ListenQuery] = deque(maxlen=KEPT)
        """What the latest sockets asked for."""
        self.heard: deque[str] = deque(maxlen=KEPT)
        """The latest final transcripts with words."""
        self.finalize_needs_ms = finalize_needs_ms
        self.clock = clock
        self._api_key = api_key

    def routes(self) -> Iterable[web.RouteDef]:
        """See `Simulator`."""
        return [web.get("/v1/listen", self._listen)]

    async def _listen(self, request: web.Request) -> web.StreamResponse:
        self.counts.connections += 1
        fault = self.faults.next()
        if fault is Fault.REFUSE:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        if fault is Fault.TOO_MANY_REQUESTS:
            return _error(429, "TOO_MANY_REQUESTS", "Too many requests. Please try again later.")
        if fault is Fault.SERVER_ERROR:
            return _error(503, "SERVICE_UNAVAILABLE", "The service is temporarily unavailable.")
        given = request.headers.get("Authorization", "").removeprefix("Token ").removeprefix("Bearer ")
        if self._api_key is not None and given != self._api_key:
            return self._refused(401, "INVALID_AUTH", "Invalid credentials.")
        try:
            query = read_query(list(request.query.items()))
        except QueryMistake as mistake:
            return self._refused(400, "INVALID_QUERY_PARAMETER", str(mistake))
        self.queries.append(query)
        await self.clock.sleep(self.timings.draw_ms("connect"))
        socket = web.WebSocketResponse(compress=False, timeout=CLOSE_S)
        socket.headers["dg-request-id"] = f"00000000-0000-4000-8000-{self.counts.connections:012d}"
        await socket.prepare(request)
        self.counts.open += 1
        try:
            await _Connection(self, request, socket, query, fault).run()
        finally:
            self.counts.open -= 1
        return socket

    def _refused(self, status: int, code: str, message: str) -> web.Response:
        self.counts.refused.append((status, code))
        return _error(status, code, message)


class _Connection:
    """One socket."""

    def __init__(
        self,
        simulator: DeepgramLiveSimulator,
        request: web.Request,
        socket: web.WebSocketResponse,
        query: ListenQuery,
        fault: Fault | None,
    ) -> None:
        self._simulator = simulator
        self._clock = simulator.clock
        self._request = request
        self._socket = socket
        self._fault = fault
        self._session = LiveSession(simulator.known.stream(query.audio), query, simulator.finalize_needs_ms)
        self._waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MAX_WAITING)
        self._due_ms = 0.0
        self._watch = IdleWatch(simulator.clock, IDLE_MS * simulator.timings.scale)

    async def run(self) -> None:
        """Until the socket is closed by either side."""
        await self._watch.run(self._read(), self._write(), self._close_idle, "deepgram")

    async def _close_idle(self) -> None:
        self._simulator.counts.idle += 1
        reason = b"NET-0001: no audio or KeepAlive was received within the timeout window"
        await self._socket.close(code=1011, message=reason)

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.BINARY:
                self._audio(message.data)
            elif not await self._command(message.data):
                break

    def _audio(self, data: bytes) -> None:
        session, counts = self._session, self._simulator.counts
        before_ms = session.position_ms
        self._watch.alive()
        for message in session.audio(data):
            self._send(message, "interim")
        counts.audio_ms += session.position_ms - before_ms

    async def _command(self, data: str) -> bool:
        """A text message. False ends the socket."""
        try:
            kind = orjson.loads(data)["type"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            kind = None
        if kind == "KeepAlive":
            # From a socket that never had audio it does not count.
            if self._session.position_ms > 0:
                self._watch.alive()
        elif kind == "Finalize":
            self._simulator.counts.finalized += 1
            for message in self._session.finalize():
                self._send(message, "final")
        elif kind == "CloseStream":
            await self._goodbye()
            return False
        else:
            await self._socket.close(code=1008, message=b"DATA-0000: unknown command")
            return False
        return True

    async def _goodbye(self) -> None:
        if self._fault is Fault.STALL_OPEN:
            await asyncio.get_running_loop().create_future()
        if self._fault is Fault.SLOW_CLOSE:
            await self._clock.sleep(self._simulator.timings.draw_ms("slow_close"))
        for message in self._session.close():
            self._send(message, "final")
        await self._waiting.join()
        await self._socket.send_str(metadata(self._session.position_ms).decode())
        await self._socket.close(code=1000)
        self._simulator.counts.finished += 1

    def _send(self, message: bytes, delay: str) -> None:
        """Later, in order: a slow result holds up those behind it."""
        if self._fault is Fault.STALL_OPEN or self._waiting.full():
            return
        delay = "dribble" if self._fault is Fault.DRIBBLE else delay
        self._due_ms = max(self._due_ms, self._clock.now_ms() + self._simulator.timings.draw_ms(delay))
        self._waiting.put_nowait((self._due_ms, message))

    async def _write(self) -> None:
        counts, heard = self._simulator.counts, self._simulator.heard
        while True:
            due_ms, message = await self._waiting.get()
            if (wait_ms := due_ms - self._clock.now_ms()) > 0:
                await self._clock.sleep(wait_ms)
            if self._fault is Fault.GARBAGE:
                message = _GARBAGE[counts.results % len(_GARBAGE)]
            try:
                await self._socket.send_str(message.decode("utf-8", "replace"))
                counts.results += 1
                if text := self._session.final_text(message):
                    heard.append(text)
            except ConnectionResetError:
                pass  # the client has gone: the reader ends by itself
            finally:
                self._waiting.task_done()
            if self._fault is Fault.DIE_MID_STREAM and self._request.transport is not None:
                self._request.transport.abort()


def _error(status: int, code: str, message: str) -> web.Response:
    body = {"err_code": code, "err_msg": message, "request_id": "simulated"}
    headers = {"dg-error": message, "dg-request-id": "simulated"}
    return web.Response(
        body=orjson.dumps(body), status=status, headers=headers, content_type="application/json"
    )
