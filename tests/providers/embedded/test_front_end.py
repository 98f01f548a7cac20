"""What the recogniser is given of a call's audio."""

import numpy as np
import pytest

from providers.embedded.front_end import LEVEL, MAX_GAIN, MODEL_HZ, FrontEnd, gain
from tests.speech import speech


def rms(pcm: bytes) -> float:
    return float(np.sqrt((np.frombuffer(pcm, "<i2").astype(float) ** 2).mean()))


def scaled(pcm: bytes, factor: float) -> bytes:
    return (np.frombuffer(pcm, "<i2") * factor).astype("<i2").tobytes()


def test_a_quiet_line_is_brought_to_the_same_level_as_a_loud_one() -> None:
    said = speech("what are your opening hours")
    quiet = scaled(said, 0.1)
    assert gain(quiet) == pytest.approx(10 * gain(said), rel=0.02)
    assert rms(FrontEnd(8_000, gain(quiet)).convert(quiet, last=True)) == pytest.approx(
        rms(FrontEnd(8_000, gain(said)).convert(said, last=True)), rel=0.05
    )


def test_pauses_do_not_change_the_level() -> None:
    said = speech("yes")
    assert gain(said + bytes(len(said) // 2)) == pytest.approx(gain(said), rel=0.35)


def test_silence_is_not_blown_up() -> None:
    assert gain(b"") == 1.0
    assert gain(bytes(3_200)) == 1.0
    assert gain(scaled(speech("yes"), 0.001)) <= MAX_GAIN
    assert LEVEL > 0


def test_digital_silence_becomes_dither() -> None:
    assert 30 < rms(FrontEnd(8_000, 1.0).convert(bytes(16_000), last=True)) < 90


@pytest.mark.parametrize("rate_hz", [8_000, MODEL_HZ])
def test_pieces_give_what_the_whole_gives(rate_hz: int) -> None:
    said = speech("half past nine", rate_hz)
    whole = FrontEnd(rate_hz, 2.0).convert(said, last=True)
    front_end = FrontEnd(rate_hz, 2.0)
    pieces = b"".join(front_end.convert(said[at : at + 640]) for at in range(0, len(said), 640))
    pieces += front_end.convert(b"", last=True)
    difference = np.frombuffer(whole, "<i2").astype(int) - np.frombuffer(pieces, "<i2")
    assert len(pieces) == len(whole) == len(said) * MODEL_HZ // rate_hz
    assert np.abs(difference).max() <= 1


def test_loud_speech_is_clipped_and_does_not_wrap() -> None:
    loud = scaled(speech("no"), 4.0)
    made = np.frombuffer(FrontEnd(MODEL_HZ, 30.0).convert(loud), "<i2").astype(int)
    given = np.frombuffer(loud, "<i2").astype(int)
    assert np.all(np.sign(made[np.abs(given) > 100]) == np.sign(given[np.abs(given) > 100]))
