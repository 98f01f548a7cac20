"""The caller's own codecs, against the values of the standards."""

import numpy as np
import pytest

from agent.audio.formats import G722_16K, PCMA_8K, PCMU_8K, AudioFormat, linear
from loadtest.callers.codec import codec_for
from tests.loadtest.fakes import tone

# Twilio sheet, section 10.
VALUES = (
    (0, 0xFF, 0, 0xD5, 8),
    (100, 0xF2, 104, 0xD3, 104),
    (-100, 0x72, -104, 0x53, -104),
    (1000, 0xCE, 988, 0xFA, 1008),
    (-1000, 0x4E, -988, 0x7A, -1008),
    (8031, 0xA0, 7932, 0x8A, 8064),
    (16000, 0x90, 15996, 0xBA, 16128),
    (32767, 0x80, 32124, 0xAA, 32256),
    (-32768, 0x00, -32124, 0x2A, -32256),
)


@pytest.mark.parametrize(("sample", "mulaw", "mulaw_back", "alaw", "alaw_back"), VALUES)
def test_g711_values(sample: int, mulaw: int, mulaw_back: int, alaw: int, alaw_back: int) -> None:
    pcm = sample.to_bytes(2, "little", signed=True)
    for audio, code, back in ((PCMU_8K, mulaw, mulaw_back), (PCMA_8K, alaw, alaw_back)):
        codec = codec_for(audio)
        assert codec.encode(pcm) == bytes([code])
        assert codec.decode(bytes([code])) == back.to_bytes(2, "little", signed=True)


@pytest.mark.parametrize("audio", [PCMU_8K, PCMA_8K, G722_16K, linear(16000)])
def test_speech_survives_each_codec(audio: AudioFormat) -> None:
    frames = [tone(1000)[at : at + 320] for at in range(0, 16000, 320)]
    sender, receiver = codec_for(audio), codec_for(audio)
    back = b"".join(receiver.decode(sender.encode(frame)) for frame in frames)
    level = np.frombuffer(back, "<i2").astype(float).std()
    assert 0.85 < level / np.frombuffer(tone(1000), "<i2").astype(float).std() < 1.1


def test_half_a_sample_cannot_be_decoded() -> None:
    with pytest.raises(ValueError, match="multiple"):
        codec_for(linear(16000)).decode(b"\0\0\0")
