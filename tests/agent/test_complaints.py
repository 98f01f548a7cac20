"""What users of other voice frameworks complain about in taking turns does not happen here.

Pinned elsewhere, by the part that sees to it: the cough that kills the reply, hold music, echo, history that
holds what nobody heard (`test_media`, `test_text`), the idle timer that hangs up while the agent is heard
(`test_call`), tools run twice (`test_reply`), calls that never close (`test_teardown`), whole numbers in one
turn (`turns/test_endpointing`).
"""

import asyncio

import pytest

from agent.errors import ProviderError
from agent.latency import Stage as Part
from agent.turns.machine import State
from tests import speech
from tests.agent.stage import LONG, QUESTION, SENTENCE, Stage, play


def test_the_first_sentence_does_not_wait_for_the_second() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says(["From eight to six. ", 3_000.0, "And on Saturdays until noon."])
        await stage.ask()
        assert stage.llm.running == 1
        turn = stage.record.turns[1]
        assert turn.stages[Part.RESPONSE] == pytest.approx(600 + 100 + 80)
        assert turn.stages[Part.ADDED] < 1.0  # from the voice's first byte to the socket: no wait of ours
        await stage.until(State.IDLE)

    play(story)


def test_a_slow_model_does_not_keep_the_caller_from_being_heard() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        stage.llm.says([4_000.0, "From eight to six."])
        stage.stt.answers.append("when are you open")
        phone.says(QUESTION)
        await stage.until(State.REPLYING)
        fed, heard = stage.stt.stream.fed, stage.record.counters.frames_in
        await stage.wait(2_000)
        assert stage.record.counters.frames_in - heard == 100
        assert stage.stt.stream.fed - fed == pytest.approx(16_000, abs=800)

    play(story)


def test_what_a_caller_says_before_recognition_is_open_is_not_lost() -> None:
    """Nearly two seconds of first words were, elsewhere."""

    async def story(stage: Stage) -> None:
        opened = asyncio.Event()
        open_at_once = stage.stt.open

        async def slow(request: object, listener: object) -> object:
            await opened.wait()
            return await open_at_once(request, listener)  # type: ignore[arg-type]  # handed through

        stage.stt.open = slow  # type: ignore[method-assign,assignment]  # a service with a slow handshake
        phone = stage.ring()
        length_ms = phone.says(SENTENCE)
        await stage.wait(1_900)
        opened.set()
        await stage.wait(1)
        assert stage.stt.stream.fed / 8 == pytest.approx(1_900, abs=41)
        stage.stt.partial("I would like")
        stage.stt.answers.append("I would like to know")
        await stage.wait(length_ms)
        await stage.until(lambda: stage.record.counters.turns == 1)
        assert stage.record.turns[-1].caller == "I would like to know"

    play(story)


@pytest.mark.parametrize("word", ["yes", "no", "stop"])
def test_a_single_short_word_is_a_turn(word: str) -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        pcm = speech.speech(word)
        assert len(pcm) / 16 < 700
        await stage.ask(word, pcm)
        assert stage.record.turns[1].caller == word
        # All of it was fed, with what was before voice detection noticed.
        assert stage.stt.stream.fed > len(pcm) / 2

    play(story)


def test_the_same_words_end_the_turn_after_the_same_silence() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        waits = []
        for _ in range(4):
            phone.says(speech.speech("Hello?"))
            await stage.until(State.HEARING)
            stage.stt.partial("Hello?")
            stage.stt.answers.append("Hello?")
            await stage.until(State.SPEAKING)
            waits.append(stage.record.turns[-1].stages[Part.ENDPOINTING])
            await stage.until(State.IDLE)
        assert waits == [pytest.approx(300.0)] * 4

    play(story)


def test_a_yes_to_a_question_ends_the_turn_at_once() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says("Do you want to come on Monday?", "It is booked.")
        await stage.ask()
        await stage.until(State.IDLE)
        stage.phone.says(speech.speech("yeah"))
        await stage.until(State.HEARING)
        stage.stt.partial("yeah")
        stage.stt.answers.append("yeah")
        await stage.until(State.SPEAKING)
        assert stage.record.turns[-1].stages[Part.ENDPOINTING] == pytest.approx(300.0)
        assert stage.history[-2:] == [("user", "yeah"), ("assistant", "It is booked.")]

    play(story)


def test_a_phone_number_with_pauses_in_it_is_one_turn() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        stage.llm.says("What is your phone number, please?", "Thank you.")
        await stage.ask()
        await stage.until(State.IDLE)
        groups = ["five five five", "one two three", "four five six seven"]
        said = ""
        for group in groups:
            length_ms = phone.says(speech.speech(group) + speech.silence(1_100))
            await stage.wait(length_ms - 1_000)
            stage.stt.final(group)
            said = f"{said} {group}".strip()
            await stage.wait(1_000)
        await stage.until(State.SPEAKING)
        assert stage.record.turns[-1].caller == said
        assert stage.record.counters.turns == 2

    play(story)


def test_no_more_than_the_lead_is_ever_at_the_far_end() -> None:
    """Seconds to minutes were queued elsewhere, and went on after the caller had interrupted."""

    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        stage.llm.says(LONG)
        await stage.ask()
        most_ms = 0.0
        while stage.state is State.SPEAKING:
            most_ms = max(most_ms, len(phone.played) / 8 - phone.now_ms)
            await stage.wait(1)
        assert 150.0 < most_ms <= 200.0

    play(story)


def test_no_stale_syllable_follows_an_interruption() -> None:
    """Also where speech synthesis does not stop when it is told to."""

    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        stage.llm.says([LONG, 3_000.0, LONG], [2_000.0, "Thank you."])
        await stage.ask()
        await stage.wait(1_000)
        stage.stt.answers.append("stop")
        phone.says(QUESTION)
        await stage.until(State.YIELDED)
        stopped_ms = phone.now_ms
        stage.stt.partial("stop")
        await stage.until(State.SPEAKING)
        assert not phone.sounding(stopped_ms + 1, phone.now_ms - 20)
        assert phone.now_ms - stopped_ms > 3_000
        await stage.until(State.IDLE)
        assert stage.history[-1] == ("assistant", "Thank you.")

    play(story)


def test_when_the_agent_is_said_to_speak_something_is_heard() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        stage.llm.says(LONG)
        await stage.ask()
        while stage.state is State.SPEAKING:
            assert phone.playing or phone.now_ms * 8 - len(phone.played) < 25 * 8
            await stage.wait(5)
        assert stage.record.counters.underruns == 0

    play(story)


def test_one_setting_decides_how_long_a_voice_stops_the_agent() -> None:
    async def stopped_after(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says(LONG)
        await stage.ask()
        await stage.wait(1_000)
        stage.phone.says(SENTENCE)
        await stage.until(State.YIELDED)

    quick = play(stopped_after)
    slow = play(stopped_after, turns={"barge_in_ms": 480})
    assert quick.observed.barge_ins_ms[0] < 150.0
    assert 440.0 <= slow.observed.barge_ins_ms[0] < 900.0


def test_the_first_error_of_recognition_does_not_end_the_call() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        for _ in range(2):
            await stage.wait(2_500)
            stage.stt.stream.listener.stt_failed(ProviderError("scripted", "scripted to fail"))
        await stage.wait(1)
        assert len(stage.stt.streams) == 3
        await stage.ask()
        await stage.until(State.IDLE)
        assert stage.history[-1] == ("assistant", "From eight to six.")

    play(story)
