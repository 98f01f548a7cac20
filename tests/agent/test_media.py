"""A call over a media line, with real voices through mu-law."""

import pytest

from agent.audio.vad import VoiceDetector
from agent.latency import Stage as Part
from agent.turns.machine import State
from tests import speech
from tests.agent.scripted import GREETING, MS_PER_CHAR, QUESTION, Stage, play


def test_the_agent_greets_and_waits() -> None:
    async def story(stage: Stage) -> None:
        phone = stage.ring()
        assert stage.state is State.REPLYING
        await stage.until(State.SPEAKING)
        assert phone.now_ms == pytest.approx(80.0)  # the voice's own time, and nothing more
        await stage.until(State.IDLE)
        assert phone.now_ms == pytest.approx(80.0 + len(GREETING) * MS_PER_CHAR, abs=25.0)
        assert not phone.playing
        assert stage.history == [("assistant", GREETING)]
        assert stage.record.turns[0].agent == GREETING
        assert stage.record.turns[0].answered

    play(story)


def test_a_question_is_answered_and_each_part_of_the_wait_is_known_exactly() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        began_ms = phone.now_ms
        await stage.ask()
        detector = VoiceDetector(8000)
        voiced = [n for n, frame in enumerate(speech.frames(QUESTION)) if detector.is_voiced(frame)]
        turn = stage.record.turns[1]
        assert turn.caller == "what are your opening hours"
        assert turn.stages == {
            Part.ENDPOINTING: pytest.approx(600.0),
            Part.STT_FINAL: pytest.approx(100.0),
            Part.LLM_FIRST_TOKEN: pytest.approx(50.0),
            Part.LLM_FIRST_SENTENCE: pytest.approx(50.0),
            Part.TTS_FIRST_AUDIO: pytest.approx(80.0),
            Part.RESPONSE: pytest.approx(830.0),
            Part.ADDED: pytest.approx(0.0, abs=0.001),
        }
        assert phone.now_ms - began_ms == pytest.approx((voiced[-1] + 1) * 20 + 830.0, abs=20.0)
        assert turn.providers == {"stt": "scripted", "llm": "scripted", "tts": "scripted"}
        assert stage.observed.turns == stage.record.turns
        await stage.until(State.IDLE)
        assert stage.history[1:] == [
            ("user", "what are your opening hours"),
            ("assistant", "From eight to six."),
        ]

    play(story)
