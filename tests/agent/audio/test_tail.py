"""Where speech ends, told from level alone."""

import random

import pytest

from agent.audio.tail import REACH_MS, SpeechTail
from agent.audio.vad import VoiceDetector
from tests import speech

WEAK_ENDING = "How much is a first visit?"
"""A closure of 20 ms, then a burst at -37 dBFS that webrtcvad is of two minds about."""


def fed(*levels: tuple[int, bool]) -> SpeechTail:
    tail = SpeechTail()
    for rms, voiced in levels:
        tail.add(rms, voiced)
    return tail


VOICE, SILENCE, BURST = (3000, True), (5, False), (460, False)


def test_nothing_is_added_to_an_end_that_is_followed_by_silence() -> None:
    assert fed(VOICE, VOICE, *[SILENCE] * 20).release_ms() == 0


def test_a_burst_behind_a_closure_is_the_end() -> None:
    assert fed(VOICE, SILENCE, SILENCE, BURST, BURST, *[SILENCE] * 20).release_ms() == 80


@pytest.mark.parametrize(("frames_between", "release_ms"), [(5, 120), (6, 0)])
def test_a_sound_that_comes_too_late_is_another_one(frames_between: int, release_ms: float) -> None:
    assert REACH_MS == 120
    assert fed(VOICE, *[SILENCE] * frames_between, BURST, *[SILENCE] * 20).release_ms() == release_ms


def test_noise_as_loud_as_before_is_no_release() -> None:
    noise = [(300, False), (460, False), (380, False), (250, False)] * 5
    assert fed(VOICE, *noise).release_ms() == 0


def test_a_sound_far_below_the_speech_is_its_echo() -> None:
    assert fed((20_000, True), SILENCE, BURST, *[SILENCE] * 20).release_ms() == 0


def test_only_what_follows_the_latest_voice_counts() -> None:
    assert fed(VOICE, BURST, *[SILENCE] * 3, VOICE, *[SILENCE] * 20).release_ms() == 0


def test_before_any_voice_there_is_nothing_to_add() -> None:
    assert fed().release_ms() == 0
    assert fed(*[BURST] * 3, *[SILENCE] * 20).release_ms() == 0


def test_the_loudest_sound_that_there_can_be_has_a_level() -> None:
    assert fed(VOICE, (32_768, False), *[SILENCE] * 20).release_ms() == 20


def ends(history_frames: int, *, released: bool) -> int:
    """The frame, counted from its beginning, in which `WEAK_ENDING` ends for a listener with that history."""
    said = speech.frames(speech.mu_law(speech.trimmed(speech.speech(WEAK_ENDING, voice="en-us+m3"))))
    quiet = speech.frames(speech.mu_law(speech.noise("white", 1_000, -76.0)))
    detector, tail = VoiceDetector(8000), SpeechTail()
    # Other sentences before: they are what makes two listeners of different minds.
    before = speech.frames(speech.speech("Do you have time on Tuesday morning?", voice="en-us+m3"))
    last = 0
    chance = random.Random(history_frames)
    for frame in before * (history_frames % 3) + [chance.choice(quiet) for _ in range(history_frames)]:
        voiced = detector.is_voiced(frame)
        tail.add(detector.rms, voiced)
    for at, frame in enumerate([*said, *quiet[:30]]):
        voiced = detector.is_voiced(frame)
        tail.add(detector.rms, voiced)
        if voiced:
            last = at
    return last + int(tail.release_ms() // 20 if released else 0)


def test_listeners_with_another_past_find_the_same_end_where_voice_detection_alone_does_not() -> None:
    pasts = range(150, 500, 7)
    assert len({ends(past, released=False) for past in pasts}) > 1
    assert len({ends(past, released=True) for past in pasts}) == 1
