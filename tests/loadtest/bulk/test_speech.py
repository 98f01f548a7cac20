import os

import pytest

from agent.audio.formats import PCMU_8K
from agent.clock import LoopClock
from loadtest.bulk.speech import agent_speech, caller_speech, first_audible_ms, said
from tests.loadtest.bulk.speeches import LOUD
from tests.loadtest.fakes import silence, tone


def test_an_utterance_is_cut_to_its_sound_and_knows_where_it_ends() -> None:
    spoken = said("hello", silence(200) + tone(90) + silence(300))
    assert len(spoken.frames) == 5
    assert spoken.last_voiced == 4
    assert spoken.last_voiced_offset_ms == pytest.approx(10, abs=1)


def test_silence_is_no_utterance() -> None:
    with pytest.raises(ValueError, match="no sound"):
        said("", silence(200))


def test_where_audio_becomes_audible() -> None:
    assert first_audible_ms(PCMU_8K.silence(800) + LOUD) == pytest.approx(100, abs=0.5)
    assert first_audible_ms(LOUD) == 0.0
    assert first_audible_ms(PCMU_8K.silence(800)) is None


async def test_real_speech_begins_at_once_and_agent_and_caller_differ() -> None:
    clock = LoopClock()
    speech = await caller_speech(clock, os.environ, ("Yes please.",), "Stop.")
    (sentence,) = speech.sentences
    assert 20 < len(sentence.frames) < 100
    assert len(speech.interruption.frames) < len(sentence.frames)
    assert len(speech.noise) == 50
    agent = await agent_speech(clock, os.environ)
    assert first_audible_ms(agent) == pytest.approx(0, abs=5)
    assert PCMU_8K.duration_ms(len(agent)) > 5_000
