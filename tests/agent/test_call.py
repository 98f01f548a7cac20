"""What a call does about keys, silence, time and typed text, on a media line."""

from pathlib import Path

import pytest

from agent.turns.machine import State
from tests.agent.stage import AGENT, LONG, MONOLOGUE, QUESTION, Stage, bring_to, play, press

APOLOGY = "I am sorry, I cannot answer that right now. Please try again in a moment."
DIGITS = "Please enter the four digits of your card."


# --- keys ----------------------------------------------------------------------------------------------


def test_keys_are_a_turn_after_a_pause() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        press(stage, "1")
        await stage.wait(1_000)
        press(stage, "2")
        pressed_ms = phone.now_ms
        assert stage.state is State.HEARING
        await stage.until(State.REPLYING)
        assert phone.now_ms - pressed_ms == pytest.approx(2_000, abs=2)
        await stage.until(State.SPEAKING)
        assert stage.history[1] == ("user", "12")
        assert stage.kinds[1] == "dtmf"

    play(story)


def test_a_hash_or_the_last_digit_that_was_asked_for_ends_them_at_once() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says(DIGITS, "Thank you.")
        press(stage, "12#")
        assert stage.state is State.REPLYING
        await stage.until(State.SPEAKING)
        await stage.until(State.IDLE)
        press(stage, "4321")
        assert stage.state is State.REPLYING
        # People press the hash key all the same; it must not cut the answer off.
        press(stage, "#")
        await stage.until(State.SPEAKING)
        await stage.until(State.IDLE)
        assert stage.history[-2:] == [("user", "4321"), ("assistant", "Thank you.")]
        assert [turn.kind for turn in stage.record.turns] == ["greeting", "dtmf", "dtmf"]

    play(story, agent=AGENT_WITH_CARD)


AGENT_WITH_CARD = (
    (
        AGENT
        + """
dialogues:
  - id: card
    start: [card]
    slots: [{name: card, kind: digits, digits: 4, ask: "Please enter the four digits of your card."}]
    confirm: "Your card is {card}. Is that right?"
    done: Done.
    cancelled: Never mind.
"""
    )
    .replace("languages: [en, es]", "languages: [en]")
    .replace("{en: Hello there., es: Hola.}", "Hello there.")
)


def test_a_key_stops_the_agent_at_once() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        stage.llm.says(LONG, "One.")
        await stage.ask()
        await stage.wait(1_500)
        press(stage, "1")
        assert phone.clears == [phone.now_ms]
        assert stage.state is State.HEARING
        heard = stage.record.turns[1].agent
        assert 0 < len(heard) < len(LONG)
        await stage.until(State.SPEAKING)
        assert stage.history[2:4] == [("assistant", heard), ("user", "1")]

    play(story)


def test_of_keys_and_speech_together_the_keys_are_the_turn() -> None:
    """Tones are heard as a voice, and recognised as anything."""

    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        phone.says(QUESTION)
        await stage.until(State.HEARING)
        stage.stt.partial("beep")
        press(stage, "12")
        await stage.until(State.REPLYING)
        await stage.until(State.SPEAKING)
        assert stage.history[1] == ("user", "12")
        assert stage.record.counters.turns == 1
        await stage.until(State.IDLE)
        assert stage.stt.stream.open

    play(story)


# --- silence and time ----------------------------------------------------------------------------------


def test_a_silent_caller_is_asked_again_and_then_seen_off() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        greeted_ms = phone.now_ms
        await stage.until(lambda: stage.kinds[-1] == "reprompt")
        assert phone.now_ms - greeted_ms == pytest.approx(8_000, abs=2)
        await stage.until(lambda: stage.ended, 60_000)
        assert stage.kinds == ["greeting", "reprompt", "reprompt", "goodbye"]
        assert stage.record.cause == "silence"
        assert phone.hung_up_ms is not None
        # The goodbye was heard to its end before the hang-up, and nothing was cut.
        assert len(phone.played) / 8 <= phone.hung_up_ms
        assert stage.record.turns[-1].agent.endswith("Goodbye.")
        assert not stage.record.turns[-1].interrupted

    play(story)


def test_idle_timer_counts_from_what_was_heard_not_from_what_was_sent() -> None:
    """Users of other frameworks were hung up on while the platform was still playing."""

    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        stage.llm.says(LONG)
        await stage.ask()
        await stage.until(State.IDLE)
        assert not phone.playing
        heard_ms = phone.now_ms
        await stage.until(lambda: stage.kinds[-1] == "reprompt")
        assert phone.now_ms - heard_ms == pytest.approx(8_000, abs=2)

    play(story)


def test_an_answer_begins_the_reprompts_anew() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        for _ in range(3):
            await stage.until(lambda: stage.kinds[-1] == "reprompt")
            await stage.until(State.IDLE)
            await stage.ask()
            await stage.until(State.IDLE)
        assert not stage.ended
        assert stage.record.counters.reprompts == 3

    play(story)


@pytest.mark.parametrize("state", [State.IDLE, State.HEARING, State.REPLYING, State.SPEAKING, State.YIELDED])
def test_at_its_maximum_length_a_call_ends_politely_whatever_is_going_on(state: State) -> None:
    async def story(stage: Stage) -> None:
        await bring_to(stage, state, at_ms=19_900)
        phone = stage.phone
        await stage.until(lambda: stage.kinds[-1] == "goodbye", 5_000)
        assert phone.now_ms == pytest.approx(20_000, abs=2)
        phone.says(MONOLOGUE)  # who goes on talking does not stop the goodbye
        stage.stt.partial("but I have not finished")
        press(stage, "1")
        stage.media.typed("wait")
        await stage.until(lambda: stage.ended, 20_000)
        assert stage.record.cause == "time_limit"
        assert stage.record.turns[-1].agent.endswith("Goodbye.")
        assert phone.hung_up_ms is not None
        assert phone.hung_up_ms < 20_000 + 7_000

    play(story, limits={"max_call_s": 20, "llm_first_token_ms": 100_000})


def test_a_goodbye_that_cannot_be_said_does_not_keep_the_line() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        stage.tts.first_ms = 60_000
        await stage.until(lambda: stage.ended, 60_000)
        assert phone.hung_up_ms == pytest.approx(10_000 + 15_000, abs=10)
        assert stage.record.cause == "time_limit"

    play(story, limits={"max_call_s": 10, "tts_first_audio_ms": 100_000})


def test_a_long_reply_is_heard_to_its_end() -> None:
    """The ceiling on making a reply ends when it is heard."""

    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says("It is a long story. " * 45)  # 54 s
        await stage.ask()
        await stage.until(State.IDLE, 70_000)
        assert not stage.record.turns[1].interrupted
        assert stage.record.counters.ceilings == 0

    play(story)


def test_a_reply_that_does_not_end_is_ended() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        stage.llm.says("And on it goes. " * 400)
        await stage.ask()
        sounded_ms = phone.now_ms
        await stage.until(State.IDLE)
        assert phone.now_ms - sounded_ms == pytest.approx(10_000, abs=2)
        assert stage.record.turns[1].interrupted
        assert stage.record.counters.ceilings == 1
        assert not phone.playing

    play(story, limits={"max_reply_s": 10})


def test_a_reply_that_never_sounds_is_given_up_with_an_apology() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says([100_000.0])
        stage.stt.answers.append("what are your opening hours")
        stage.phone.says(QUESTION)
        await stage.until(State.REPLYING)
        began_ms = stage.phone.now_ms
        await stage.until(State.SPEAKING)
        assert stage.phone.now_ms - began_ms == pytest.approx(30_000 + 80, abs=5)
        await stage.until(State.IDLE)
        assert stage.record.turns[-1].agent == APOLOGY
        assert (stage.record.counters.ceilings, stage.record.counters.unanswered) == (1, 1)

    play(story, limits={"llm_first_token_ms": 200_000})


# --- typed text, and what the transport says -----------------------------------------------------------


@pytest.mark.parametrize("state", [State.IDLE, State.HEARING, State.REPLYING, State.SPEAKING, State.YIELDED])
def test_a_typed_text_is_answered_whatever_is_going_on(state: State) -> None:
    async def story(stage: Stage) -> None:
        await bring_to(stage, state)
        stage.llm.says("Typed to you.")
        stage.media.typed("  are you there ")
        assert stage.state is State.REPLYING
        await stage.until(lambda: stage.record.turns[-1].caller == "are you there")
        await stage.until(lambda: stage.record.turns[-1].answered)
        assert stage.record.turns[-1].kind == "typed"
        await stage.until(lambda: stage.history[-1] == ("assistant", "Typed to you."))

    play(story)


def test_a_typed_nothing_is_nothing() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.media.typed("  ")
        assert stage.state is State.IDLE

    play(story)


def test_bad_messages_are_counted_by_kind_and_in_bounded_space() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        for number in range(100):
            stage.media.bad_message(f"kind {number}")
        stage.media.bad_message("kind 0")
        assert stage.record.counters.bad_messages == 101
        assert stage.record.bad_messages["kind 0"] == 2
        assert len(stage.record.bad_messages) == 32

    play(story)


def test_the_conductor_stays_small() -> None:
    """In every voice project the call object grew into the one that knows everything."""
    source = Path(__file__).parents[2].joinpath("agent", "call.py").read_text()
    assert len(source.splitlines()) <= 400
