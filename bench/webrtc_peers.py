"""Light peers for `bench.webrtc`: browsers that send stored packets, decode nothing, and note what comes."""

import time
from dataclasses import dataclass, field

import aiohttp
import aioice
from aiortc import RTCCertificate, RTCDtlsParameters, RTCDtlsTransport
from aiortc.sdp import SessionDescription

from transports.webrtc.rtp import RtpPacket, build_rtp, is_rtcp, parse_rtp


class LightConnection(aioice.Connection):
    """Hands media over at once."""

    peer: "LightPeer"

    def data_received(self, data: bytes, component: int) -> None:
        if data and 127 < data[0] < 192:
            self.peer.media(data)
        else:
            super().data_received(data, component)


class _UnderDtls:
    """What DTLS sits on."""

    role = "controlling"

    def __init__(self, connection: aioice.Connection) -> None:
        self._recv = connection.recv
        self._send = connection.send


@dataclass
class LightPeer:
    """A browser that sends stored packets and notes when packets come."""

    packets: list[bytes]
    certificate: RTCCertificate
    late_ms: list[float] = field(default_factory=list)
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    received: int = 0
    location: str = ""
    answer_ms: float = 0.0

    async def connect(self, client: aiohttp.ClientSession, url: str) -> None:
        """Offer, answer, ICE, DTLS."""
        self.ice = LightConnection(ice_controlling=True)
        self.ice.peer = self
        await self.ice.gather_candidates()
        self.dtls = RTCDtlsTransport(_UnderDtls(self.ice), [self.certificate])  # type: ignore[arg-type]  # all that DTLS uses of it
        self.dtls._set_role("server")
        began_s = time.perf_counter()
        async with client.post(
            f"{url}/webrtc", data=self._offer(), headers={"Content-Type": "application/sdp"}
        ) as response:
            text = await response.text()
            assert response.status == 201, text
            self.location = response.headers["Location"]
        self.answer_ms = (time.perf_counter() - began_s) * 1000
        media = SessionDescription.parse(text).media[0]
        assert media.ice is not None
        assert media.dtls is not None
        for line in text.splitlines():
            if line.startswith("a=candidate:"):
                await self.ice.add_remote_candidate(aioice.Candidate.from_sdp(line[12:]))
        await self.ice.add_remote_candidate(None)
        self.ice.remote_username = media.ice.usernameFragment
        self.ice.remote_password = media.ice.password
        await self.ice.connect()
        await self.dtls.start(RTCDtlsParameters(fingerprints=media.dtls.fingerprints))
        assert self.dtls.state == "connected"

    def media(self, data: bytes) -> None:
        """A packet came."""
        if self.dtls.state != "connected" or is_rtcp(data):
            return
        packet = parse_rtp(self.dtls._rx_srtp.unprotect(data))
        self.received += 1
        self.arrivals.append((time.perf_counter() * 1000, packet.timestamp))

    def send(self, number: int) -> None:
        """The next packet."""
        payload = self.packets[number % len(self.packets)]
        packet = RtpPacket(111, number & 0xFFFF, number * 960 & 0xFFFFFFFF, 4711, payload)
        pair = self.ice._nominated[1]
        pair.protocol.transport.sendto(
            self.dtls._tx_srtp.protect(build_rtp(packet, marker=False)), pair.remote_addr
        )

    def pacing_ms(self) -> list[float]:
        """Deviations from 20 ms within talk spurts."""
        steps = zip(self.arrivals, self.arrivals[1:], strict=False)
        return [abs(b[0] - a[0] - 20) for a, b in steps if (b[1] - a[1]) & 0xFFFFFFFF == 960]

    async def close(self, client: aiohttp.ClientSession, url: str) -> None:
        """Hang up."""
        async with client.delete(url + self.location):
            pass
        await self.dtls.stop()
        await self.ice.close()

    def _offer(self) -> str:
        mark = self.certificate.getFingerprints()[0]
        lines = [
            "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0",
            "m=audio 9 UDP/TLS/RTP/SAVPF 111", "c=IN IP4 0.0.0.0", "a=mid:0", "a=sendrecv", "a=rtcp-mux",
            "a=rtpmap:111 opus/48000/2", "a=fmtp:111 minptime=10;useinbandfec=1",
            f"a=ice-ufrag:{self.ice.local_username}", f"a=ice-pwd:{self.ice.local_password}",
            f"a=fingerprint:{mark.algorithm} {mark.value}", "a=setup:actpass",
            *(f"a=candidate:{candidate.to_sdp()}" for candidate in self.ice.local_candidates),
        ]  # fmt: skip
        return "\r\n".join(lines) + "\r\n"
