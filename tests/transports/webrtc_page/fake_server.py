"""A small server behind the page: WHIP and the data channel on stock aiortc, scripted by a test.

It keeps the page's side of the contract honest without the real transport: it serves the page under the
strict Content-Security-Policy, plays PCM on demand, keeps what it hears, and says what a test tells it to.
"""

import asyncio
import json
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
from aiohttp import web
from aiohttp.typedefs import Handler
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame, AudioResampler

PAGE = Path(__file__).parents[3] / "transports" / "webrtc" / "page"
RATE_HZ = 48_000
FRAME = RATE_HZ // 50
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""As strict as it gets: what the page must work under."""


CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Retry-After",
}
"""What other sites' pages need to call from: without Expose-Headers a script cannot read `Location`."""


@web.middleware
async def cors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Preflights answered, and every response readable from other origins."""
    if request.method == "OPTIONS":
        return web.Response(status=204, headers=CORS)
    response = await handler(request)
    response.headers.update(CORS)
    return response


class PlayedTrack(MediaStreamTrack):
    """Plays the PCM (16 bit, 48 kHz, mono) it is given, and silence otherwise, at 20 ms a frame."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._pcm = b""
        self._sent = 0
        self._from: float | None = None

    def play(self, pcm: bytes) -> None:
        """Play `pcm` now, instead of what is still waiting."""
        self._pcm = pcm

    async def recv(self) -> AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        if self._from is None:
            self._from = loop.time()
        await asyncio.sleep(max(0.0, self._from + self._sent / RATE_HZ - loop.time()))
        piece, self._pcm = self._pcm[: 2 * FRAME], self._pcm[2 * FRAME :]
        frame = AudioFrame.from_ndarray(
            np.frombuffer(piece.ljust(2 * FRAME, b"\0"), np.int16).reshape(1, -1), "s16", "mono"
        )
        frame.sample_rate = RATE_HZ
        frame.pts, frame.time_base = self._sent, Fraction(1, RATE_HZ)
        self._sent += FRAME
        return frame


class FakeSession:
    """One browser's session."""

    def __init__(self, number: int, query: dict[str, str], call: str) -> None:
        self.number = number
        self.query = query
        self.call = call
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.voice = PlayedTrack()
        self.heard = bytearray()
        """What came from the browser: PCM, 16 bit, 48 kHz, mono."""
        self.messages: list[dict[str, Any]] = []
        self.patches: list[str] = []
        self.ended = asyncio.Event()
        self.open = asyncio.Event()
        self._channel: RTCDataChannel | None = None
        self._listening: asyncio.Task[None] | None = None

    async def answer(self, offer: str) -> str:
        """The answer to the browser's offer."""
        pc = self.connection
        pc.on("datachannel", self._channel_came)
        pc.on("track", self._track_came)
        pc.on("connectionstatechange", self._state_changed)
        # Stock aiortc does not know bundle-only sections (RFC 8843), which Firefox offers.
        offer = offer.replace("m=application 0 ", "m=application 9 ")
        await pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        pc.addTrack(self.voice)
        await pc.setLocalDescription(await pc.createAnswer())
        return str(pc.localDescription.sdp)

    def send(self, type_: str, **fields: Any) -> None:
        """A message to the page."""
        assert self._channel is not None, "the data channel is not open"
        self._channel.send(json.dumps({"v": 1, "type": type_, **fields}))

    def send_raw(self, text: str) -> None:
        """Anything to the page."""
        assert self._channel is not None, "the data channel is not open"
        self._channel.send(text)

    def of(self, type_: str) -> list[dict[str, Any]]:
        """The page's messages of a type, in order."""
        return [message for message in self.messages if message["type"] == type_]

    async def close(self) -> None:
        """End it."""
        self.ended.set()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        self.voice.stop()
        await self.connection.close()

    def _channel_came(self, channel: RTCDataChannel) -> None:
        assert channel.label == "parley"
        assert channel.ordered
        self._channel = channel
        channel.on("message", self._message_came)
        self.send(
            "hello", call=self.call, language=self.query.get("language", "en"), agent="Riverside Clinic"
        )
        self.open.set()

    def _message_came(self, data: str) -> None:
        message = json.loads(data)
        assert message["v"] == 1
        self.messages.append(message)

    def _track_came(self, track: MediaStreamTrack) -> None:
        self._listening = asyncio.create_task(self._listen(track), name="fake-listening")

    async def _listen(self, track: MediaStreamTrack) -> None:
        resampler = AudioResampler("s16", "mono", RATE_HZ)
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, AudioFrame)
            for piece in resampler.resample(frame):
                self.heard += piece.to_ndarray().tobytes()

    def _state_changed(self) -> None:
        if self.connection.connectionState in ("failed", "closed"):
            self.ended.set()


class FakeServer:
    """Serves the page and its calls on a free port."""

    def __init__(self) -> None:
        self.sessions: list[FakeSession] = []
        self.refusal: tuple[int, dict[str, str]] | None = None
        """Status and problem+json of the next offers; None: they are accepted."""
        self.config: dict[str, Any] = {
            "version": 1,
            "agent": {
                "name": "Riverside Clinic",
                "languages": ["en", "es"],
                "language": "en",
                "voices": {"en": ["Alba", "Brook"], "es": ["Inés", "Luz"]},
            },
            "iceServers": [],
            "token_required": True,
        }
        self.on_session: Callable[[FakeSession], None] = lambda _session: None
        self.came = asyncio.Condition()
        self.requests: list[tuple[str, str]] = []
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on a free port of the loopback interface."""
        app = web.Application(middlewares=[cors])
        app.add_routes([
            web.get("/", self._index),
            web.get("/page/{file}", self._file),
            web.get("/webrtc/config", self._config),
            web.post("/webrtc/token", self._token),
            web.post("/webrtc", self._offer),
            web.patch("/webrtc/{session}", self._patch),
            web.delete("/webrtc/{session}", self._delete),
        ])  # fmt: skip
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"

    async def close(self) -> None:
        """End all sessions and stop listening."""
        await asyncio.gather(*(session.close() for session in self.sessions))
        if self._runner is not None:
            await self._runner.cleanup()

    async def session(self, number: int = 0) -> FakeSession:
        """The session of that number, once its data channel is open."""
        async with asyncio.timeout(30), self.came:
            await self.came.wait_for(lambda: len(self.sessions) > number)
        async with asyncio.timeout(30):
            await self.sessions[number].open.wait()
        return self.sessions[number]

    async def _index(self, _request: web.Request) -> web.Response:
        return web.Response(
            text=(PAGE / "index.html").read_text(), content_type="text/html",
            headers={"Content-Security-Policy": CSP},
        )  # fmt: skip

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["file"]
        if not re.fullmatch(r"[a-z-]+\.(js|css|svg)", name) or not (PAGE / name).exists():
            raise web.HTTPNotFound
        return web.FileResponse(PAGE / name, headers={"Cache-Control": "no-cache"})

    async def _config(self, _request: web.Request) -> web.Response:
        return web.json_response(self.config)

    async def _token(self, _request: web.Request) -> web.Response:
        return web.json_response({"token": "granted", "expires_in_s": 60}, status=201)

    async def _offer(self, request: web.Request) -> web.Response:
        if self.refusal is not None:
            status, problem = self.refusal
            return web.json_response(problem, status=status, content_type="application/problem+json")
        assert request.content_type == "application/sdp"
        if self.config["token_required"]:
            assert request.headers["Authorization"] == "Bearer granted"
        query = {name: values[0] for name, values in parse_qs(request.query_string).items()}
        earlier = query.get("resume")
        number = len(self.sessions)
        call = self.sessions[int(earlier)].call if earlier is not None else f"call-{number}"
        session = FakeSession(number, query, call)
        answer = await session.answer(await request.text())
        async with self.came:
            self.sessions.append(session)
            self.came.notify_all()
        self.on_session(session)
        return web.Response(
            status=201, text=answer, content_type="application/sdp",
            headers={"Location": f"/webrtc/{number}", "ETag": '"1"'},
        )  # fmt: skip

    async def _patch(self, request: web.Request) -> web.Response:
        session = self._named(request)
        self.requests.append(("PATCH", request.headers.get("If-Match", "")))
        session.patches.append(await request.text())
        # A restart: stock aiortc has none. The page then has to offer anew.
        if request.headers.get("If-Match") == '"*"':
            return web.json_response({"title": "no restart"}, status=422)
        return web.Response(status=204)

    async def _delete(self, request: web.Request) -> web.Response:
        session = self._named(request)
        assert not self.config["token_required"] or request.headers["Authorization"] == "Bearer granted"
        self.requests.append(("DELETE", request.match_info["session"]))
        await session.close()
        return web.Response()

    def _named(self, request: web.Request) -> FakeSession:
        number = int(request.match_info["session"])
        if number >= len(self.sessions) or self.sessions[number].ended.is_set():
            raise web.HTTPNotFound
        return self.sessions[number]
