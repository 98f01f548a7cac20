"""A caller's platform on one socket, which may as well misbehave: any message at any time."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from agent.audio.codec import make_encoder
from agent.audio.formats import PCMU_8K
from agent.clock import LoopClock
from loadtest.callers.identity import telnyx_identity, twilio_identity
from loadtest.callers.telnyx_media import TelnyxMediaFarEnd
from loadtest.callers.twilio_media import TwilioMediaFarEnd
from loadtest.callers.twilio_relay import TwilioRelayFarEnd
from loadtest.speech import embedded_voice
from tests.e2e.inside import Inside

FarEnd = TwilioRelayFarEnd | TwilioMediaFarEnd | TelnyxMediaFarEnd
FRAME_BYTES = PCMU_8K.frame_bytes


class Platform(StrEnum):
    """The labels of the three lines."""

    RELAY = "twilio-relay"
    TWILIO = "twilio-media"
    TELNYX = "telnyx-media"


PATHS = {
    Platform.RELAY: "/twilio/relay",
    Platform.TWILIO: "/twilio/media",
    Platform.TELNYX: "/telnyx/media",
}


def far_end(platform: Platform, parameters: Mapping[str, str] | None = None) -> FarEnd:
    """Writes the platform's messages for a new call."""
    if platform is Platform.RELAY:
        return TwilioRelayFarEnd(twilio_identity(), parameters or {})
    if platform is Platform.TWILIO:
        return TwilioMediaFarEnd(twilio_identity(), parameters or {})
    return TelnyxMediaFarEnd(
        LoopClock(), telnyx_identity(), parameters or {}, to_server=PCMU_8K, from_server=PCMU_8K
    )


class Peer:
    """One socket. Reads all that the server sends, so that it never waits."""

    def __init__(self, platform: Platform, socket: ClientConnection, end: FarEnd) -> None:
        self.platform = platform
        self.socket = socket
        self.end = end
        self.received: list[str] = []
        self._words = ""
        self._reading = asyncio.create_task(self._read())

    @property
    def call_id(self) -> str:
        return self.end.call_id

    async def send(self, *messages: str | bytes) -> None:
        """Whatever it is, as long as the server takes it."""
        with suppress(ConnectionClosed):
            for message in messages:
                await self.socket.send(message)

    async def open(self) -> None:
        """The messages with which a call begins."""
        end = self.end
        await self.send(*([end.setup()] if isinstance(end, TwilioRelayFarEnd) else end.opening()))

    async def speak(self, audio: bytes) -> None:
        """Mu-law at the pace of speech."""
        assert not isinstance(self.end, TwilioRelayFarEnd)
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        for at in range(0, len(audio), FRAME_BYTES):
            await self.send(self.end.media(audio[at : at + FRAME_BYTES]))
            due_s += 0.02
            await asyncio.sleep(max(due_s - loop.time(), 0.0))

    async def hang_up(self) -> None:
        """As the platform ends a call: its last message, if it has one, and a close frame."""
        if not isinstance(self.end, TwilioRelayFarEnd):
            await self.send(self.end.stop())
        await self.socket.close()

    async def hear_out(self) -> None:
        """Tell the server that the caller has heard all that it sent so far."""
        waiting, self.received = self.received, []
        for text in waiting:
            message = orjson.loads(text)
            if isinstance(self.end, TwilioRelayFarEnd):
                await self._speak_out(self.end, message)
            elif message["event"] == "mark":
                await self.send(self.end.mark(message["mark"]["name"]))

    async def _speak_out(self, end: TwilioRelayFarEnd, message: dict[str, Any]) -> None:
        if message["type"] == "end":
            await self.socket.close()
            return
        self._words += message["token"]
        if message["last"]:
            words, self._words = self._words, ""
            for name, value in (("agentSpeaking", "on"), ("tokensPlayed", words), ("agentSpeaking", "off")):
                await self.send(end.info(name, value))

    async def closed(self) -> int | None:
        """The server's close code."""
        async with asyncio.timeout(20):
            await asyncio.wait((self._reading,))
        return self.socket.close_code

    async def leave(self) -> None:
        """The end of the test."""
        self.socket.transport.abort()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                text = str(await self.socket.recv())
                self.received.append(text)


@asynccontextmanager
async def peer(
    served: Inside,
    platform: Platform,
    parameters: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Peer]:
    """A socket that has said nothing yet."""
    url = served.ws + PATHS[platform]
    async with connect(
        url, additional_headers=headers, compression=None, proxy=None, max_size=None, close_timeout=1
    ) as socket:
        one = Peer(platform, socket, far_end(platform, parameters))
        try:
            yield one
        finally:
            await one.leave()


@asynccontextmanager
async def call(served: Inside, platform: Platform) -> AsyncIterator[Peer]:
    """A call that is on."""
    async with peer(served, platform) as one:
        await one.open()
        await served.live(one.call_id)
        yield one


async def question() -> bytes:
    """Mu-law speech of about a second, and half a second of silence."""
    voice = embedded_voice(LoopClock(), os.environ)
    try:
        pcm = await voice.say("What are your opening hours?")
    finally:
        await voice.close()
    return make_encoder(PCMU_8K).encode(pcm) + b"\xff" * 4000
