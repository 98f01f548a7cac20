"""A small server on real sockets for synthetic callers: webhooks with signatures, both kinds of socket."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import WSMsgType, web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from twilio.request_validator import RequestValidator

from agent.audio.formats import PCMU_8K
from loadtest.callers.codec import codec_for
from loadtest.callers.ear import audible_span
from tests.loadtest.fakes import tone

TICKET = "one-time-secret"


@dataclass
class SmallServer:
    """Greets with 200 ms of tone, answers every sentence with another 200 ms."""

    auth_token: str | None = None
    telnyx_key: Ed25519PublicKey | None = None
    markup: str | None = None
    """Answer to every webhook instead of a connection."""
    status: int = 200
    answers: bool = True
    relay: bool = False
    """Twilio's webhook answers with ConversationRelay."""
    telnyx_attributes: str = 'bidirectionalMode="rtp" codec="PCMU" bidirectionalCodec="PCMU"'
    side: dict[str, Any] | None = None
    """What `/calls/{id}` answers."""
    url: str = ""
    requests: list[dict[str, str]] = field(default_factory=list)
    actions: list[dict[str, str]] = field(default_factory=list)
    starts: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    asked_for: list[str] = field(default_factory=list)

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.post("/twilio/voice", self._twilio_voice),
                web.post("/telnyx/texml", self._telnyx_texml),
                web.post("/action", self._action),
                web.get("/media", self._media),
                web.get("/relay", self._relay),
                web.get("/calls/{id}", self._call),
            ]
        )
        return app

    async def _twilio_voice(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        if self.auth_token is not None:
            signature = request.headers.get("X-Twilio-Signature", "")
            if not RequestValidator(self.auth_token).validate(str(request.url), form, signature):
                return web.Response(status=403, text="bad signature")
        self.requests.append(form)
        if self.relay:
            return self._connect(f'<ConversationRelay url="{self._ws}/relay" welcomeGreeting="Hello.">')
        return self._connect(f'<Stream url="{self._ws}/media">')

    async def _telnyx_texml(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.telnyx_key is not None:
            signature = base64.b64decode(request.headers["telnyx-signature-ed25519"])
            self.telnyx_key.verify(signature, request.headers["telnyx-timestamp"].encode() + b"|" + body)
        self.requests.append({name: str(value) for name, value in (await request.post()).items()})
        return self._connect(f'<Stream url="{self._ws}/media" {self.telnyx_attributes}>')

    def _connect(self, noun: str) -> web.Response:
        name = noun[1:].split()[0]
        markup = self.markup or (
            f'<Response><Connect action="/action">{noun}<Parameter name="ticket" value="{TICKET}"/>'
            f"</{name}></Connect></Response>"
        )
        return web.Response(status=self.status, text=markup, content_type="text/xml")

    @property
    def _ws(self) -> str:
        return "ws" + self.url.removeprefix("http")

    async def _action(self, request: web.Request) -> web.Response:
        self.actions.append({name: str(value) for name, value in (await request.post()).items()})
        return web.Response(text="<Response/>", content_type="text/xml")

    async def _call(self, request: web.Request) -> web.Response:
        self.asked_for.append(request.match_info["id"])
        if self.side is None:
            return web.Response(status=404)
        return web.json_response(self.side)

    async def _media(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        if self.auth_token is not None:
            signature = request.headers.get("x-twilio-signature", "")
            if not RequestValidator(self.auth_token).validate(f"{self._ws}/media", {}, signature):
                self.refused.append("upgrade")
                raise web.HTTPForbidden
        await socket.prepare(request)
        codec = codec_for(PCMU_8K)
        silent_frames: int | None = None
        sid: dict[str, str] = {}
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            found = orjson.loads(message.data)
            if found["event"] == "start":
                self.starts.append(found)
                sid = {"streamSid": found["streamSid"]} if "streamSid" in found else {}
                await self._speak(socket, sid)
            elif found["event"] == "media":
                if audible_span(codec.decode(base64.b64decode(found["media"]["payload"]))) is not None:
                    silent_frames = 0
                elif silent_frames is not None:
                    silent_frames += 1
                if silent_frames == 10:
                    silent_frames = None
                    if self.answers:
                        await self._speak(socket, sid)
        return socket

    async def _speak(self, socket: web.WebSocketResponse, sid: dict[str, str]) -> None:
        payload = base64.b64encode(codec_for(PCMU_8K).encode(tone(200))).decode()
        await socket.send_json({"event": "media", **sid, "media": {"payload": payload}})

    async def _relay(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            found = orjson.loads(message.data)
            if found["type"] == "setup":
                self.starts.append(found)
            elif found["type"] == "prompt" and found["last"] and self.answers:
                await asyncio.sleep(0.05)
                await socket.send_json({"type": "text", "token": "Yes.", "last": True})
        return socket


@asynccontextmanager
async def serving(server: SmallServer) -> AsyncIterator[SmallServer]:
    runner = web.AppRunner(server.app(), shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    server.url = f"http://127.0.0.1:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()
