"""What else a bulk caller does: coughs, presses keys, hangs up; and what it notices meanwhile."""

from base64 import b64encode

import numpy as np
import pytest

from agent.audio.formats import PCMU_8K
from loadtest.bulk.first_word import Expected
from loadtest.bulk.media_call import Doing
from loadtest.bulk.script import Script
from loadtest.callers.codec import codec_for
from tests.loadtest.bulk.test_media_call import PLAIN, Scene, waiting

COUGHING = Script(think_ms=(200.0, 200.0), barge_every=0, cough_every=1, barge_after_ms=300.0)
KEYING = Script(think_ms=(200.0, 200.0), barge_every=0, keys_every=1, keys="12#")


def coughed() -> Scene:
    """A caller who has begun to cough into a reply of five seconds."""
    scene = waiting(COUGHING)
    scene.agent_says(5_000)
    scene.until(Doing.COUGHING)
    return scene


def test_an_agent_that_a_cough_stops_has_to_go_on() -> None:
    scene = coughed()
    scene.pass_ms(100)
    scene.receive({"event": "clear"})
    scene.until(Doing.LISTENING)
    scene.pass_ms(700)
    assert scene.call.doing is Doing.LISTENING, "the caller waits for the rest"
    scene.agent_says(500)
    figures = scene.figures
    assert (figures.coughs, figures.cough_stops, figures.not_resumed) == (1, 1, 0)
    assert figures.resume_ms == [pytest.approx(700, abs=41)]
    assert figures.barge_ins == figures.missed_barge_ins == 0


def test_an_agent_that_a_cough_silences_is_an_error() -> None:
    scene = coughed()
    scene.receive({"event": "clear"})
    scene.pass_ms(6_000)
    assert scene.figures.not_resumed == 1
    assert scene.figures.failures == 1


def test_a_cough_that_stops_nothing_is_fine() -> None:
    scene = coughed()
    scene.pass_ms(8_000)
    figures = scene.figures
    assert (figures.coughs, figures.cough_stops, figures.failures) == (1, 0, 0)


def test_keys_are_pressed_instead_of_speaking_and_answers_to_them_are_a_figure_of_their_own() -> None:
    scene = Scene(KEYING)
    scene.agent_says(500)
    scene.until(Doing.WAITING)
    assert [key["dtmf"]["digit"] for key in scene.named("dtmf")] == ["1", "2", "#"]
    numbers = [int(each["sequenceNumber"]) for each in scene.sent]
    assert numbers == list(range(2, 2 + len(numbers))), "no number is missing or used twice"
    scene.pass_ms(100)
    scene.agent_says(100)
    assert scene.figures.keys_to_voice_ms == [pytest.approx(100, abs=21)]
    assert not scene.figures.voice_to_voice_ms
    scene.until(Doing.THINKING)
    scene.until(Doing.WAITING)
    assert len(scene.named("dtmf")) == 6


def test_a_caller_hangs_up_after_so_many_turns_of_its_own() -> None:
    script = Script(think_ms=(200.0, 200.0), barge_every=0, hang_up_after=2)
    scene = Scene(script, seed=7)
    for _ in range(2):
        assert not scene.call.over
        scene.agent_says(500)
        scene.until(Doing.WAITING)
    assert scene.call.over


def test_long_silence_is_dead_air() -> None:
    scene = waiting(PLAIN)
    scene.pass_ms(3_000)
    scene.agent_says(100)
    figures = scene.figures
    assert figures.dead_airs == 1
    assert figures.dead_air_ms == pytest.approx(1_000, abs=25)


def test_the_greeting_is_timed_from_the_first_frame() -> None:
    scene = Scene(PLAIN)
    scene.pass_ms(200)
    scene.agent_says(500)
    assert scene.figures.greeting_ms == [pytest.approx(180, abs=1)]


def sound(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 4_000, 8_000).astype("<i2")


def hear(scene: Scene, samples: np.ndarray) -> None:
    audio = codec_for(PCMU_8K).encode(samples.tobytes())
    for at in range(0, len(audio), 1_600):
        media = {"event": "media", "media": {"payload": b64encode(audio[at : at + 1_600]).decode()}}
        scene.receive(media)


def test_greeting_and_replies_are_held_against_what_they_should_be() -> None:
    scene = Scene(PLAIN)
    object.__setattr__(scene.call._speech, "greetings", (Expected.of(sound(1)),))
    object.__setattr__(scene.call._speech, "replies", (Expected.of(sound(2)),))
    hear(scene, sound(1))
    assert (scene.figures.first_words, scene.figures.first_word_lost_ms) == (1, [])
    scene.until(Doing.WAITING)
    hear(scene, sound(2)[8 * 120 :])
    assert scene.figures.first_words == 2
    assert scene.figures.first_word_lost_ms == [pytest.approx(120, abs=10)]
    scene.until(Doing.THINKING)
    scene.until(Doing.WAITING)
    hear(scene, sound(3))
    assert scene.figures.first_words == 3
    assert scene.figures.first_words_unknown == 1, "an apology, say"
    assert (scene.figures.right_answers, scene.figures.wrong_answers) == (0, 2), "greetings are no answers"
    scene.until(Doing.THINKING)
    scene.until(Doing.WAITING)
    hear(scene, sound(2))
    assert (scene.figures.right_answers, scene.figures.wrong_answers) == (1, 2)


def test_a_reply_that_was_stopped_is_no_beginning() -> None:
    scene = waiting(COUGHING)
    object.__setattr__(scene.call._speech, "replies", (Expected.of(sound(2)),))
    scene.agent_says(100)
    scene.receive({"event": "clear"})
    scene.pass_ms(1_000)
    assert scene.figures.first_words == 0


def test_old_audio_behind_an_interruption_has_a_length() -> None:
    scene = waiting(Script(think_ms=(200.0, 200.0), barge_every=1, barge_after_ms=300.0))
    scene.agent_says(2_000)
    scene.until(Doing.INTERRUPTING)
    scene.receive({"event": "clear"})
    scene.agent_says(60)
    assert scene.figures.stale_ms == 60.0
