"""What a caller makes of an agent that says nothing, or goes on with what it said before."""

import dataclasses

import pytest

from loadtest.bulk.media_call import Doing
from loadtest.bulk.script import Script
from loadtest.bulk.speech import said
from tests.loadtest.bulk.test_media_call import BARGING, PLAIN, Scene, waiting
from tests.loadtest.fakes import tone


def test_a_call_that_is_never_greeted_is_an_error_and_its_caller_speaks_first() -> None:
    scene = Scene(PLAIN)
    scene.pass_ms(4_900)
    assert (scene.call.doing, scene.figures.failures) == (Doing.GREETED, 0)
    scene.until(Doing.SPEAKING)
    figures = scene.figures
    assert (figures.not_greeted, figures.greetings, figures.failures) == (1, 0, 1)
    assert figures.dead_airs == 1
    scene.until(Doing.WAITING)
    scene.agent_says(100)
    assert figures.greeting_ms == [], "an answer is no greeting, however late"
    assert len(figures.voice_to_voice_ms) == 1


def test_how_long_a_caller_has_waited_is_known_while_it_waits() -> None:
    scene = Scene(PLAIN)
    scene.pass_ms(100)
    waits = [scene.call.waits_since_ms]
    scene.agent_says(500)
    waits.append(scene.call.waits_since_ms)
    scene.until(Doing.WAITING)
    asked_ms = scene.now_ms
    scene.pass_ms(300)
    waits.append(scene.call.waits_since_ms)
    scene.agent_says(100)
    waits.append(scene.call.waits_since_ms)
    assert waits == [1_020.0, None, pytest.approx(asked_ms, abs=20), None]


def interrupted_in_vain(spoken_ms: float) -> Scene:
    """The agent spoke for so long from its answer on, and did not heed the interruption in it."""
    scene = waiting(BARGING)
    scene.agent_says(spoken_ms)
    scene.figures.voice_to_voice_ms.clear()
    scene.until(Doing.INTERRUPTING)
    scene.until(Doing.WAITING)
    return scene


def test_the_rest_of_an_old_reply_is_no_quick_answer() -> None:
    scene = interrupted_in_vain(600)
    for _ in range(20):
        scene.agent_says(100)
        scene.pass_ms(80)
    assert scene.call.doing is Doing.WAITING
    assert scene.figures.carried_on == 20
    assert scene.figures.voice_to_voice_ms == []
    scene.pass_ms(700)
    scene.agent_says(100)
    (took_ms,) = scene.figures.voice_to_voice_ms
    assert took_ms == pytest.approx(20 * 80 + 700, abs=41), "from the interruption to the next new sound"


def test_an_agent_that_never_stops_talking_has_not_answered() -> None:
    scene = interrupted_in_vain(600)
    for _ in range(60):
        scene.agent_says(100)
        scene.pass_ms(100)
    assert scene.figures.unanswered == 1
    assert scene.figures.voice_to_voice_ms == []


def test_behind_a_clear_every_sound_is_new() -> None:
    scene = interrupted_in_vain(3_000)
    scene.pass_ms(200)
    scene.receive({"event": "clear"})
    scene.agent_says(100)
    assert scene.figures.voice_to_voice_ms == [pytest.approx(200, abs=21)]
    assert scene.figures.carried_on == 0


def test_the_callers_patience_is_the_scripts() -> None:
    scene = Scene(Script(think_ms=(200.0, 200.0), barge_every=0, answer_within_ms=1_000.0))
    scene.pass_ms(1_060)
    assert scene.figures.not_greeted == 1


def test_a_wait_begins_within_the_last_frame_where_its_sound_ends() -> None:
    """5 ms of sound in a frame of 20: the rest of it is waiting already."""
    scene = Scene(PLAIN)
    sentence = said("one", tone(105))
    scene.call._speech = dataclasses.replace(scene.call._speech, sentences=(sentence,))
    scene.agent_says(500)
    scene.until(Doing.WAITING)
    scene.pass_ms(340)
    scene.agent_says(100)
    (took_ms,) = scene.figures.voice_to_voice_ms
    after_last = (len(sentence.frames) - 1 - sentence.last_voiced) * 20
    assert took_ms == pytest.approx(340 + after_last + 15, abs=1.5)
