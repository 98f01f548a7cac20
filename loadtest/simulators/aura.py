"""A stand-in of Deepgram's speech synthesis: Aura over WebSocket and REST.

It listens on a real socket with the vendor's paths, headers, checks and close codes, speaks in tones
(`loadtest.simulators.tones`) in the encoding asked for, at its profile's times, and fails as told.
Sheet: `protocols/providers/deepgram.md`, 1 and 4.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import orjson
from aiohttp import WSMsgType, web

from agent.clock import Clock
from loadtest.simulators.aura_wire import (
    MAX_CHARACTERS,
    SESSION_MS,
    FlushLimit,
    QueryMistake,
    SpeakQuery,
    TextBuffer,
    cleared,
    error_body,
    flushed,
    given_key,
    metadata,
    read_query,
    warning,
)
from loadtest.simulators.faults import Fault, Faults
from loadtest.simulators.profile import PRESETS, Profile, Timings
from loadtest.simulators.served import Simulator
from loadtest.simulators.tones import Tones

TIMINGS: Mapping[str, Profile] = {
    "connect": Profile.fixed(0),
    "first_audio": PRESETS["deepgram.aura-2.first_audio"],
    # Faster than real time; how much faster is an assumption.
    "chunk": Profile(15, 30, 60),
    "dribble": Profile.fixed(1_000),
    # Longer than a client should wait for a `Flushed` or a close.
    "slow_close": Profile.fixed(10_000),
}
"""The simulator's delays and what they are unless told otherwise."""

CHUNK_MS = 100.0
"""Audio in one message."""
LATE_CHUNKS = 2
"""Audio messages that still come after a `Clear`: the sheet says a few may."""
KEPT = 64
"""Texts kept for inspection."""
MAX_WAITING = 256
"""Sentences and flushes that wait to be spoken on one socket."""
_GARBAGE = ('{"type":"Flushed","sequ', '{"type":"Unheard","of":1}', "\x00<html>", "[]")


@dataclass(slots=True)
class Counts:
    """What the simulator has done."""

    connections: int = 0
    open: int = 0
    requests: int = 0
    """REST requests."""
    flushed: int = 0
    cleared: int = 0
    warned: int = 0
    audio_ms: float = 0.0
    refused: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=KEPT))
    """Status and code of the latest upgrades and requests refused on its own account."""
    closed: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=KEPT))
    """Close codes and reasons given to sockets that broke the rules."""


class AuraSimulator(Simulator):
    """`async with` it: listens on entry, on `host` and `port` (0: a free one).

    `timings` and `faults` can be changed while it runs, also over `PUT /profile` and `PUT /faults`. A socket
    or REST request draws its fault once. `api_key` None takes any key, and none.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        timings: Timings | None = None,
        faults: Faults | None = None,
        api_key: str | None = None,
        session_ms: float = SESSION_MS,
    ) -> None:
        super().__init__(TIMINGS, timings, faults)
        self.counts = Counts()
        self.spoken: deque[str] = deque(maxlen=KEPT)
        """The latest texts that were turned into audio, sentence by sentence."""
        self.queries: deque[SpeakQuery] = deque(maxlen=KEPT)
        self.clock = clock
        self.session_ms = session_ms
        self._api_key = api_key

    def routes(self) -> Iterable[web.RouteDef]:
        """See `Simulator`."""
        return [web.get("/v1/speak", self._socket), web.post("/v1/speak", self._request)]

    def _refusal(self, request: web.Request, fault: Fault | None) -> web.Response | SpeakQuery:
        """The answer if there is to be no speech, else what is wanted."""
        if fault is Fault.REFUSE:
            _cut(request)
            return web.Response()
        if fault is Fault.TOO_MANY_REQUESTS:
            return _error(429, "TOO_MANY_REQUESTS", "Too many requests. Please try again later.")
        if fault is Fault.SERVER_ERROR:
            return _error(503, "SERVICE_UNAVAILABLE", "The service is temporarily unavailable.")
        if self._api_key is not None and given_key(request.headers) != self._api_key:
            return self.refuse(401, "INVALID_AUTH", "Invalid credentials.")
        try:
            query = read_query(request.query.items())
        except QueryMistake as mistake:
            return self.refuse(400, "INVALID_QUERY_PARAMETER", str(mistake))
        self.queries.append(query)
        return query

    def refuse(self, status: int, code: str, message: str) -> web.Response:
        """Count and answer a request that breaks the rules."""
        self.counts.refused.append((status, code))
        return _error(status, code, message)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        self.counts.connections += 1
        fault = self.faults.next()
        query = self._refusal(request, fault)
        if isinstance(query, web.Response):
            return query
        await self.clock.sleep(self.timings.draw_ms("connect"))
        protocols = ("token", "bearer")
        socket = web.WebSocketResponse(compress=False, timeout=0.5, protocols=protocols)
        request_id = f"00000000-0000-4000-8000-{self.counts.connections:012d}"
        socket.headers["dg-request-id"] = request_id
        await socket.prepare(request)
        self.counts.open += 1
        try:
            await socket.send_str(metadata(query, request_id))
            await _Connection(self, request, socket, query, fault).run()
        except ConnectionResetError:
            pass  # the client has gone, as clients do
        finally:
            self.counts.open -= 1
        return socket

    async def _request(self, request: web.Request) -> web.StreamResponse:
        self.counts.requests += 1
        fault = self.faults.next()
        query = self._refusal(request, fault)
        if isinstance(query, web.Response):
            return query
        try:
            text = orjson.loads(await request.read())["text"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return self.refuse(400, "INVALID_JSON", "Payload must be valid JSON with a text.")
        if not isinstance(text, str) or not text.strip():
            return self.refuse(400, "INPUT_EMPTY", "The input text is empty.")
        if len(text) > MAX_CHARACTERS:
            return self.refuse(413, "INPUT_TOO_LONG", f"The limit is {MAX_CHARACTERS} characters.")
        self.spoken.append(text)
        response = web.StreamResponse(
            headers={
                "Content-Type": "audio/mulaw" if "mulaw" in request.query_string else "audio/l16",
                "dg-request-id": f"simulated-{self.counts.requests}",
                "dg-char-count": str(len(text)),
                "dg-model-name": query.model,
            }
        )
        await response.prepare(request)
        await self._play(request, response, query, text, fault)
        return response

    async def _play(
        self,
        request: web.Request,
        response: web.StreamResponse,
        query: SpeakQuery,
        text: str,
        fault: Fault | None,
    ) -> None:
        """A REST answer's body, a chunk at a time."""
        if fault is Fault.STALL_OPEN:
            await asyncio.get_running_loop().create_future()
        chunks = _chunks(Tones(query.audio, query.speed).speak(text), query)
        for position, chunk in enumerate(chunks):
            await self.pause(position, fault)
            await response.write(b"<html>not audio</html>" if fault is Fault.GARBAGE else chunk)
            self.counts.audio_ms += query.audio.duration_ms(len(chunk))
            if fault is Fault.DIE_MID_STREAM and position >= len(chunks) // 2:
                _cut(request)
                return
        if fault is Fault.SLOW_CLOSE:
            await self.clock.sleep(self.timings.draw_ms("slow_close"))
        await response.write_eof()

    async def pause(self, position: int, fault: Fault | None) -> None:
        """Before a sentence's chunk number `position`."""
        name = "chunk" if position else "first_audio"
        if position and fault is Fault.DRIBBLE:
            name = "dribble"
        await self.clock.sleep(self.timings.draw_ms(name))


_FLUSH, _CLOSE = object(), object()


class _Connection:
    """One socket."""

    def __init__(
        self,
        simulator: AuraSimulator,
        request: web.Request,
        socket: web.WebSocketResponse,
        query: SpeakQuery,
        fault: Fault | None,
    ) -> None:
        self._simulator = simulator
        self._request = request
        self._socket = socket
        self._query = query
        self._fault = fault
        self._tones = Tones(query.audio, query.speed)
        self._text = TextBuffer()
        self._limit = FlushLimit()
        self._waiting: asyncio.Queue[object] = asyncio.Queue(MAX_WAITING)
        self._sequence = 0
        self._clears = 0

    async def run(self) -> None:
        """Until the socket is closed by either side."""
        speaker = asyncio.create_task(self._speak(), name="aura simulator speaks")
        expiry = self._simulator.clock.call_later(self._simulator.session_ms, speaker.cancel)
        reader = asyncio.create_task(self._read(), name="aura simulator reads")
        try:
            await asyncio.wait((speaker, reader), return_when=asyncio.FIRST_COMPLETED)
            if speaker.cancelled():
                await self._close(1011, "NET-0003: the connection has reached its time limit")
        finally:
            expiry.cancel()
            for task in (speaker, reader):
                task.cancel()
            for ended in await asyncio.gather(speaker, reader, return_exceptions=True):
                if isinstance(ended, Exception) and not isinstance(ended, ConnectionResetError):
                    raise ended

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                await self._close(1003, "MESSAGE-0000: only text frames are accepted")
                return
            if not await self._command(message.data):
                return

    async def _command(self, data: str) -> bool:
        """A message. False ends the reading."""
        try:
            command = orjson.loads(data)
            kind = command["type"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            kind = None
        if kind == "Speak" and isinstance(command.get("text"), str):
            text = command["text"]
            if len(text) > MAX_CHARACTERS:
                await self._close(1009, "BIG-0001: the text is too long")
                return False
            for sentence in self._text.add(text):
                await self._waiting.put(sentence)
        elif kind == "Flush":
            await self._flush()
        elif kind == "Clear":
            await self._clear()
        elif kind == "Close":
            await self._waiting.put(self._text.flush())
            await self._waiting.put(_CLOSE)
            # The speaker closes the socket when it has come so far.
            await asyncio.get_running_loop().create_future()
        else:
            await self._close(1008, "DATA-0000: unknown command")
            return False
        return True

    async def _flush(self) -> None:
        if not self._limit.allows(self._simulator.clock.now_ms()):
            self._simulator.counts.warned += 1
            text = warning("EXCEEDED_FLUSH_LIMIT", "flush limit reached: 20 in 60 seconds; not flushed")
            await self._socket.send_str(text)
            return
        await self._waiting.put(self._text.flush())
        await self._waiting.put(_FLUSH)

    async def _clear(self) -> None:
        self._text.flush()
        while not self._waiting.empty():
            self._waiting.get_nowait()
        self._clears += 1
        # What is being spoken runs on for a moment; its `Cleared` follows. Otherwise nothing is in the way.
        await self._waiting.put(None)

    async def _speak(self) -> None:
        counts = self._simulator.counts
        while (work := await self._waiting.get()) is not _CLOSE:
            if work is None:
                counts.cleared += 1
                await self._reply(cleared(self._next()))
            elif work is _FLUSH:
                if self._fault is Fault.SLOW_CLOSE:
                    await self._simulator.clock.sleep(self._simulator.timings.draw_ms("slow_close"))
                counts.flushed += 1
                await self._reply(flushed(self._next()))
            elif isinstance(work, str) and work:
                await self._say(work)
        if self._fault is Fault.SLOW_CLOSE:
            await self._simulator.clock.sleep(self._simulator.timings.draw_ms("slow_close"))
        await self._socket.close(code=1000)

    async def _say(self, sentence: str) -> None:
        simulator, clears = self._simulator, self._clears
        simulator.spoken.append(sentence)
        if self._fault is Fault.STALL_OPEN:
            await asyncio.get_running_loop().create_future()
        chunks = _chunks(self._tones.speak(sentence), self._query)
        late = 0
        for position, chunk in enumerate(chunks):
            await simulator.pause(position, self._fault)
            if self._clears != clears:
                late += 1
                if late > LATE_CHUNKS:
                    return
            if self._fault is Fault.GARBAGE:
                await self._socket.send_str(_GARBAGE[position % len(_GARBAGE)])
                continue
            await self._socket.send_bytes(chunk)
            simulator.counts.audio_ms += self._query.audio.duration_ms(len(chunk))
            if self._fault is Fault.DIE_MID_STREAM and position >= len(chunks) // 2:
                _cut(self._request)

    async def _reply(self, text: str) -> None:
        await self._socket.send_str(_GARBAGE[0] if self._fault is Fault.GARBAGE else text)

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence - 1

    async def _close(self, code: int, reason: str) -> None:
        self._simulator.counts.closed.append((code, reason))
        await self._socket.close(code=code, message=reason.encode())


def _chunks(audio: bytes, query: SpeakQuery) -> list[bytes]:
    size = int(query.audio.bytes_per_ms * CHUNK_MS)
    return [audio[at : at + size] for at in range(0, len(audio), size)]


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _error(status: int, code: str, message: str) -> web.Response:
    headers = {"dg-error": message, "dg-request-id": "simulated"}
    if status == 429:
        headers["retry-after"] = "1"
    return web.Response(
        body=error_body(code, message), status=status, headers=headers, content_type="application/json"
    )
