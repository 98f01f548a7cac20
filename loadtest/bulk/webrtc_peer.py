"""A browser's end of one call, as light as it can be: offer, ICE, DTLS, then bare SRTP packets.

ICE and DTLS are aiortc's and its companion's, below their tracks and codecs: what is sent is encoded ahead of
time, and what comes is handed over undecoded, at the moment when it comes. Offers are full (no trickle).
"""

# ruff: noqa: SLF001  # aiortc's DTLS has SRTP sessions and a role, aioice a pair: no public way to them

import asyncio
import json
import secrets
from collections.abc import Callable

import aiohttp
import aioice
import pylibsrtp
from aiortc import (
    RTCCertificate,
    RTCDataChannel,
    RTCDataChannelParameters,
    RTCDtlsParameters,
    RTCDtlsTransport,
    RTCSctpCapabilities,
    RTCSctpTransport,
)
from aiortc.sdp import SessionDescription

from agent.errors import WireError
from loadtest.bulk.socket import Target
from loadtest.bulk.webrtc_codec import OPUS, BrowserCodec
from loadtest.callers.errors import CallRefused, Unreachable
from transports.webrtc.messages import CHANNEL, VERSION
from transports.webrtc.rtp import RtpPacket, build_rtp, is_rtcp, parse_rtp
from transports.webrtc.whip import CALL_ID_HEADER

PATH = "/webrtc"
_SCTP_PORT = 5000
"""What everybody uses over DTLS (RFC 8841, 5.1)."""
_MAX_MESSAGE_BYTES = 65_536
_MARKER = 0x80
"""Of the second byte (RFC 3550, 5.1)."""
_OPEN_S = 10.0
"""From the offer to the first packet: candidates, checks, a handshake. Browsers give up after 15 to 30 s."""
_HANG_UP_S = 2.0

OnPacket = Callable[[RtpPacket, bool], None]
"""With the marker bit."""


class _Ice(aioice.Connection):
    """Hands media over at once instead of queueing it."""

    on_media: Callable[[bytes], None]

    def data_received(self, data: bytes, component: int) -> None:
        """From the network: SRTP and SRTCP by their first byte (RFC 7983), else DTLS."""
        if data and 127 < data[0] < 192:
            self.on_media(data)
        else:
            super().data_received(data, component)


class _UnderDtls:
    """What DTLS sits on."""

    role = "controlling"

    def __init__(self, ice: aioice.Connection) -> None:
        self._recv = ice.recv
        self._send = ice.send


class WebRtcPeer:
    """One open call. Has the face of `BulkSocket`, but `send` takes a packet of 20 ms in its codec."""

    def __init__(
        self,
        certificate: RTCCertificate,
        on_packet: OnPacket,
        on_closed: Callable[[int], None],
        codec: BrowserCodec = OPUS,
        *,
        keypad: bool = False,
    ) -> None:
        """With a `keypad` there is a data channel too, as web pages have it; it costs some timers a call."""
        self.blocked = 0
        """Always 0: a datagram does not wait."""
        self.lost = 0
        """Packets that the system did not take."""
        self.closed = False
        self.damaged = 0
        """Packets that came twice, or cannot be decrypted or read."""
        self.received = 0
        """Packets, also those of silence."""
        self.hanging_up: asyncio.Task[None] | None = None
        """Takes leave, once `close` or `cut` was called."""
        self._on_packet = on_packet
        self._on_closed = on_closed
        self._certificate = certificate
        self._ice = _Ice(ice_controlling=True)
        self._ice.on_media = self._media
        # It asks of its transport what `_UnderDtls` has, and no more.
        self._dtls = RTCDtlsTransport(_UnderDtls(self._ice), [certificate])  # type: ignore[arg-type]
        self._dtls._set_role("server")
        self._dtls.on("statechange", self._state)
        self.call_id = ""
        """The call's at the server, once it is open; empty where a server does not tell."""
        self._codec = codec
        self._sctp: RTCSctpTransport | None = None
        self._channel: RTCDataChannel | None = None
        if keypad:
            self._sctp = RTCSctpTransport(self._dtls, _SCTP_PORT)
            self._channel = RTCDataChannel(self._sctp, RTCDataChannelParameters(label=CHANNEL))
        self._location = ""
        self._wordless = False
        self._client: aiohttp.ClientSession | None = None
        self._url = ""
        self._ssrc = secrets.randbits(32)
        self._sequence = secrets.randbits(16)
        self._timestamp = secrets.randbits(32)

    async def open(self, client: aiohttp.ClientSession, target: Target) -> None:
        """Call. Raises `Unreachable` or `CallRefused`, one line; nothing is left open then."""
        scheme = "http" if target.tls is None else "https"
        self._client, self._url = client, f"{scheme}://{target.host}:{target.port}"
        try:
            async with asyncio.timeout(_OPEN_S):
                await self._ice.gather_candidates()
                await self._connect(await self._answer(client, target))
        except (TimeoutError, OSError, aiohttp.ClientError, ValueError, LookupError) as error:
            await self._leave()
            raise Unreachable(f"no WebRTC call to {self._url}: {error or 'timed out'}") from None
        except BaseException:
            await self._leave()
            raise

    def send(self, payload: bytes) -> None:
        """The next 20 ms of audio, now. Does nothing once closed."""
        if self.closed or not payload:
            return
        packet = RtpPacket(self._codec.payload_type, self._sequence, self._timestamp, self._ssrc, payload)
        self._sequence = self._sequence + 1 & 0xFFFF
        self._timestamp = self._timestamp + self._codec.step & 0xFFFFFFFF
        pair = self._ice._nominated.get(1)
        if pair is None:
            self.lost += 1
            return
        srtp = self._dtls._tx_srtp
        protected = srtp.protect(build_rtp(packet, marker=False))
        pair.protocol.transport.sendto(protected, pair.remote_addr)

    def press(self, digit: str) -> None:
        """A key, over the data channel. Does nothing without one that is open."""
        if self._channel is not None and self._channel.readyState == "open":
            self._channel.send(json.dumps({"v": VERSION, "type": "dtmf", "digit": digit}))

    def close(self) -> None:
        """Hang up. Idempotent; `on_closed` is not called. See `hanging_up`."""
        self._end(tell=False)

    def cut(self) -> None:
        """Go without a word, as a network that fails. Idempotent; `on_closed` is not called."""
        self._wordless = True
        self._end(tell=False)

    async def _answer(self, client: aiohttp.ClientSession, target: Target) -> str:
        """Offer and answer (RFC 9725)."""
        async with client.post(
            self._url + PATH,
            data=self._offer(),
            headers={"Content-Type": "application/sdp"},
            ssl=target.tls or True,
        ) as response:
            text = await response.text()
            if response.status != 201:
                raise CallRefused(f"{self._url}{PATH} refused the call with HTTP {response.status}")
            self._location = response.headers["Location"]
            self.call_id = response.headers.get(CALL_ID_HEADER, "")
            return text

    async def _connect(self, answer: str) -> None:
        media = SessionDescription.parse(answer).media[0]
        if media.ice is None or media.dtls is None:
            raise ValueError("the answer has no ICE credentials or no fingerprint")
        for line in answer.splitlines():
            if line.startswith("a=candidate:"):
                candidate = aioice.Candidate.from_sdp(line.removeprefix("a=candidate:"))
                await self._ice.add_remote_candidate(candidate)
        await self._ice.add_remote_candidate(None)
        self._ice.remote_username = media.ice.usernameFragment
        self._ice.remote_password = media.ice.password
        await self._ice.connect()
        await self._dtls.start(RTCDtlsParameters(fingerprints=media.dtls.fingerprints))
        if self._dtls.state != "connected":
            raise ConnectionResetError(f"DTLS is {self._dtls.state}")
        if self._sctp is not None:
            await self._sctp.start(RTCSctpCapabilities(_MAX_MESSAGE_BYTES), _SCTP_PORT)

    def _offer(self) -> str:
        mark = self._certificate.getFingerprints()[0]
        number = self._codec.payload_type
        way = [
            f"a=ice-ufrag:{self._ice.local_username}", f"a=ice-pwd:{self._ice.local_password}",
            f"a=fingerprint:{mark.algorithm} {mark.value}", "a=setup:actpass",
        ]  # fmt: skip
        lines = [
            "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0",
            "a=group:BUNDLE 0" if self._sctp is None else "a=group:BUNDLE 0 1",
            f"m=audio 9 UDP/TLS/RTP/SAVPF {number}", "c=IN IP4 0.0.0.0", "a=mid:0", "a=sendrecv",
            "a=rtcp-mux", f"a=rtpmap:{number} {self._codec.rtpmap}", *way,
            *(f"a=candidate:{each.to_sdp()}" for each in self._ice.local_candidates),
        ]  # fmt: skip
        if self._codec is OPUS:
            lines.append(f"a=fmtp:{number} minptime=10;useinbandfec=1")
        if self._sctp is not None:
            lines += [
                "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0", "a=mid:1",
                f"a=sctp-port:{_SCTP_PORT}", f"a=max-message-size:{_MAX_MESSAGE_BYTES}", *way,
            ]  # fmt: skip
        return "\r\n".join(lines) + "\r\n"

    def _media(self, data: bytes) -> None:
        if self._dtls.state != "connected" or self.closed or is_rtcp(data):
            return
        try:
            plain = self._dtls._rx_srtp.unprotect(data)
            packet = parse_rtp(plain)
        except (WireError, pylibsrtp.Error):
            self.damaged += 1
            return
        self.received += 1
        self._on_packet(packet, bool(plain[1] & _MARKER))

    def _state(self) -> None:
        if self._dtls.state in ("closed", "failed"):
            self._end(tell=True)

    def _end(self, *, tell: bool) -> None:
        if self.closed:
            return
        self.closed = True
        self.hanging_up = asyncio.get_running_loop().create_task(self._leave(), name="hangs up")
        if tell:
            self._on_closed(1006)

    async def _leave(self) -> None:
        """DELETE, as the protocol has it, and the sockets."""
        self.closed = True
        location, self._location = self._location, ""
        try:
            async with asyncio.timeout(_HANG_UP_S):
                if self._wordless:
                    # DTLS would say goodbye, but cannot any more.
                    await self._ice.close()
                elif location and self._client is not None:
                    async with self._client.delete(self._url + location):
                        pass
                if self._sctp is not None:
                    await self._sctp.stop()
                await self._dtls.stop()
                await self._ice.close()
        except (TimeoutError, OSError, aiohttp.ClientError):
            return  # the server has gone, or does not answer: it notices by itself
