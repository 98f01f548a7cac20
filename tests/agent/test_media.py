"""A call over a media line, with real voices through mu-law."""

import pytest

from agent.audio.vad import VoiceDetector
from agent.latency import Stage as Part
from agent.turns.machine import State
from tests import speech
from tests.agent.scripted import MS_PER_CHAR
from tests.agent.stage import COUGH, GREETING, LONG, MONOLOGUE, QUESTION, SENTENCE, Stage, play


def test_the_agent_greets_and_waits() -> None:
    async def story(stage: Stage) -> None:
        phone = stage.ring()
        assert stage.state is State.REPLYING
        await stage.until(State.SPEAKING)
        assert phone.now_ms == pytest.approx(80.0, abs=1.0)  # the voice's own time, and nothing more
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
            Part.ARRIVAL_JITTER: pytest.approx(0.0, abs=0.001),
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


# --- barge-in ------------------------------------------------------------------------------------------


async def interrupted(stage: Stage, pcm: bytes, after_ms: float = 1_500.0) -> float:
    """The agent is in the middle of a long answer when the caller makes a sound. Returns when it began."""
    await stage.greet()
    stage.llm.says(LONG, "On Saturdays until noon.")
    await stage.ask()
    await stage.wait(after_ms)
    began_ms = stage.phone.now_ms
    stage.phone.says(pcm)
    await stage.until(State.YIELDED)
    return began_ms


def test_a_voice_stops_the_agent_at_once_and_words_end_its_reply() -> None:
    """What was queued at the far end is thrown away, and history keeps what the caller heard of it."""

    async def story(stage: Stage) -> None:
        began_ms = await interrupted(stage, SENTENCE)
        phone = stage.phone
        assert phone.clears == [phone.clears[0]]
        assert phone.clears[0] - began_ms < 160.0
        assert stage.record.turns[1].stages[Part.BARGE_IN] == pytest.approx(100.0, abs=41.0)
        assert stage.observed.barge_ins_ms == [stage.record.turns[1].stages[Part.BARGE_IN]]
        stage.stt.partial("are you open")
        assert stage.state is State.HEARING
        heard = stage.record.turns[1].agent
        assert LONG.startswith(heard)
        assert 0.8 * 1_600 < len(heard) * MS_PER_CHAR <= 1_600 + 60
        assert stage.record.turns[1].interrupted
        stage.stt.answers.append("are you open on Saturday")
        await stage.until(State.SPEAKING)
        assert not phone.sounding(phone.clears[0] + 20, phone.now_ms - 20)
        assert stage.history[1:] == [
            ("user", "what are your opening hours"),
            ("assistant", heard),
            ("user", "are you open on Saturday"),
            ("assistant", "On Saturdays until noon."),
        ]
        assert stage.llm.requests[-1].messages[-2].interrupted
        assert (stage.record.counters.barge_ins, stage.record.counters.resumes) == (1, 0)

    play(story)


@pytest.mark.parametrize("words", ["", "mhm"])
def test_after_a_cough_or_a_mhm_the_agent_goes_on_at_the_word(words: str) -> None:
    async def story(stage: Stage) -> None:
        await interrupted(stage, COUGH + COUGH)
        stage.stt.answers.append(words)
        stopped_ms = stage.phone.now_ms
        await stage.until(State.SPEAKING)
        # Two coughs of 600 ms, 700 ms of silence, and recognition's last word on it.
        assert stage.phone.now_ms - stopped_ms < 1_700.0
        await stage.until(State.IDLE)
        assert stage.record.turns[1].agent == LONG
        assert not stage.record.turns[1].interrupted
        counters = stage.record.counters
        assert (counters.barge_ins, counters.false_interruptions, counters.resumes) == (1, 1, 1)
        assert counters.turns == 1
        assert len(stage.llm.requests) == 1
        # Nothing was spoken anew.
        assert " ".join(request.text for request in stage.tts.requests[1:]) == LONG

    play(story)


@pytest.mark.parametrize("answers", [True, False])
def test_how_long_the_far_end_took_to_flush_is_known_where_it_answers_marks(answers: bool) -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        phone.returns_marks = answers
        stage.llm.says(LONG)
        await stage.ask()
        await stage.wait(1_000.0)
        phone.says(SENTENCE)
        await stage.until(State.YIELDED)
        await stage.wait(40.0)
        flushes = [value_ms for part, value_ms in stage.observed.parts if part is Part.BUFFER_FLUSH]
        assert flushes == ([pytest.approx(0.0, abs=2.0)] if answers else [])

    play(story)


def test_a_short_cough_does_not_even_stop_the_agent() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says(LONG)
        await stage.ask()
        await stage.wait(1_000)
        stage.phone.says(speech.clicks(3, 300))
        await stage.until(State.IDLE)
        assert stage.phone.clears == []
        assert stage.record.counters.barge_ins == 0

    play(story)


def test_an_agent_that_is_not_to_be_interrupted_is_not() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says(LONG)
        await stage.ask()
        await stage.wait(1_000)
        stage.phone.says(SENTENCE)
        stage.stt.partial("stop")
        await stage.until(State.IDLE)
        assert stage.phone.clears == []
        assert stage.record.turns[1].agent == LONG

    play(story, turns={"barge_in": False})


def test_a_caller_who_goes_on_before_the_reply_sounds_has_said_one_thing() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says([3_000.0, "Never heard."], "On Saturdays until noon.")
        stage.stt.answers.append("I would like to know")
        stage.phone.says(QUESTION)
        await stage.until(lambda: stage.llm.running)
        stage.phone.says(SENTENCE)
        await stage.until(State.YIELDED)
        stage.stt.partial("if you are open")
        stage.stt.answers.append("if you are open on Saturday")
        assert stage.state is State.HEARING
        assert stage.llm.running == 1  # its cancellation is on the way
        await stage.wait(1)
        assert stage.llm.running == 0
        await stage.until(State.SPEAKING)
        assert stage.history[1:] == [
            ("user", "I would like to know if you are open on Saturday"),
            ("assistant", "On Saturdays until noon."),
        ]
        assert stage.record.counters.barge_ins == 0  # nobody was stopped

    play(story)


def test_a_caller_who_goes_on_while_his_words_are_awaited_has_said_one_thing() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.stt.final_ms = 700.0
        stage.phone.says(QUESTION)
        await stage.until(State.HEARING)
        stage.stt.final("I would like to know")
        await stage.until(State.REPLYING)
        stage.phone.says(QUESTION)
        await stage.until(State.HEARING)
        stage.stt.final("if you are open on Saturday")
        await stage.until(State.SPEAKING)
        assert stage.history[1][1] == "I would like to know if you are open on Saturday"
        assert len(stage.llm.requests) == 1

    play(story)


def test_a_cough_while_the_reply_is_made_only_delays_it() -> None:
    """Also where all of the reply was made, and none of it could be sent, while the caller coughed."""

    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says([400.0, "From eight to six."])
        stage.stt.answers.append("what are your opening hours")
        stage.phone.says(QUESTION)
        await stage.until(lambda: stage.llm.running)
        stage.phone.says(COUGH + COUGH)
        await stage.until(State.YIELDED)
        await stage.until(lambda: len(stage.tts.requests) == 2 and not stage.tts.running)
        assert stage.record.state == "yielded"
        assert not stage.record.turns[1].answered
        await stage.until(lambda: stage.record.turns[1].answered)
        assert stage.record.state == "speaking"
        await stage.until(State.IDLE)
        assert stage.record.turns[1].agent == "From eight to six."
        counters = stage.record.counters
        assert (counters.barge_ins, counters.false_interruptions, counters.unanswered) == (0, 0, 0)

    play(story)


def test_a_reply_that_was_held_up_before_its_first_sound_is_not_called_speaking() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says([3_500.0, "From eight to six."])
        stage.stt.answers.append("what are your opening hours")
        stage.phone.says(QUESTION)
        await stage.until(lambda: stage.llm.running)
        stage.phone.says(COUGH + COUGH)
        await stage.until(State.YIELDED)
        await stage.until(State.REPLYING)
        await stage.until(State.SPEAKING)
        assert stage.phone.playing

    play(story)


def test_a_second_sound_without_words_while_the_first_is_asked_about_leaves_the_call_in_order() -> None:
    """Recognition has no words for the first; nothing is there that could be resumed."""

    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.stt.final_ms = 700.0
        stage.phone.says(COUGH + COUGH)
        await stage.until(State.REPLYING)
        stage.phone.says(COUGH + COUGH)
        await stage.until(State.HEARING)
        await stage.until(State.IDLE)
        await stage.until(lambda: "reprompt" in stage.kinds, 12_000)

    play(story)


def test_the_agents_own_echo_does_not_interrupt_it() -> None:
    async def story(stage: Stage) -> None:
        stage.tts.voice = speech.speech
        phone = stage.ring()
        phone.echo_ms = 180.0
        await stage.until(State.SPEAKING)
        await stage.until(State.IDLE)
        stage.llm.says(LONG)
        await stage.wait(500)
        await stage.ask()
        await stage.until(State.IDLE)
        assert phone.clears == []
        assert stage.record.counters.echoes > 0
        await stage.wait(1_500)
        # Nor is its end, which comes when the agent is silent, a turn of the caller.
        assert stage.kinds == ["greeting", "speech"]
        assert stage.state is State.IDLE

    play(story)


def test_an_echo_that_was_understood_does_not_end_the_reply() -> None:
    async def story(stage: Stage) -> None:
        await interrupted(stage, SENTENCE)
        stage.stt.partial("from monday to friday")
        assert stage.record.state == "yielded"
        await stage.until(State.SPEAKING)
        await stage.until(State.IDLE)
        assert stage.record.turns[1].agent == LONG

    play(story)


def test_hold_music_is_answered_once_and_then_left_to_itself() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        phone.says(speech.hold_music(90_000))
        began_ms = phone.now_ms
        await stage.until(State.HEARING)
        await stage.until(lambda: "not_understood" in stage.kinds, 40_000)
        assert phone.now_ms - began_ms < 31_500
        await stage.until(State.IDLE)
        await stage.until(lambda: stage.ended, 90_000)
        assert stage.kinds == ["greeting", "not_understood", "reprompt", "reprompt", "goodbye"]
        assert stage.record.cause == "silence"

    play(story)


def test_a_turn_that_never_pauses_is_answered_at_its_ceiling_with_what_was_understood() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        phone.says(MONOLOGUE)
        await stage.until(State.HEARING)
        began_ms = phone.now_ms
        stage.stt.final("my whole life began")
        stage.stt.answers.append("in a small town")
        await stage.until(State.SPEAKING)
        assert phone.now_ms - began_ms == pytest.approx(30_000 + 100 + 50 + 80, abs=30)
        assert stage.record.turns[1].caller == "my whole life began in a small town"
        # The same sound does not interrupt the answer to it.
        await stage.until(State.IDLE)
        assert stage.record.turns[1].agent == "From eight to six."
        assert stage.record.counters.ceilings == 1

    play(story)


def test_a_sound_without_words_over_the_agent_holds_it_up_once_and_not_for_ever() -> None:
    async def story(stage: Stage) -> None:
        await interrupted(stage, MONOLOGUE)
        began_ms = stage.phone.now_ms
        await stage.until(State.SPEAKING)
        assert stage.phone.now_ms - began_ms < 6_100
        await stage.until(State.IDLE)
        assert stage.record.turns[1].agent == LONG
        assert stage.record.counters.ceilings == 1

    play(story)


def test_a_television_ends_the_call_in_the_end() -> None:
    """Sound as of sentences, with pauses, of which no word is understood."""

    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        while not stage.ended:
            phone.says(SENTENCE + speech.silence(1_500))
            await stage.wait(9_000)
            assert phone.now_ms < 120_000
        assert stage.kinds == ["greeting", *["not_understood"] * 5, "goodbye"]

    play(story)


def test_a_cough_of_its_own_is_no_turn() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        phone.says(COUGH)
        await stage.until(State.HEARING)
        await stage.until(State.IDLE)
        assert stage.kinds == ["greeting"]
        assert stage.record.counters.turns == 0

    play(story)


def test_a_sentence_that_was_not_understood_is_said_to_be_so() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        phone.says(SENTENCE)
        await stage.until(lambda: stage.kinds == ["greeting", "not_understood"])
        await stage.until(State.IDLE)
        assert stage.record.turns[1].agent == "Sorry, I did not catch that."

    play(story)


def test_words_of_a_soft_voice_are_a_turn_although_the_detector_heard_none() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.stt.partial("what are your opening")
        stage.stt.answers.append("what are your opening hours")
        assert stage.state is State.HEARING
        await stage.until(State.SPEAKING)
        assert stage.record.turns[1].caller == "what are your opening hours"

    play(story)


def test_the_partial_is_used_where_recognition_is_too_slow_with_its_last_word() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        stage.stt.final_ms = 5_000.0
        phone.says(QUESTION)
        await stage.until(State.HEARING)
        stage.stt.partial("what are your opening")
        await stage.until(State.SPEAKING)
        turn = stage.record.turns[1]
        assert turn.caller == "what are your opening"
        assert turn.stages[Part.STT_FINAL] == pytest.approx(800.0)

    play(story)
