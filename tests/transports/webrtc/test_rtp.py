"""RTP headers, against aiortc's own reading and writing of them."""

import pytest
from aiortc import rtp as aiortc_rtp
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import WireError
from transports.webrtc.rtp import RtpPacket, build_rtp, is_rtcp, parse_rtp


def test_what_is_built_reads_the_same_elsewhere() -> None:
    data = build_rtp(RtpPacket(111, 65_535, 2**32 - 1, 4711, b"voice"), marker=True)
    packet = aiortc_rtp.RtpPacket.parse(data)
    assert (packet.marker, packet.payload_type, packet.sequence_number) == (1, 111, 65_535)
    assert (packet.timestamp, packet.ssrc, packet.payload) == (2**32 - 1, 4711, b"voice")
    assert parse_rtp(data) == RtpPacket(111, 65_535, 2**32 - 1, 4711, b"voice")


def test_csrcs_extension_and_padding_are_skipped() -> None:
    packet = aiortc_rtp.RtpPacket(payload_type=96, sequence_number=7, timestamp=9, ssrc=3, payload=b"abc")
    packet.csrc = [1, 2]
    packet.padding_size = 4
    extensions = aiortc_rtp.HeaderExtensionsMap()
    data = packet.serialize(extensions)
    head, tail = bytes([data[0] | 0x10]) + data[1:20], data[20:]
    assert parse_rtp(head + b"\xbe\xde\x00\x01\x10\xff\x00\x00" + tail).payload == b"abc"


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80" * 11, b"\x40" + bytes(20), b"\x90" + bytes(12), b"\x8f" + bytes(12),
     b"\x90" + bytes(11) + b"\x00\x00\xff\xff", b"\xa0" + bytes(11) + b"\xff"],
)  # fmt: skip
def test_broken_packets_are_refused(data: bytes) -> None:
    with pytest.raises(WireError, match="rtp"):
        parse_rtp(data)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        packet = parse_rtp(data)
    except WireError:
        return
    assert len(packet.payload) <= len(data) - 12


def test_rtcp_is_told_apart() -> None:
    assert is_rtcp(bytes([0x80, 200]))
    assert not is_rtcp(build_rtp(RtpPacket(111, 1, 1, 1, b""), marker=True))
    assert not is_rtcp(b"")
