"""What a call hears of a stream with losses, pauses and other codecs."""

import numpy as np
import pytest

from agent.errors import WireError
from tests.transports.webrtc.speech import spoken
from transports.webrtc.codecs import Codec, CodecName
from transports.webrtc.opus import OpusEncoder
from transports.webrtc.receiver import MAX_FILL_MS, Receiver
from transports.webrtc.reports import Network
from transports.webrtc.rtp import RtpPacket, build_rtp

OPUS = Codec(CodecName.OPUS, 111)
PCMU = Codec(CodecName.PCMU, 0)


class Ear:
    """Notes frames with their times; drives a receiver's clock."""

    def __init__(self, codec: Codec = OPUS) -> None:
        self.network = Network()
        self.frames: list[tuple[bytes, float]] = []
        self.receiver = Receiver(codec, self.network, lambda audio, at_ms: self.frames.append((audio, at_ms)))
        self.codec = codec
        self.now_ms = 1000.0

    def packet(self, number: int, payload: bytes, *, timestamp: int | None = None, ssrc: int = 5) -> None:
        step = int(20 * self.codec.clock_khz)
        stamp = number * step if timestamp is None else timestamp
        data = build_rtp(
            RtpPacket(self.codec.payload_type, number & 0xFFFF, stamp & 0xFFFFFFFF, ssrc, payload),
            marker=False,
        )
        self.receiver.packet(data, self.now_ms)

    def wait(self, duration_ms: float) -> None:
        """Time passes, with a tick every 20 ms."""
        until_ms = self.now_ms + duration_ms
        while self.now_ms < until_ms:
            self.now_ms += 20
            self.receiver.tick(self.now_ms)

    @property
    def heard_ms(self) -> float:
        return sum(len(audio) for audio, _ in self.frames) / 32

    def assert_continuous(self) -> None:
        at_ms = self.frames[0][1]
        for audio, time_ms in self.frames:
            assert time_ms == pytest.approx(at_ms)
            at_ms += self.receiver.format.duration_ms(len(audio))


@pytest.fixture(scope="module")
def packets() -> list[bytes]:
    pcm = spoken(48_000)
    encoder = OpusEncoder(48_000, 32_000, 5)
    encoder.expect_loss(20)
    return [encoder.encode(pcm[at : at + 1920]) for at in range(0, len(pcm) - 1919, 1920)]


def test_audio_is_handed_over_in_the_call_that_brings_it(packets: list[bytes]) -> None:
    ear = Ear()
    for number in range(50):
        ear.packet(number, packets[number])
        assert len(ear.frames) == number + 1
        ear.wait(20)
    ear.assert_continuous()
    assert {len(audio) for audio, _ in ear.frames} == {640}
    assert ear.network.received == 50


def test_a_lost_packet_is_repaired_when_its_wait_is_over(packets: list[bytes]) -> None:
    ear = Ear()
    for number in range(60):
        if number != 30:
            ear.packet(number, packets[number])
        ear.wait(20)
    ear.assert_continuous()
    assert ear.heard_ms == 60 * 20
    assert (ear.network.repaired, ear.network.concealed, ear.network.filled) == (1, 0, 0)


def test_of_two_lost_packets_one_is_made_up(packets: list[bytes]) -> None:
    ear = Ear()
    for number in range(60):
        if number not in (30, 31):
            ear.packet(number, packets[number])
        ear.wait(20)
    assert ear.heard_ms == 60 * 20
    assert (ear.network.repaired, ear.network.concealed) == (1, 1)


def test_silence_is_heard_while_a_muted_browser_sends_nothing(packets: list[bytes]) -> None:
    ear = Ear()
    for number in range(20):
        ear.packet(number, packets[number])
        ear.wait(20)
    ear.wait(3000)
    assert ear.heard_ms == pytest.approx(20 * 20 + 3000, abs=120)
    ear.assert_continuous()
    last = np.frombuffer(ear.frames[-1][0], "<i2")
    assert np.abs(last.astype(float)).max() < 200


def test_a_pause_by_dtx_lasts_as_long_here_as_there(packets: list[bytes]) -> None:
    ear = Ear()
    for number in range(20):
        ear.packet(number, packets[number])
        ear.wait(20)
    for pause in range(5):  # a packet of one byte, then nothing for 380 ms, as the numbers go on
        ear.packet(20 + pause, b"\x08", timestamp=(20 + 20 * pause) * 960)
        ear.wait(400)
    ear.packet(25, packets[25], timestamp=(20 + 100) * 960)
    assert ear.heard_ms == pytest.approx(20 * 20 + 5 * 400 + 20, abs=30)
    ear.assert_continuous()


def test_silence_in_a_pause_is_heard_when_it_happens(packets: list[bytes]) -> None:
    """Ends of turns hang on it; the core counts frames that are 40 ms late."""
    ear = Ear()
    ear.packet(0, packets[0])
    ear.now_ms += 20
    ear.packet(1, b"\x08")
    began_ms, before = ear.now_ms, len(ear.frames)
    ear.wait(400)
    for number, (_, at_ms) in enumerate(ear.frames[before:]):
        assert at_ms == pytest.approx(40 + 20 * number)
    assert len(ear.frames) - before >= (ear.now_ms - began_ms - 40) / 20


def test_a_late_packet_before_a_pause_does_not_make_the_pause_late(packets: list[bytes]) -> None:
    ear = Ear()
    for number in range(20):
        ear.packet(number, packets[number])
        ear.wait(20)
    ear.now_ms += 60
    ear.packet(20, b"\x08")
    ear.wait(200)
    _, at_ms = ear.frames[-1]
    assert ear.now_ms - 1000 - at_ms < 40


def test_an_outage_is_not_heard_twice(packets: list[bytes]) -> None:
    ear = Ear()
    for number in range(20):
        ear.packet(number, packets[number])
        ear.wait(20)
    ear.wait(400)
    for number in range(40, 60):
        ear.packet(number, packets[number])
        ear.wait(20)
    assert ear.heard_ms == pytest.approx(60 * 20, abs=100)


def test_after_a_stall_of_ours_time_is_skipped_not_filled(packets: list[bytes]) -> None:
    ear = Ear()
    ear.packet(0, packets[0])
    ear.now_ms += 5_000
    ear.receiver.tick(ear.now_ms)
    assert ear.heard_ms <= MAX_FILL_MS + 20
    ear.packet(1, packets[1])
    assert ear.frames[-1][1] == pytest.approx(5_000, abs=100)


def test_g711_is_passed_on_as_it_is_and_gaps_are_pauses() -> None:
    ear = Ear(PCMU)
    ear.packet(0, b"\x12" * 160)
    ear.wait(20)
    ear.packet(2, b"\x34" * 160)
    ear.wait(100)
    assert [audio[:1] for audio, _ in ear.frames[:3]] == [b"\x12", b"\xff", b"\x34"]
    assert ear.network.concealed == 1


def test_a_new_source_starts_anew(packets: list[bytes]) -> None:
    ear = Ear()
    ear.packet(1000, packets[0])
    ear.wait(20)
    ear.packet(7, packets[1], timestamp=3, ssrc=6)
    assert len(ear.frames) == 2
    assert ear.receiver.buffer.lost == 0
    ear.assert_continuous()


def test_what_cannot_be_decoded_is_counted_and_made_up(packets: list[bytes]) -> None:
    ear = Ear()
    ear.packet(0, packets[0])
    ear.packet(1, b"\xff\xff\xff\xff")
    assert ear.network.undecodable == 1
    assert ear.heard_ms == 40


def test_another_payload_type_is_refused() -> None:
    ear = Ear()
    with pytest.raises(WireError, match="payload_type"):
        ear.receiver.packet(build_rtp(RtpPacket(96, 1, 1, 5, b"x"), marker=False), 0.0)


def test_longer_packets_are_heard_whole() -> None:
    ear = Ear()
    # Code 1 of RFC 6716: two frames of the silence packet's kind in one packet.
    ear.packet(0, b"\xf9\xff\xfe\xff\xfe")
    assert ear.heard_ms == 40
