"""Callers in browsers, tens of them from one process, measured as those on media streams are."""

import asyncio
import contextlib

import aiohttp
from aiortc import RTCCertificate

from agent.clock import Clock
from loadtest.bulk.fleet import Member
from loadtest.bulk.media_fleet import PacedFleet
from loadtest.bulk.script import Script
from loadtest.bulk.socket import Target
from loadtest.bulk.speech import CallerSpeech
from loadtest.bulk.webrtc_call import WebRtcCall
from loadtest.bulk.webrtc_codec import OPUS, BrowserCodec
from loadtest.bulk.webrtc_peer import WebRtcPeer

GONE_MS = 5_000.0
"""A call is lost when nothing has come for so long. Browsers call a connection "disconnected" after as long
without an answer to their checks; the server sends silence every 400 ms."""


class WebRtcFleet(PacedFleet):
    """WebRTC callers. All show the same certificate: making one takes as long as a call's set-up."""

    def __init__(
        self,
        target: Target,
        clock: Clock,
        speech: CallerSpeech,
        script: Script,
        redial_ms: float | None = None,
        codec: BrowserCodec = OPUS,
    ) -> None:
        """`speech` of `codec.speech`."""
        super().__init__(target, clock, redial_ms)
        self._codec = codec
        self._speech = speech
        self._script = script
        self._certificate = RTCCertificate.generateCertificate()
        self._client: aiohttp.ClientSession | None = None
        self._peers: set[WebRtcPeer] = set()

    async def _connect(self, number: int) -> Member:
        if self._client is None:
            self._client = aiohttp.ClientSession()
        clock = self._clock
        member: Member | None = None
        peer = WebRtcPeer(
            self._certificate,
            lambda packet, begins: call.packet(packet, clock.now_ms(), begins=begins),
            lambda _code: self._lost(member),
            self._codec,
            keypad=bool(self._script.keys_every),
        )
        call = WebRtcCall(
            f"webrtc-{number}", self._speech, self._script, self.figures, number, self._codec, peer.press
        )
        await peer.open(self._client, self._target)
        self._peers = {each for each in self._peers if not each.closed or _leaving(each)} | {peer}
        call.call_id = peer.call_id or call.call_id
        # The figures may have been replaced while the handshake was under way.
        call.figures = self.figures
        member = Member(number, call, peer)
        return member

    def _started(self, member: Member) -> None:
        super()._started(member)
        self._watch(member, -1)

    def _watch(self, member: Member, received: int) -> None:
        """Datagrams do not tell that the other end is gone; that nothing came since the last look does."""
        peer = member.sock
        assert isinstance(peer, WebRtcPeer)
        if peer.closed:
            return
        if peer.received == received:
            peer.close()
            self._lost(member)
            return
        seen = peer.received
        member.timer = self._clock.call_later(GONE_MS, lambda: self._watch(member, seen))

    def _stopped(self, member: Member) -> None:
        super()._stopped(member)
        if member.timer is not None:
            member.timer.cancel()
            member.timer = None

    def _goodbye(self, member: Member) -> bytes:
        return b""

    async def gone(self) -> None:
        """All have taken leave."""
        await super().gone()
        tasks = [peer.hanging_up for peer in self._peers if peer.hanging_up is not None]
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.close()


def _leaving(peer: WebRtcPeer) -> bool:
    return peer.hanging_up is not None and not peer.hanging_up.done()
