"""Hearing speech by energy, to the sample."""

from loadtest.callers.ear import GAP_MS, Ear, audible_span
from tests.loadtest.fakes import silence, tone


def hear(ear: Ear, pcm: bytes, at_ms: float) -> None:
    for index in range(0, len(pcm), 320):
        ear.hear(pcm[index : index + 320].ljust(320, b"\0"), at_ms + index / 16)


def test_the_span_of_speech_is_found_to_the_sample_and_line_noise_is_not_speech() -> None:
    noise = tone(100, amplitude=8)
    assert audible_span(noise + tone(50) + noise) == (800, 1199)
    assert audible_span(noise) is None
    assert audible_span(b"") is None


def test_a_single_click_is_not_speech() -> None:
    click = bytearray(silence(100))
    click[801] = 0x01  # one sample of 256
    assert audible_span(bytes(click)) is None


def test_speech_with_short_pauses_is_one_stretch() -> None:
    ear = Ear()
    hear(ear, tone(200) + silence(GAP_MS - 40) + tone(200), 1000.0)
    (stretch,) = ear.stretches
    assert stretch.start_ms == 1000.0
    assert round(stretch.end_ms) == 1760


def test_speech_after_a_longer_pause_is_a_new_stretch() -> None:
    ear = Ear()
    hear(ear, tone(200) + silence(GAP_MS) + tone(200), 1000.0)
    assert [stretch.start_ms for stretch in ear.stretches] == [1000.0, 1600.0]
    assert ear.begun_after(1000.0) == 1000.0
    assert ear.begun_after(1000.1) == 1600.0
    assert ear.begun_after(1600.1) is None
    assert ear.audible_ms == 400.0


def test_the_start_of_speech_is_its_first_audible_sample_not_its_frame() -> None:
    ear = Ear()
    hear(ear, silence(5) + tone(15) + tone(100), 40.0)
    assert ear.stretches[0].start_ms == 45.0


def test_silence_and_speaking_are_told_at_any_moment() -> None:
    ear = Ear()
    assert ear.silent_ms(5.0) == float("inf")
    assert ear.speaking_ms(5.0) == 0.0
    assert ear.stretch_at(5.0) is None
    hear(ear, tone(200), 1000.0)
    assert ear.speaking_ms(1150.0) == 150.0
    assert round(ear.silent_ms(1300.0)) == 100
    assert ear.speaking_ms(1700.0) == 0.0
    assert ear.stretch_at(1100.0) is ear.stretches[0]
    assert ear.stretch_at(999.0) is None
    assert ear.stretch_at(1700.0) is None
