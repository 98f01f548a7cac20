"""From any format of a provider to any format of a line."""

import numpy as np
import pytest

from agent.audio.codec import make_decoder, make_encoder
from agent.audio.convert import make_converter
from agent.audio.formats import G722_16K, PCMA_8K, PCMU_8K, AudioFormat, linear

FORMATS = [PCMU_8K, PCMA_8K, G722_16K, linear(8_000), linear(16_000), linear(22_050), linear(24_000)]


def tone(audio: AudioFormat, seconds: float = 1.0) -> bytes:
    at = np.arange(int(audio.rate_hz * seconds)) / audio.rate_hz
    return make_encoder(audio).encode((8_000 * np.sin(2 * np.pi * 600 * at)).astype("<i2").tobytes())


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("step", [160, 331])
def test_a_second_stays_a_second_and_the_tone_stays_itself(
    source: AudioFormat, target: AudioFormat, step: int
) -> None:
    converter = make_converter(source, target)
    payload = tone(source)
    converted = b"".join(converter.convert(payload[at : at + step]) for at in range(0, len(payload), step))
    converted += converter.flush()
    assert target.duration_ms(len(converted)) == pytest.approx(1_000.0, abs=1.0)
    pcm = np.frombuffer(make_decoder(target).decode(converted), "<i2").astype(float)
    middle = pcm[len(pcm) // 4 : len(pcm) // 4 + target.rate_hz // 2]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    peak = int(np.argmax(spectrum))
    assert peak * 2 == pytest.approx(600, abs=4)
    spectrum[max(peak - 4, 0) : peak + 5] = 0.0
    # A lost or doubled sample in each piece would leave clicks all over the spectrum.
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(8_000 / 2**0.5, rel=0.1)
    assert spectrum.max() < len(middle) / 4 * 8_000 * 0.05


def test_the_same_format_passes_through_untouched() -> None:
    converter = make_converter(G722_16K, G722_16K)
    payload = bytes(range(7))
    assert converter.convert(payload) is payload
    assert converter.flush() == b""


def test_silence_becomes_silence() -> None:
    converter = make_converter(linear(24_000), PCMU_8K)
    payload = converter.convert(bytes(48_000)) + converter.flush()
    # The resampler dithers its last bit: the softest code of mu-law, -72 dBFS.
    assert set(payload) <= {0xFF, 0x7F, 0xFE, 0x7E}
