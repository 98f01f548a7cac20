"""RTP numbers of what the agent says."""

import itertools

import pytest

from transports.webrtc.codecs import Codec, CodecName
from transports.webrtc.frames import FrameStore, StoredSpeech
from transports.webrtc.opus import SILENCE, OpusEncoder
from transports.webrtc.reports import Network
from transports.webrtc.rtp import RtpPacket, parse_rtp
from transports.webrtc.sender import COMFORT_MS, Sender

LOUD = bytes(range(256)) * 3 + bytes(192)


class Wire:
    """Keeps what is sent."""

    def __init__(self, name: CodecName = CodecName.OPUS) -> None:
        self.sent: list[tuple[bool, RtpPacket]] = []
        speech = None
        if name is CodecName.OPUS:
            speech = StoredSpeech(lambda: OpusEncoder(24_000, 32_000, 5), "", FrameStore())
        self.network = Network()
        self.there = True
        self.sender = Sender(Codec(name, 96), self.network, speech, self.transmit, 0.0)

    def transmit(self, data: bytes) -> bool:
        self.sent.append((data[1] > 127, parse_rtp(data)))
        return self.there

    def steps(self) -> list[int]:
        stamps = [packet.timestamp for _, packet in self.sent]
        return [(b - a) & 0xFFFFFFFF for a, b in itertools.pairwise(stamps)]


def test_a_spurt_counts_samples_whatever_the_clock_says() -> None:
    wire = Wire()
    for at_ms in (100, 118, 143, 160, 181):
        wire.sender.frame(LOUD, at_ms)
    assert wire.steps() == [960] * 4
    assert [marker for marker, _ in wire.sent] == [True, False, False, False, False]
    numbers = [packet.sequence for _, packet in wire.sent]
    assert [(b - a) & 0xFFFF for a, b in itertools.pairwise(numbers)] == [1] * 4


def test_a_new_spurt_is_marked_and_follows_the_clock() -> None:
    wire = Wire()
    wire.sender.frame(LOUD, 100)
    wire.sender.frame(LOUD, 120)
    wire.sender.frame(LOUD, 1120)
    assert wire.steps() == [960, 48 * 1000]
    assert [marker for marker, _ in wire.sent] == [True, False, True]


def test_after_a_barge_in_the_next_frame_is_a_new_spurt_never_in_the_past() -> None:
    wire = Wire()
    for at_ms in (100, 100, 100):  # a burst: 60 ms in advance
        wire.sender.frame(LOUD, at_ms)
    wire.sender.stop()
    wire.sender.frame(LOUD, 110)
    assert wire.steps() == [960] * 3
    assert wire.sent[-1][0]


def test_silence_is_sent_now_and_then_only() -> None:
    wire = Wire()
    for beat in range(150):
        wire.sender.tick(20.0 * beat)
    assert len(wire.sent) == pytest.approx(3000 / COMFORT_MS, abs=1)
    assert {packet.payload for _, packet in wire.sent} == {SILENCE}
    assert set(wire.steps()) == {int(COMFORT_MS * 48)}


def test_no_silence_comes_into_speech() -> None:
    wire = Wire()
    for beat in range(100):
        wire.sender.frame(LOUD, 20.0 * beat)
        wire.sender.tick(20.0 * beat + 7)
    assert SILENCE not in {packet.payload for _, packet in wire.sent}


def test_digital_silence_within_speech_is_not_sent_but_takes_its_time() -> None:
    wire = Wire()
    for beat in range(40):
        wire.sender.frame(LOUD, 20.0 * beat)
    before = len(wire.sent)
    for beat in range(40, 80):
        wire.sender.frame(bytes(960), 20.0 * beat)
    wire.sender.frame(LOUD, 1600.0)
    assert len(wire.sent) - before < 25
    assert (wire.sent[-1][1].timestamp - wire.sent[0][1].timestamp) & 0xFFFFFFFF == 80 * 960


def test_g711_goes_out_as_it_is() -> None:
    wire = Wire(CodecName.PCMU)
    wire.sender.frame(b"\x21" * 160, 0)
    wire.sender.frame(b"\x22" * 160, 20)
    assert [packet.payload[:1] for _, packet in wire.sent] == [b"\x21", b"\x22"]
    assert wire.steps() == [160]


def test_only_what_left_is_counted() -> None:
    wire = Wire()
    wire.sender.frame(LOUD, 0)
    wire.there = False
    wire.sender.frame(LOUD, 20)
    assert wire.network.sent == wire.sender.sent(40).packets == 1
