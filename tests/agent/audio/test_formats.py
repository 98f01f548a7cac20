"""Sizes and silence of the formats."""

import pytest

from agent.audio.codec import make_decoder
from agent.audio.formats import FRAME_MS, G722_16K, PCMA_8K, PCMU_8K, AudioFormat, linear


@pytest.mark.parametrize(
    ("audio", "frame_bytes", "is_linear"),
    [
        (PCMU_8K, 160, False),
        (PCMA_8K, 160, False),
        (G722_16K, 160, False),
        (linear(8_000), 320, True),
        (linear(16_000), 640, True),
        (linear(24_000), 960, True),
    ],
)
def test_a_frame_is_twenty_milliseconds(audio: AudioFormat, frame_bytes: int, is_linear: bool) -> None:
    assert audio.frame_bytes == frame_bytes
    assert audio.duration_ms(frame_bytes) == FRAME_MS
    assert audio.is_linear is is_linear


@pytest.mark.parametrize(("audio", "loudest"), [(PCMU_8K, 0), (PCMA_8K, 8), (linear(16_000), 0)])
def test_silence_is_silent(audio: AudioFormat, loudest: int) -> None:
    silence = audio.silence(160)
    assert len(silence) == 160
    pcm = make_decoder(audio).decode(silence)
    assert set(pcm) <= {0, loudest}


def test_g722_has_no_silence_to_fill_in() -> None:
    with pytest.raises(ValueError, match="encode silence"):
        G722_16K.silence(160)
