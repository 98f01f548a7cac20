"""Sentences cut to the speech in them."""

import pytest

from loadtest.callers.ear import audible_span
from loadtest.callers.utterance import Utterance, cough, utterance
from tests.loadtest.fakes import silence, tone


def test_silence_around_the_speech_is_cut_away_and_the_rest_fills_whole_frames() -> None:
    said = utterance("hello", silence(333) + tone(105) + silence(200))
    assert len(said.frames) == 6
    assert all(len(frame) == 320 for frame in said.frames)
    assert b"".join(said.frames).startswith(tone(105)[:1600])
    assert said.last_voiced == 5
    assert said.duration_ms == 120.0


def test_pauses_within_a_sentence_are_kept() -> None:
    said = utterance("hello", tone(100) + silence(300) + tone(100))
    assert said.duration_ms == 500.0


def test_a_silent_recording_cannot_be_said() -> None:
    with pytest.raises(ValueError, match=r"no sound in 'nothing\.wav'"):
        utterance("nothing.wav", silence(500))


def test_a_cough_is_short_loud_and_always_the_same() -> None:
    assert cough() == cough()
    assert 80 <= cough().duration_ms <= 160
    assert audible_span(cough().frames[0]) is not None


def test_text_alone_takes_as_long_as_saying_it() -> None:
    assert Utterance("What are your opening hours?").duration_ms == 2000.0
