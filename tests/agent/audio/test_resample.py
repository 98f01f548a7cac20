"""Sample rates, streaming."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.audio.resample import Resampler

RATES = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000]


def tone(rate_hz: int, hertz: float = 1_000.0, seconds: float = 0.5) -> bytes:
    at = np.arange(int(rate_hz * seconds)) / rate_hz
    return (10_000 * np.sin(2 * np.pi * hertz * at)).astype("<i2").tobytes()


@pytest.mark.parametrize("from_hz", RATES)
@pytest.mark.parametrize("to_hz", RATES)
def test_a_tone_stays_the_same_tone_of_the_same_length(from_hz: int, to_hz: int) -> None:
    resampler = Resampler(from_hz, to_hz)
    pcm = tone(from_hz)
    step = from_hz // 50 * 2
    converted = b"".join(resampler.process(pcm[at : at + step]) for at in range(0, len(pcm), step))
    samples = np.frombuffer(converted + resampler.flush(), "<i2").astype(float)
    expected = np.frombuffer(tone(to_hz), "<i2").astype(float)
    assert abs(len(samples) - len(expected)) <= 1
    edge = to_hz // 20
    size = min(len(samples), len(expected)) - edge
    error = samples[edge:size] - expected[edge:size]
    assert np.sqrt(np.mean(error**2)) < 100  # 37 dB below the tone


def test_what_a_telephone_cannot_carry_does_not_come_back_as_a_whistle() -> None:
    resampler = Resampler(24_000, 8_000)
    samples = np.frombuffer(resampler.process(tone(24_000, 7_000.0)) + resampler.flush(), "<i2").astype(float)
    assert np.sqrt(np.mean(samples[200:-200] ** 2)) < 10


def test_the_same_rate_passes_through_at_once() -> None:
    resampler = Resampler(8_000, 8_000)
    assert resampler.process(b"\x01\x02\x03") == b"\x01\x02"
    assert resampler.process(b"\x04") == b"\x03\x04"
    assert resampler.flush() == b""


def test_nothing_in_is_nothing_out() -> None:
    resampler = Resampler(22_050, 8_000)
    assert resampler.process(b"") == b""
    assert resampler.flush() == b""


@settings(max_examples=40)
@given(st.lists(st.integers(0, 700), max_size=30))
def test_pieces_of_any_length_even_split_samples_make_the_same_stream(sizes: list[int]) -> None:
    pcm = tone(22_050, 440.0, 0.2)
    resampler, at, pieces = Resampler(22_050, 8_000), 0, b""
    for size in sizes:
        pieces += resampler.process(pcm[at : at + size])
        at += len(pcm[at : at + size])
    pieces += resampler.process(pcm[at:]) + resampler.flush()
    whole = Resampler(22_050, 8_000)
    expected = whole.process(pcm) + whole.flush()
    difference = np.frombuffer(pieces, "<i2").astype(int) - np.frombuffer(expected, "<i2")
    assert np.abs(difference).max() <= 3  # the dither of the last bit differs
