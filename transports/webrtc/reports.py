"""RTCP sender and receiver reports, and the figures that both sides' reports give. Pure: time comes in.

Parsing and packing are aiortc's; RFC 3550, section 6.4 and its appendices A.3 (loss) and A.8 (jitter) say
what goes into the fields.
"""

import struct
from dataclasses import dataclass, field

from aiortc.rtp import (
    RtcpByePacket,
    RtcpPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSourceInfo,
    RtcpSrPacket,
)

from agent.errors import WireError

REPORT_MS = 5_000.0
"""RFC 3550, 6.2: the recommended interval for a session of two."""
_NTP_EPOCH_S = 2_208_988_800
"""1900 to 1970."""
_CNAME = 1


@dataclass(slots=True)
class Network:
    """How the network treats one call, as far as RTCP and the jitter buffer tell."""

    received: int = 0
    """RTP packets."""
    sent: int = 0
    jitter_in_ms: float = 0.0
    """Of what arrives here (RFC 3550, 6.4.1)."""
    jitter_out_ms: float | None = None
    """Of what arrives at the browser, by its reports."""
    lost_in: int = 0
    """Packets that never came, by their numbers; late ones count until they come."""
    lost_out: int | None = None
    loss_out: float = 0.0
    """Share lost on the way to the browser since its last report, 0 to 1."""
    rtt_ms: float | None = None
    repaired: int = 0
    """Lost packets that were restored from the copy in the next one (in-band FEC)."""
    concealed: int = 0
    """Frames made up by the decoder: loss without a copy."""
    filled: int = 0
    """Frames of comfort noise while the browser sent nothing (DTX, mute, outage)."""
    undecodable: int = 0
    client: dict[str, float] = field(default_factory=dict)
    """The page's own figures: L1, L2, L8, L9, getStats."""


class Reception:
    """One incoming stream's statistics for receiver reports (RFC 3550, A.1, A.3, A.8)."""

    def __init__(self, ssrc: int, clock_khz: float) -> None:
        self.ssrc = ssrc
        self._clock_khz = clock_khz
        self._base = self._max = -1
        self._received = 0
        self._expected_before = self._received_before = 0
        self._transit: float | None = None
        self._jitter = 0.0
        self._last_sr: tuple[int, float] | None = None

    @property
    def jitter_ms(self) -> float:
        """Interarrival jitter."""
        return self._jitter / self._clock_khz

    @property
    def lost(self) -> int:
        """Packets missing so far; may be negative with duplicates."""
        return self._expected - self._received

    @property
    def _expected(self) -> int:
        return self._max - self._base + 1 if self._base >= 0 else 0

    def arrived(self, sequence: int, timestamp: int, now_ms: float) -> None:
        """A packet came; numbers as on the wire."""
        self._received += 1
        if self._base < 0:
            self._base = self._max = sequence
        else:
            ahead = (sequence - self._max + 0x8000 & 0xFFFF) - 0x8000
            if ahead <= 0:
                return  # out of order: its delay says nothing about the network's
            self._max += ahead
        transit = now_ms * self._clock_khz - timestamp
        if self._transit is not None:
            # Timestamps wrap at 32 bits (every 25 h at 48 kHz).
            change = abs((transit - self._transit + 2**31) % 2**32 - 2**31)
            if change < 1_000 * self._clock_khz:
                self._jitter += (change - self._jitter) / 16
        self._transit = transit

    def sender_report(self, ntp_timestamp: int, now_ms: float) -> None:
        """The stream's sender reported: our next report tells when that was."""
        self._last_sr = (ntp_timestamp >> 16 & 0xFFFFFFFF, now_ms)

    def report(self, now_ms: float) -> RtcpReceiverInfo:
        """The block for a receiver report; loss counts from the previous one."""
        expected = self._expected - self._expected_before
        received = self._received - self._received_before
        self._expected_before, self._received_before = self._expected, self._received
        lost = max(expected - received, 0)
        lsr, dlsr = 0, 0
        if self._last_sr is not None:
            lsr, dlsr = self._last_sr[0], int((now_ms - self._last_sr[1]) * 65.536) & 0xFFFFFFFF
        return RtcpReceiverInfo(
            ssrc=self.ssrc,
            fraction_lost=min(256 * lost // expected, 255) if expected > 0 else 0,
            packets_lost=max(min(self.lost, 0x7FFFFF), -0x800000),
            highest_sequence=max(self._max, 0) & 0xFFFFFFFF,
            jitter=int(self._jitter),
            lsr=lsr,
            dlsr=dlsr,
        )


@dataclass(frozen=True, slots=True)
class Sent:
    """What a sender report says about our stream."""

    ssrc: int
    timestamp: int
    """RTP time of now."""
    packets: int
    octets: int


def build_report(sent: Sent, cname: str, unix_s: float, now_ms: float, reception: Reception | None) -> bytes:
    """A compound packet: sender report with our view of the browser's stream, and our name."""
    ntp = int((unix_s + _NTP_EPOCH_S) * 2**32) & (2**64 - 1)
    report = RtcpSrPacket(
        ssrc=sent.ssrc,
        sender_info=RtcpSenderInfo(
            ntp_timestamp=ntp,
            rtp_timestamp=sent.timestamp & 0xFFFFFFFF,
            packet_count=sent.packets & 0xFFFFFFFF,
            octet_count=sent.octets & 0xFFFFFFFF,
        ),
        reports=[reception.report(now_ms)] if reception is not None else [],
    )
    names = RtcpSdesPacket([RtcpSourceInfo(ssrc=sent.ssrc, items=[(_CNAME, cname.encode())])])
    return bytes(report) + bytes(names)


def build_bye(ssrc: int) -> bytes:
    """Our stream ends."""
    return bytes(RtcpRrPacket(ssrc=ssrc)) + bytes(RtcpByePacket([ssrc]))


@dataclass(frozen=True, slots=True)
class PeerReport:
    """What a compound packet told."""

    sender_ntp: int | None = None
    """NTP time of the peer's sender report."""
    view: RtcpReceiverInfo | None = None
    """The peer's view of our stream."""
    bye: bool = False


def parse_report(data: bytes, our_ssrc: int) -> PeerReport:
    """A compound RTCP packet. Raises `WireError` where it is malformed; kinds not needed are skipped."""
    try:
        packets = RtcpPacket.parse(data)
    except (ValueError, IndexError, struct.error) as error:
        raise WireError("rtcp", str(error)) from None
    ntp: int | None = None
    view: RtcpReceiverInfo | None = None
    bye = False
    for packet in packets:
        if isinstance(packet, RtcpSrPacket):
            ntp = packet.sender_info.ntp_timestamp
        if isinstance(packet, RtcpSrPacket | RtcpRrPacket):
            view = next((block for block in packet.reports if block.ssrc == our_ssrc), view)
        bye = bye or isinstance(packet, RtcpByePacket)
    return PeerReport(ntp, view, bye)


def round_trip_ms(view: RtcpReceiverInfo, unix_s: float) -> float | None:
    """By the peer's view: now, less when our report left, less what it kept it (RFC 3550, 6.4.1)."""
    if not view.lsr:
        return None
    middle = int((unix_s + _NTP_EPOCH_S) * 65536) & 0xFFFFFFFF
    units = (middle - view.lsr - view.dlsr) & 0xFFFFFFFF
    # A result of hours is a clock that was set back, or a made-up report.
    return units / 65.536 if units < 65536 * 60 else None
