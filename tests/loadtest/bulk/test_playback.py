import pytest

from loadtest.bulk.figures import Figures
from loadtest.bulk.playback import Playback


def test_audio_plays_one_after_the_other_and_at_once_after_a_silence() -> None:
    playback, figures = Playback(), Figures()
    assert playback.arrived(100, 1_000.0, figures) == 1_000.0
    assert playback.arrived(100, 1_020.0, figures) == 1_100.0
    assert playback.arrived(100, 1_500.0, figures) == 1_500.0
    assert playback.until_ms == 1_600.0
    assert figures.heard_ms == 300.0


def test_a_gap_is_what_a_60_ms_buffer_cannot_hide_and_only_that_is_heard() -> None:
    playback, figures = Playback(), Figures()
    playback.arrived(100, 0.0, figures)
    playback.arrived(100, 150.0, figures)
    assert (figures.gaps, figures.gap_ms) == (0, 0.0)
    playback.arrived(100, 350.0, figures)
    assert (figures.gaps, figures.gap_ms) == (1, 40.0)


@pytest.mark.parametrize("ended_by", ["mark", "clear", "pause"])
def test_silence_between_sentences_is_no_gap(ended_by: str) -> None:
    playback, figures = Playback(), Figures()
    playback.arrived(100, 0.0, figures)
    if ended_by == "mark":
        playback.mark("end")
    elif ended_by == "clear":
        playback.clear(50.0)
    else:
        playback.pause()
    playback.arrived(100, 900.0, figures)
    assert figures.gaps == 0
    assert figures.jitter_ms == []


def test_jitter_is_the_distance_of_messages_less_the_audio_between_them() -> None:
    playback, figures = Playback(), Figures()
    for at_ms in (0.0, 100.0, 230.0, 231.0, 400.0):
        playback.arrived(100, at_ms, figures)
    # The fourth came in one go with the third.
    assert figures.jitter_ms == [0.0, 30.0, 69.0]


def test_marks_come_back_when_reached_or_all_at_once_when_cleared() -> None:
    playback, figures = Playback(), Figures()
    playback.arrived(100, 0.0, figures)
    playback.mark("a")
    playback.arrived(100, 10.0, figures)
    playback.mark("b")
    assert playback.reached(99.0) == []
    assert playback.reached(100.0) == ["a"]
    assert playback.clear(120.0) == ["b"]
    assert playback.reached(999.0) == []
    assert playback.until_ms == 120.0
