"""A stand-in of OpenAI's Realtime speech-to-speech over WebSocket.

It listens on a real socket, hears speech by its energy on the time of the audio that it is sent, answers
from a script in tones (`loadtest.simulators.tones`), faster than real time as the vendor does, checks what
the vendor checks, and fails as told. Sheet: `protocols/providers/openai.md`, 7 and 13.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import orjson
from aiohttp import WSMsgType, web

from agent.clock import Clock
from loadtest.simulators.faults import Fault, Faults
from loadtest.simulators.profile import PRESETS, Profile, Timings
from loadtest.simulators.realtime_config import EventMistake
from loadtest.simulators.realtime_reply import Event, Spoken
from loadtest.simulators.realtime_session import Heard, Script, Session, error
from loadtest.simulators.served import Simulator

TIMINGS: Mapping[str, Profile] = {
    "connect": Profile.fixed(0),
    # From the caller's last word: the silence that ended the turn is part of it.
    "voice_to_voice": PRESETS["openai.gpt-realtime-2.1.voice_to_voice"],
    # Between deltas of 200 ms of audio: some five times faster than real time. An assumption.
    "chunk": Profile(40, 60, 120),
    "dribble": Profile.fixed(2_000),
    # Longer than a client should wait for `response.done` after the last audio.
    "slow_close": Profile.fixed(10_000),
}
"""The simulator's delays and what they are unless told otherwise."""

SESSION_MS = 3_600_000.0
"""A session lives an hour and ends without a warning (openai.md 7.1)."""
MAX_MESSAGE_BYTES = 20 * 1024 * 1024
"""15 MiB of audio in base64 (openai.md 4)."""
KEPT = 256
"""Client events kept for inspection."""
_GARBAGE = ('{"type":"response.output_audio.del', '{"type":"response.unheard_of"}', "\x00<html>", "[]")


@dataclass(slots=True)
class Counts:
    """What the simulator has done."""

    connections: int = 0
    open: int = 0
    responses: int = 0
    """That came to their `response.done`."""
    errors: int = 0
    """`error` events sent."""
    expired: int = 0
    refused: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=KEPT))
    """Status and code of the latest upgrades refused on its own account."""


def hours(_: int) -> Spoken:
    """The answer of load tests: two sentences."""
    return Spoken(("We are open from nine to five. Would you like an appointment?",))


def unheard(_: int) -> str:
    """Nothing is recognised: the transcript of every turn."""
    return "What are your opening hours?"


class RealtimeSimulator(Simulator):
    """`async with` it: listens on entry, on `host` and `port` (0: a free one).

    `script` gives what is said by number of the response, `heard` the transcript by number of the caller's
    turn. `timings` and `faults` can be changed while it runs, also over `PUT /profile` and `PUT /faults`; a
    socket draws its fault once. `api_key` None takes any key; `models` empty takes any model.
    """

    BASE_PATH = "/v1"

    def __init__(
        self,
        clock: Clock,
        script: Script = hours,
        heard: Heard = unheard,
        *,
        timings: Timings | None = None,
        faults: Faults | None = None,
        api_key: str | None = None,
        models: tuple[str, ...] = (),
        session_ms: float = SESSION_MS,
    ) -> None:
        super().__init__(TIMINGS, timings, faults)
        self.script = script
        self.heard = heard
        self.counts = Counts()
        self.events: deque[Event] = deque(maxlen=KEPT)
        """The latest events from clients, without audio."""
        self.clock = clock
        self.session_ms = session_ms
        self._api_key = api_key
        self._models = models

    def routes(self) -> Iterable[web.RouteDef]:
        """See `Simulator`."""
        return [web.get("/v1/realtime", self._talk)]

    async def _talk(self, request: web.Request) -> web.StreamResponse:
        self.counts.connections += 1
        fault = self.faults.next()
        if fault is Fault.REFUSE:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        if fault is Fault.SERVER_ERROR:
            return _refusal(503, "server_error", "The server is overloaded")
        model = request.query.get("model", "")
        if self._api_key is not None and _given_key(request) != self._api_key:
            return self._refuse(401, "invalid_api_key", "Incorrect API key provided")
        if not model:
            return self._refuse(400, "missing_model", "You must provide a model parameter")
        if self._models and model not in self._models:
            return self._refuse(404, "model_not_found", f"The model `{model}` does not exist")
        await self.clock.sleep(self.timings.draw_ms("connect"))
        socket = web.WebSocketResponse(
            compress=False, timeout=0.5, protocols=("realtime",), max_msg_size=MAX_MESSAGE_BYTES
        )
        await socket.prepare(request)
        self.counts.open += 1
        try:
            await _Connection(self, request, socket, Session(model, self.script, self.heard), fault).run()
        except ConnectionResetError:
            pass  # the client has gone, as clients do
        finally:
            self.counts.open -= 1
        return socket

    def _refuse(self, status: int, code: str, message: str) -> web.Response:
        self.counts.refused.append((status, code))
        return _refusal(status, code, message)


class _Connection:
    """One socket: reads events into the session, and paces its responses."""

    def __init__(
        self,
        simulator: RealtimeSimulator,
        request: web.Request,
        socket: web.WebSocketResponse,
        session: Session,
        fault: Fault | None,
    ) -> None:
        self._simulator = simulator
        self._clock = simulator.clock
        self._timings = simulator.timings
        self._request = request
        self._socket = socket
        self._session = session
        self._fault = fault
        self._begun = asyncio.Event()
        self._garbage = itertools.cycle(_GARBAGE)

    async def run(self) -> None:
        """Until the socket is closed by either side, or the hour is over."""
        expires_at = int(self._clock.unix_s() + self._simulator.session_ms / 1000)
        session_id = f"sess_{self._simulator.counts.connections}"
        await self._send(self._session.start(session_id, expires_at))
        tasks = (
            asyncio.create_task(self._read(), name="realtime simulator reads"),
            asyncio.create_task(self._play(), name="realtime simulator plays"),
            asyncio.create_task(self._expire(), name="realtime simulator's hour"),
        )
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, Exception) and not isinstance(ended, ConnectionResetError):
                    raise ended

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                await self._socket.close(code=1003, message=b"only text frames are accepted")
                return
            await self._receive(message.data)

    async def _receive(self, data: str) -> None:
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            mistake = EventMistake("invalid_json", "We could not parse the JSON body.")
            await self._send(self._session.numbered(error(mistake)))
            return
        if isinstance(event, dict):
            kept = {name: value for name, value in event.items() if name != "audio"}
            self._simulator.events.append(kept)
        before = self._session.playing
        answers = self._session.receive(event)
        if self._fault is Fault.STALL_OPEN:
            return
        for answer in answers:
            await self._send(answer)
        if self._session.playing is not None and self._session.playing is not before:
            self._begun.set()

    async def _play(self) -> None:
        """One response after the other, each from its beginning to its end or until it is cancelled."""
        session = self._session
        while True:
            await self._begun.wait()
            self._begun.clear()
            playing = session.playing
            if self._fault is Fault.TOO_MANY_REQUESTS:
                # A session is taken in, and its responses are refused (openai.md 7.8).
                for event in session.fail("inference_rate_limit_exceeded"):
                    await self._send(event)
                continue
            await self._clock.sleep(self._first_ms())
            deltas = 0
            while playing is not None and session.playing is playing:
                following = session.next_event()
                if following is None:
                    break
                if following["type"] == "response.done" and self._fault is Fault.SLOW_CLOSE:
                    await self._clock.sleep(self._timings.draw_ms("slow_close"))
                await self._send(following)
                if following["type"] == "response.output_audio.delta":
                    deltas += 1
                    if deltas == 2 and self._fault is Fault.DIE_MID_STREAM and self._request.transport:
                        self._request.transport.abort()
                    await self._clock.sleep(
                        self._timings.draw_ms("dribble" if self._fault is Fault.DRIBBLE else "chunk")
                    )

    def _first_ms(self) -> float:
        """The rest of the published delay: the silence that ended the turn has passed already."""
        silence_ms = 0.0 if self._session.config.turn_detection is None else self._session.config.silence_ms
        return max(0.0, self._timings.draw_ms("voice_to_voice") - silence_ms)

    async def _expire(self) -> None:
        await self._clock.sleep(self._simulator.session_ms)
        self._simulator.counts.expired += 1
        text = "Your session hit the maximum duration of 60 minutes."
        await self._send(self._session.numbered(error(EventMistake("session_expired", text))))
        await self._socket.close(code=1001)

    async def _send(self, event: Event) -> None:
        counts = self._simulator.counts
        counts.errors += event["type"] == "error"
        counts.responses += event["type"] == "response.done"
        garbled = self._fault is Fault.GARBAGE and event["type"].startswith("response.output_audio")
        await self._socket.send_str(next(self._garbage) if garbled else orjson.dumps(event).decode())


def _given_key(request: web.Request) -> str:
    """From the header, or from a browser's subprotocols."""
    header = request.headers.get("Authorization", "")
    if header:
        return header.removeprefix("Bearer ")
    prefix = "openai-insecure-api-key."
    offered = [part.strip() for part in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    return next((part.removeprefix(prefix) for part in offered if part.startswith(prefix)), "")


def _refusal(status: int, code: str, message: str) -> web.Response:
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
