"""Speech stays intelligible where one packet in twenty is lost, in either direction."""

import random
from typing import Any

import numpy as np
import pytest
import soxr

from tests.e2e import hearing
from tests.transports.webrtc.speech import spoken
from transports.webrtc.codecs import Codec, CodecName
from transports.webrtc.opus import OpusDecoder, OpusEncoder
from transports.webrtc.receiver import HEARD_HZ, Receiver
from transports.webrtc.reports import Network
from transports.webrtc.rtp import RtpPacket, build_rtp
from transports.webrtc.sender import SPOKEN_HZ

LOSS = 0.05
SENTENCE = "We are open from Monday to Friday, from eight in the morning to six in the evening."
SAME = 0.9
"""`likeness` without any loss is 0.98; to another sentence it is 0.4."""
SEEDS = [1, 2, 3, 4, 5]


def encoded(rate_hz: int) -> list[bytes]:
    """The sentence as a sender encodes it that was told of the loss."""
    encoder = OpusEncoder(rate_hz, 32_000, 5)
    encoder.expect_loss(int(100 * LOSS))
    pcm, size = spoken(rate_hz, SENTENCE), rate_hz // 50 * 2
    return [encoder.encode(pcm[at : at + size]) for at in range(0, len(pcm) - size, size)]


def lost_of(count: int, seed: int) -> set[int]:
    """Numbers of the packets that do not arrive; the first one does."""
    chance = random.Random(seed)
    return {number for number in range(1, count) if chance.random() < LOSS}


def heard_by_the_call(packets: list[bytes], lost: set[int]) -> tuple[bytes, Network]:
    """PCM at 16 kHz."""
    network, audio = Network(), bytearray()
    receiver = Receiver(Codec(CodecName.OPUS, 111), network, lambda pcm, _: audio.extend(pcm))
    now_ms = 1000.0
    for number, payload in enumerate(packets):
        now_ms += 20
        receiver.tick(now_ms)
        if number not in lost:
            packet = RtpPacket(111, number, number * 960, 5, payload)
            receiver.packet(build_rtp(packet, marker=False), now_ms)
    return bytes(audio), network


def heard_by_the_browser(packets: list[bytes], lost: set[int], *, copies: bool = True) -> bytes:
    """PCM at 16 kHz: what any decoder makes of it that uses our FEC, and conceals the rest."""
    decoder, audio = OpusDecoder(HEARD_HZ), bytearray()
    for number, payload in enumerate(packets):
        if number not in lost:
            audio += decoder.decode(payload)
        else:
            came = copies and number + 1 not in lost and number + 1 < len(packets)
            audio += decoder.conceal(20, packets[number + 1] if came else None)
    return bytes(audio)


def likeness(heard: bytes) -> float:
    """Of 16 kHz PCM to the sentence."""
    pcm = [
        soxr.resample(np.frombuffer(audio, "<i2"), rate_hz, hearing.RATE_HZ).astype("<i2").tobytes()
        for audio, rate_hz in ((heard, HEARD_HZ), (spoken(48_000, SENTENCE), 48_000))
    ]
    return hearing.likeness(*pcm)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_call_understands_a_browser_on_a_lossy_network(seed: int) -> None:
    packets = encoded(48_000)
    lost = lost_of(len(packets), seed)
    whole, _ = heard_by_the_call(packets, set())
    heard, network = heard_by_the_call(packets, lost)
    assert len(lost) >= 5
    assert abs(len(heard) - len(whole)) <= 2 * 640
    # Each lost frame is made from the copy in the packet after it, if that one came; others are guessed.
    followed = [number for number in lost if number + 1 not in lost and number + 1 < len(packets)]
    assert network.repaired + network.filled >= len(followed)  # a pause is filled in, not repaired
    assert network.repaired >= 0.8 * len(followed)
    assert likeness(heard) > SAME


@pytest.mark.parametrize("seed", SEEDS)
def test_a_browser_on_a_lossy_network_understands_the_agent(seed: int) -> None:
    packets = encoded(SPOKEN_HZ)
    lost = lost_of(len(packets), seed)
    assert likeness(heard_by_the_browser(packets, lost)) > SAME


def test_the_copies_are_closer_to_what_was_lost_than_a_guess() -> None:
    packets = encoded(SPOKEN_HZ)
    lost = lost_of(len(packets), SEEDS[0])
    whole, repaired, guessed = (
        np.frombuffer(pcm, "<i2").astype(float).reshape(-1, 320)
        for pcm in (
            heard_by_the_browser(packets, set()),
            heard_by_the_browser(packets, lost),
            heard_by_the_browser(packets, lost, copies=False),
        )
    )
    where = sorted(number for number in lost if np.abs(whole[number]).mean() > 500)
    assert len(where) >= 5

    def error(made: Any) -> float:
        return float(((made[where] - whole[where]) ** 2).sum() / (whole[where] ** 2).sum())

    assert error(repaired) < 0.8 * error(guessed)
