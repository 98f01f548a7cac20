"""libopus, with real speech."""

import numpy as np
import numpy.typing as npt
import pytest

from agent.errors import WireError
from tests.transports.webrtc.speech import spoken
from transports.webrtc.opus import DTX_BYTES, SILENCE, OpusDecoder, OpusEncoder


def packets(pcm: bytes, rate_hz: int = 24_000, loss: int = 0) -> list[bytes]:
    encoder = OpusEncoder(rate_hz, 32_000, 5)
    encoder.expect_loss(loss)
    size = rate_hz // 50 * 2
    return [encoder.encode(pcm[at : at + size]) for at in range(0, len(pcm) - size + 1, size)]


def envelope(pcm: bytes, rate_hz: int) -> npt.NDArray[np.float64]:
    """Loudness by 20 ms."""
    samples = np.frombuffer(pcm, "<i2").astype(float)
    frames = len(samples) // (rate_hz // 50)
    loudness: npt.NDArray[np.float64] = np.sqrt(
        np.mean(samples[: frames * (rate_hz // 50)].reshape(frames, -1) ** 2, axis=1)
    )
    return loudness


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 48_000])
def test_speech_survives_at_any_output_rate(rate_hz: int) -> None:
    pcm = spoken(24_000)
    decoder = OpusDecoder(rate_hz)
    decoded = b"".join(decoder.decode(packet) for packet in packets(pcm))
    before, after = envelope(pcm, 24_000), envelope(decoded, rate_hz)
    assert len(before) - len(after) <= 1
    assert np.corrcoef(before[: len(after)], after)[0, 1] > 0.95


def test_a_lost_packet_is_restored_from_the_next_one() -> None:
    """In-band FEC: the copy is closer to the lost frame than what concealment makes up."""
    sent = packets(spoken(24_000), loss=20)
    whole = OpusDecoder(16_000)
    original = [np.frombuffer(whole.decode(packet), "<i2").astype(float) for packet in sent]
    loud = [n for n in range(5, len(sent) - 1) if np.sqrt(np.mean(original[n] ** 2)) > 1500][::7]
    errors = {True: 0.0, False: 0.0}
    for repaired in errors:
        for lost in loud:
            decoder = OpusDecoder(16_000)
            for packet in sent[:lost]:
                decoder.decode(packet)
            made = decoder.conceal(20, sent[lost + 1] if repaired else None)
            errors[repaired] += float(
                np.sum(
                    (np.abs(np.fft.rfft(np.frombuffer(made, "<i2"))) - np.abs(np.fft.rfft(original[lost])))
                    ** 2
                )
            )
    assert errors[True] < 0.5 * errors[False]


def test_concealment_fades_out() -> None:
    decoder = OpusDecoder(16_000)
    for packet in packets(spoken(24_000))[:30]:
        decoder.decode(packet)
    loudness = [envelope(decoder.conceal(20), 16_000)[0] for _ in range(30)]
    assert loudness[-1] < 0.1 * max(loudness[0], 100)


def test_silence_is_hardly_sent() -> None:
    sent = packets(bytes(48_000 * 2))
    assert sum(len(packet) <= DTX_BYTES for packet in sent[20:]) > 0.9 * len(sent[20:])


def test_the_silence_frame_is_silent() -> None:
    assert not any(OpusDecoder(16_000).decode(SILENCE))


@pytest.mark.parametrize("packet", [b"", b"\xff\xff\xff\xff", b"\x03"])
def test_what_is_no_opus_is_refused(packet: bytes) -> None:
    with pytest.raises(WireError, match="opus"):
        OpusDecoder(16_000).decode(packet)


def test_a_frame_of_another_length_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="960 bytes"):
        OpusEncoder(24_000, 32_000, 5).encode(bytes(640))
