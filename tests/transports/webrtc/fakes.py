"""A running transport with a small core behind it, and a browser to call it: aiortc's own peer connection."""

import asyncio
import fractions
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import av
import numpy as np
from aiohttp import web
from aioice import stun
from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from agent.agentfile.schema import AgentFile
from agent.clock import LoopClock
from agent.events import CallListener
from agent.lines import MediaLine, Slot
from agent.plugins import TransportContext
from agent.problems import problems
from agent.settings import Settings
from agent.ticker import Ticker
from tests.transports.fakes import FakeCall, FakeHost
from transports.webrtc import WebRTC
from transports.webrtc.guard import Guard
from transports.webrtc.whip import Whip

SECRET = "0123456789abcdef0123456789abcdef"
PHRASES = {
    name: {"en-GB": "Phrase."}
    for name in (
        "reprompt", "silence_goodbye", "time_goodbye", "apology", "not_understood", "transferring", "goodbye",
    )
}  # fmt: skip


def agent_file() -> AgentFile:
    return AgentFile.model_validate(
        {
            "name": "Desk",
            "languages": ["en-GB", "es-ES"],
            "voices": {"en-GB": {"name": "amy"}},
            "greeting": {"en-GB": "Hello."},
            "instructions": "Be short.",
            "phrases": PHRASES,
            "unknown": {"en-GB": "I do not know."},
        }
    )


class BrowserHost(FakeHost):
    """Remembers the listener of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.listeners: list[CallListener | None] = []
        self.reserved: list[Any] = []

    def reserve(self) -> Any:
        slot = super().reserve()
        self.reserved.append(slot)
        return slot

    def answer_media(self, line: MediaLine, slot: Slot, events: CallListener | None = None) -> FakeCall:
        self.listeners.append(events)
        return super().answer_media(line, slot, events)

    @property
    def free(self) -> bool:
        """Every slot was given back, or belongs to a call that has ended."""
        calls = {id(call.slot) for call in self.calls if call.ended.is_set()}
        return all(slot.releases == 1 or id(slot) in calls for slot in self.reserved)


@dataclass
class Served:
    """A running transport."""

    host: BrowserHost
    webrtc: WebRTC
    url: str
    client: aiohttp.ClientSession

    @property
    def whip(self) -> Whip:
        assert self.webrtc._whip is not None
        return self.webrtc._whip

    @property
    def guard(self) -> Guard:
        return self.whip._guard

    async def call(self) -> FakeCall:
        """The latest call, once there is one."""
        async with asyncio.timeout(20):
            await self.host.answered.wait()
        self.host.answered.clear()
        return self.host.calls[-1]

    async def post(self, sdp: str | bytes, **headers: str) -> aiohttp.ClientResponse:
        async with self.client.post(
            f"{self.url}/webrtc", data=sdp, headers={"Content-Type": "application/sdp", **headers}
        ) as response:
            await response.read()
            return response


@asynccontextmanager
async def serving(
    public_url: str | None = None, host: BrowserHost | None = None, **environ: str
) -> AsyncIterator[Served]:
    """The transport on a free loopback port, for one test."""
    host = host or BrowserHost()
    environ = {f"PARLEY_WEBRTC_{name}": value for name, value in environ.items()}
    environ.setdefault("PARLEY_WEBRTC_HOSTS", "127.0.0.1")
    settings = Settings(public_url=public_url, environ=environ)
    webrtc = WebRTC(TransportContext(host, settings, agent_file(), LoopClock(), Ticker(LoopClock())))
    app = web.Application(middlewares=[problems])
    await webrtc.ready()
    app.add_routes(webrtc.routes())
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as client:
        try:
            yield Served(host, webrtc, f"http://127.0.0.1:{runner.addresses[0][1]}", client)
        finally:
            await webrtc.close()
            await runner.cleanup()


class Tone(MediaStreamTrack):
    """A microphone that hears 400 Hz, or what `samples` gives, at 48 kHz."""

    kind = "audio"

    def __init__(self, samples: np.ndarray[Any, Any] | None = None) -> None:
        super().__init__()
        time_s = np.arange(48_000) / 48_000
        tone = (8000 * np.sin(2 * np.pi * 400 * time_s)).astype(np.int16)
        self._samples = tone if samples is None else samples
        self._at = 0
        self._began_s: float | None = None

    async def recv(self) -> av.AudioFrame:
        loop = asyncio.get_running_loop()
        if self._began_s is None:
            self._began_s = loop.time()
        await asyncio.sleep(self._began_s + self._at / 48_000 - loop.time())
        start = self._at % len(self._samples)
        piece = np.resize(self._samples[start : start + 960], 960)
        frame = av.AudioFrame.from_ndarray(piece.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = 48_000
        frame.pts, frame.time_base = self._at, fractions.Fraction(1, 48_000)
        self._at += 960
        return frame


@dataclass
class Browser:
    """A page's peer connection."""

    served: Served
    peer: RTCPeerConnection
    messages: list[dict[str, Any]] = field(default_factory=list)
    heard: list[np.ndarray[Any, Any]] = field(default_factory=list)
    channel: RTCDataChannel | None = None
    location: str = ""
    etag: str = ""
    reader: asyncio.Task[None] | None = None
    open: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]

    def send(self, **message: Any) -> None:
        assert self.channel is not None
        self.channel.send(json.dumps({"v": 1, **message}))

    def rms(self) -> float:
        """Of what was heard last, over 100 ms."""
        last = np.concatenate([np.zeros(960, np.int16), *self.heard[-5:]]).astype(float)
        return float(np.sqrt(np.mean(last**2)))

    async def delete(self) -> int:
        async with self.served.client.delete(self.served.url + self.location) as response:
            return response.status

    async def vanish(self) -> None:
        """Its machine is gone: not a word more, not even a goodbye."""

        async def no_data(data: bytes, addr: tuple[str, int]) -> None:
            pass

        def no_stun(message: stun.Message, addr: tuple[str, int]) -> None:
            pass

        for protocol in self.peer.getSenders()[0].transport.transport._connection._protocols:
            protocol.send_data = no_data  # type: ignore[method-assign]  # aioice has no way to cut its network
            protocol.send_stun = no_stun  # type: ignore[method-assign]  # likewise

    async def close(self) -> None:
        if self.reader is not None:
            self.reader.cancel()
            await asyncio.gather(self.reader, return_exceptions=True)
        await self.peer.close()


def peer() -> RTCPeerConnection:
    """Without STUN servers."""
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


@asynccontextmanager
async def browser(
    served: Served,
    track: MediaStreamTrack | None = None,
    change: Callable[[str], str] = lambda sdp: sdp,
    query: str = "",
    **headers: str,
) -> AsyncIterator[Browser]:
    """Calls, and stays for the block. `change` alters the offer."""
    page = Browser(served, peer())
    page.channel = page.peer.createDataChannel("parley")
    page.channel.on("message", lambda text: page.messages.append(json.loads(text)))
    page.channel.on("open", page.open.set)
    page.peer.addTrack(track or Tone())

    async def listen(incoming: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await incoming.recv()
                assert isinstance(frame, av.AudioFrame)
                page.heard.append(frame.to_ndarray()[0, ::2])
        except MediaStreamError:
            pass

    def on_track(incoming: MediaStreamTrack) -> None:
        page.reader = asyncio.create_task(listen(incoming))

    page.peer.on("track", on_track)
    await page.peer.setLocalDescription(await page.peer.createOffer())
    async with served.client.post(
        f"{served.url}/webrtc{query}",
        data=change(page.peer.localDescription.sdp),
        headers={"Content-Type": "application/sdp", **headers},
    ) as response:
        answer = await response.text()
        assert response.status == 201, answer
        page.location, page.etag = response.headers["Location"], response.headers["ETag"]
    await page.peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    try:
        yield page
    finally:
        await page.close()
