"""RTP packets (RFC 3550, section 5.1), as bytes in and out."""

import struct
from typing import NamedTuple

from agent.errors import WireError

HEADER_BYTES = 12
_HEADER = struct.Struct("!BBHLL")


class RtpPacket(NamedTuple):
    """What a receiver needs of a packet. Header extensions and CSRCs are skipped: none is negotiated."""

    payload_type: int
    sequence: int
    """16 bits."""
    timestamp: int
    """32 bits, in units of the codec's RTP clock."""
    ssrc: int
    payload: bytes


def parse_rtp(data: bytes) -> RtpPacket:
    """Raises `WireError` where lengths do not fit."""
    if len(data) < HEADER_BYTES:
        raise WireError("rtp", f"a packet of {len(data)} bytes")
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != 2:
        raise WireError("rtp", "not version 2")
    start, end = HEADER_BYTES, len(data)
    if first != 0x80:
        start += 4 * (first & 0x0F)
        if first & 0x10:
            if end < start + 4:
                raise WireError("rtp", "the header extension is cut off")
            start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
        if first & 0x20:
            end -= data[-1]
        if start > end:
            raise WireError("rtp", "header and padding are longer than the packet")
    return RtpPacket(second & 0x7F, sequence, timestamp, ssrc, data[start:end])


def build_rtp(packet: RtpPacket, *, marker: bool) -> bytes:
    """`marker`: the first packet of a talk spurt (RFC 3551, 4.1)."""
    second = packet.payload_type | (0x80 if marker else 0)
    return _HEADER.pack(0x80, second, packet.sequence, packet.timestamp, packet.ssrc) + packet.payload


def is_rtcp(data: bytes) -> bool:
    """True for RTCP on a port shared with RTP (RFC 5761, 4: packet types 192 to 223)."""
    return len(data) > 1 and 192 <= data[1] <= 223
