"""What a call does about keys, silence, time, and everything that can fail, on a media line."""

import asyncio
from pathlib import Path

import pytest

from agent.errors import ProviderError
from agent.events import CallEvent, Problem
from agent.providers import LanguageSwitch, ToolCall
from agent.turns.machine import State
from tests.agent.scripted import MS_PER_CHAR
from tests.agent.stage import AGENT, COUGH, MONOLOGUE, QUESTION, SENTENCE, Stage, play

LONG = "We are open from Monday to Friday, from eight in the morning to six in the evening."
BROKEN = ProviderError("scripted", "scripted to fail")
APOLOGY = "I am sorry, I cannot answer that right now. Please try again in a moment."
REPROMPT = "Are you still there? How can I help you?"
DIGITS = "Please enter the four digits of your card."


def press(stage: Stage, digits: str) -> None:
    for digit in digits:
        stage.media.dtmf(digit)


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
).replace("languages: [en, es]", "languages: [en]").replace("{en: Hello there., es: Hola.}", "Hello there.")


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
    """Complaint 37: hung up on while the platform was still playing."""

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


# --- providers that fail -------------------------------------------------------------------------------


def test_a_model_that_fails_before_its_first_word_is_apologised_for() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says([50.0, BROKEN], "From eight to six.")
        await stage.ask()
        await stage.until(State.IDLE)
        assert stage.history[-1] == ("assistant", APOLOGY)
        assert stage.kinds[-1] == "apology"
        assert Problem("the language model failed") in stage.events
        assert (stage.record.counters.provider_failures, stage.record.counters.apologies) == (1, 1)
        await stage.ask()
        await stage.until(State.IDLE)
        assert stage.history[-1] == ("assistant", "From eight to six.")

    play(story)


def test_a_model_that_fails_in_the_middle_is_apologised_for_after_what_it_said() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says(["We are open. ", 50.0, BROKEN])
        await stage.ask()
        await stage.until(State.IDLE)
        assert stage.history[-1] == ("assistant", f"We are open. {APOLOGY}")

    play(story)


def test_a_voice_that_fails_before_its_first_sound_ends_the_turn_and_not_the_call() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        stage.tts.fails_at_ms = 0.0
        stage.llm.says("From eight to six.", "We are open.")
        stage.stt.answers.append("when are you open")
        phone.says(QUESTION)
        await stage.until(State.REPLYING)
        await stage.until(State.IDLE)
        assert stage.history[1:] == [("user", "when are you open")]
        assert stage.record.counters.unanswered == 1
        assert Problem("speech synthesis failed") in stage.events
        stage.tts.fails_at_ms = None
        await stage.ask("hello")
        assert stage.history[1] == ("user", "when are you open hello")

    play(story)


def test_a_voice_that_fails_in_the_middle_leaves_in_history_what_was_spoken() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.tts.fails_at_ms = 1_000.0
        stage.llm.says("On Saturdays until noon. On Sundays never.")
        await stage.ask()
        await stage.until(State.IDLE)
        heard = stage.record.turns[1].agent
        assert heard == stage.history[-1][1]
        assert "On Saturdays until noon.".startswith(heard)
        assert 1_000 / MS_PER_CHAR - 10 < len(heard) <= 1_000 / MS_PER_CHAR
        assert stage.record.counters.unanswered == 0

    play(story)


def test_a_greeting_that_cannot_be_spoken_leaves_a_call_that_listens() -> None:
    async def story(stage: Stage) -> None:
        stage.tts.fails_at_ms = 0.0
        stage.ring()
        await stage.until(State.IDLE)
        stage.tts.fails_at_ms = None
        await stage.ask()
        await stage.until(State.IDLE)
        assert stage.history[-1][1] == "From eight to six."

    play(story)


def test_recognition_that_dies_in_the_middle_of_a_turn_is_replaced_and_hears_it_again() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        length_ms = phone.says(SENTENCE)
        await stage.until(State.HEARING)
        await stage.wait(length_ms / 2)
        stage.stt.partial("I would like")
        stage.stt.stream.listener.stt_failed(BROKEN)
        stage.stt.answers.append("I would like to know")
        await stage.until(State.SPEAKING)
        assert len(stage.stt.streams) == 2
        assert not stage.stt.streams[0].open
        assert stage.stt.streams[1].fed / 8 > length_ms  # from its beginning, and the silence behind it
        assert stage.history[1] == ("user", "I would like to know")

    play(story)


def test_a_call_whose_recognition_cannot_be_opened_still_hears_keys() -> None:
    async def story(stage: Stage) -> None:
        stage.stt.open_fails = 1_000
        await stage.greet()
        stage.phone.says(SENTENCE)
        await stage.until(State.HEARING)
        await stage.until(lambda: stage.kinds[-1] == "not_understood")
        await stage.until(State.IDLE)
        press(stage, "1#")
        await stage.until(State.SPEAKING)
        assert stage.history[-2] == ("user", "1")

    play(story)


# --- tools ---------------------------------------------------------------------------------------------

BOOK = ToolCall("t1", "book", '{"day": "Monday"}')


def test_a_tool_runs_and_the_model_goes_on_with_its_result() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says(["One moment. ", BOOK], "It is booked.")
        await stage.ask("book Monday")
        await stage.until(State.IDLE)
        assert stage.tools.sent == [{"day": "Monday"}]
        assert stage.history[1:] == [
            ("user", "book Monday"),
            ("assistant", "One moment."),
            ("tool", "booked"),
            ("assistant", "It is booked."),
        ]
        assert stage.record.turns[1].tools == ["book"]

    play(story)


def test_a_tool_with_effects_that_was_interrupted_is_done_once() -> None:
    """History has a placeholder until the model asks again, and then the result of the first time."""

    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.tools.takes_ms = 4_000.0
        again = ToolCall("t2", "book", '{"day": "Monday"}')
        stage.llm.says(["One moment. ", BOOK], ["Let me see. ", again], "It is booked.")
        await stage.ask("book Monday")
        await stage.wait(800)
        stage.stt.answers.append("did it work")
        stage.phone.says(QUESTION)
        await stage.until(State.YIELDED)
        stage.stt.partial("did it")
        assert stage.history[-1][0] == "tool"
        assert "not known yet" in stage.history[-1][1]
        await stage.until(State.SPEAKING)
        assert stage.llm.requests[1].messages[-2].content.startswith("not known yet")
        await stage.until(State.IDLE)
        assert stage.tools.sent == [{"day": "Monday"}]
        assert stage.history[-3:] == [
            ("assistant", "Let me see."),
            ("tool", "booked"),
            ("assistant", "It is booked."),
        ]

    play(story)


def test_the_agent_hangs_up_when_its_goodbye_was_heard() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        stage.llm.says([ToolCall("t1", "end_call", "")])
        await stage.ask("goodbye")
        await stage.until(lambda: stage.ended)
        assert stage.record.turns[1].agent == "Thank you for calling. Goodbye."
        assert phone.hung_up_ms is not None
        assert len(phone.played) / 8 <= phone.hung_up_ms
        assert stage.record.cause == "agent_hung_up"

    play(story)


def test_a_caller_who_has_one_more_question_is_not_hung_up_on() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says([ToolCall("t1", "end_call", "")], "From eight to six.")
        await stage.ask("goodbye")
        await stage.wait(500)
        stage.phone.says(QUESTION)
        await stage.until(State.YIELDED)
        stage.stt.partial("wait when do you")
        stage.stt.answers.append("wait when do you open")
        await stage.until(State.SPEAKING)
        await stage.until(State.IDLE)
        assert stage.phone.hung_up_ms is None
        assert stage.history[-1] == ("assistant", "From eight to six.")

    play(story)


def test_a_caller_is_handed_over_when_he_has_heard_so() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        stage.llm.says([ToolCall("t1", "transfer_call", "{}")])
        await stage.ask("a person please")
        assert phone.transferred == []
        await stage.until(lambda: stage.ended)
        assert stage.record.turns[1].agent == "One moment, I will put you through to a person."
        assert phone.transferred == ["+15550100"]
        assert stage.record.cause == "transferred"
        assert phone.hung_up_ms is None

    play(story)


def test_after_a_failed_transfer_the_call_goes_on_with_an_apology() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        phone.transfer_fails = True
        stage.llm.says([ToolCall("t1", "transfer_call", "{}")], "From eight to six.")
        await stage.ask("a person please")
        await stage.until(lambda: stage.kinds[-1] == "apology")
        await stage.until(State.IDLE)
        await stage.ask()
        await stage.until(State.IDLE)
        assert stage.history[-1] == ("assistant", "From eight to six.")

    play(story)


def test_who_is_being_handed_over_is_not_asked_whether_he_is_there() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()

        async def slow(target: str) -> None:
            await asyncio.sleep(9.5)

        phone.transfer = slow  # type: ignore[method-assign]  # a platform that takes its time
        stage.llm.says([ToolCall("t1", "transfer_call", "{}")])
        await stage.ask("a person please")
        await stage.until(lambda: stage.ended)
        assert stage.kinds == ["greeting", "speech"]
        assert stage.record.cause == "transferred"

    play(story)


# --- languages -----------------------------------------------------------------------------------------


def test_in_the_middle_of_a_reply_the_agent_changes_its_language() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says(["One moment. ", LanguageSwitch("es"), "Hablo español."])
        await stage.ask("habla español")
        await stage.until(State.IDLE)
        assert [(ask.text, ask.language) for ask in stage.tts.requests[1:]] == [
            ("One moment.", "en"),
            ("Hablo español.", "es"),
        ]
        assert stage.stt.stream.request.languages == ("es", "en")
        assert stage.record.language == "es"
        await stage.until(lambda: stage.kinds[-1] == "reprompt")
        await stage.until(State.SPEAKING)
        assert stage.tts.requests[-2].text == "¿Sigue ahí?"

    play(story)


def test_a_language_that_the_agent_does_not_have_changes_nothing() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.media.switch_language("fr")
        await stage.wait(100)
        assert stage.record.language == "en"
        assert len(stage.stt.streams) == 1

    play(story)


def test_a_call_begins_in_the_language_that_the_platform_knows() -> None:
    async def story(stage: Stage) -> None:
        stage.ring("es-MX")
        await stage.until(State.SPEAKING)
        assert stage.tts.requests[0].text == "Hola."

    play(story)


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


# --- lost lines ----------------------------------------------------------------------------------------


async def bring_to(stage: Stage, state: State, at_ms: float = 0.0) -> None:
    """A call in that state, at that time of it if that is still to come."""
    phone = await stage.greet()

    async def until_then(lead_ms: float) -> None:
        await stage.wait(max(at_ms - lead_ms - phone.now_ms, 0.0))

    if state is State.IDLE:
        # So that no reprompt comes in between.
        while at_ms - phone.now_ms > 7_000:
            await stage.ask()
            await stage.until(State.IDLE)
        await until_then(0.0)
    elif state is State.HEARING:
        stage.media.typed("hello")
        await stage.until(State.SPEAKING)
        await stage.until(State.IDLE)
        phone.says(MONOLOGUE)
        await stage.until(State.HEARING)
        await until_then(0.0)
    elif state is State.REPLYING:
        stage.llm.says([25_000.0, "Late."])
        stage.stt.answers.append("what are your opening hours")
        phone.says(QUESTION)
        await stage.until(State.REPLYING)
        await until_then(0.0)
    else:
        stage.llm.says(LONG * 6)
        await stage.ask()
        if state is State.YIELDED:
            await until_then(1_000)
            phone.says(MONOLOGUE)
            await stage.until(State.YIELDED)
        await until_then(0.0)
    assert stage.state is state


ALL = [state for state in State if state is not State.ENDED]


@pytest.mark.parametrize("state", ALL)
def test_a_caller_who_hangs_up_in_any_state_leaves_nothing_behind(state: State) -> None:
    async def story(stage: Stage) -> None:
        await bring_to(stage, state)
        await stage.media.hung_up("caller_hung_up")
        await stage.wait(0)
        stage.check_nothing_is_left()
        assert stage.record.cause == "caller_hung_up"
        assert stage.phone.closed
        # What still comes of the old socket means nothing.
        count = len(stage.events)
        stage.media.hear(b"\x11" * 160, 99_000)
        stage.media.dtmf("1")
        stage.media.typed("hello")
        stage.media.marked("1.1")
        await stage.media.lost()
        await stage.media.hung_up("again")
        await stage.wait(60_000)
        stage.check_nothing_is_left()
        assert stage.record.cause == "caller_hung_up"
        assert len(stage.events) == count

    play(story)


@pytest.mark.parametrize("state", ALL)
def test_a_caller_who_hangs_up_while_his_line_is_lost_leaves_nothing_behind(state: State) -> None:
    async def story(stage: Stage) -> None:
        await bring_to(stage, state)
        await stage.media.lost()
        await stage.media.hung_up("caller_hung_up")
        await stage.wait(0)
        stage.check_nothing_is_left()

    play(story)


@pytest.mark.parametrize("state", ALL)
def test_a_line_that_never_comes_back_ends_the_call(state: State) -> None:
    async def story(stage: Stage) -> None:
        await bring_to(stage, state)
        lost_ms = stage.phone.now_ms
        said = len(stage.record.turns)
        stage.phone.stops = True
        await stage.media.lost()
        await stage.until(lambda: stage.ended)
        assert stage.phone.now_ms - lost_ms == pytest.approx(20_000, abs=2)
        assert stage.record.cause == "line_lost"
        assert len(stage.record.turns) <= said + 1
        assert "reprompt" not in stage.kinds

    play(story)


async def lose_and_replace(stage: Stage, away_ms: float = 3_000.0) -> None:
    old = stage.phone
    old.stops = True
    sent = len(old.played)
    await stage.media.lost()
    await stage.wait(away_ms)
    assert len(old.played) <= sent  # nothing is said into a dead line
    stage.phone = type(old)(lambda: stage.media)
    stage.media.replace_line(stage.phone)
    stage.phone.pick_up()
    assert old.closed


def test_over_a_new_socket_the_reply_goes_on_where_it_was_heard() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says(LONG)
        await stage.ask()
        await stage.wait(2_000)
        await lose_and_replace(stage)
        assert stage.state is State.SPEAKING
        heard_ms = (len(LONG) - 1) * MS_PER_CHAR - 2_000
        await stage.until(State.IDLE)
        assert stage.phone.now_ms == pytest.approx(heard_ms, abs=700)
        assert stage.record.turns[1].agent == LONG
        assert not stage.record.turns[1].interrupted

    play(story)


def test_a_reply_that_was_made_while_the_line_was_lost_is_said_on_the_new_one() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        stage.stt.answers.append("what are your opening hours")
        phone.says(QUESTION)
        await stage.until(State.REPLYING)
        await lose_and_replace(stage)
        await stage.until(State.SPEAKING)
        assert stage.phone.playing
        await stage.until(State.IDLE)
        assert stage.record.turns[1].agent == "From eight to six."
        assert stage.record.counters.unanswered == 0

    play(story)


def test_an_agent_that_had_yielded_when_the_line_was_lost_goes_on_after_a_silence() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says(LONG)
        await stage.ask()
        await stage.wait(1_000)
        stage.phone.says(COUGH + COUGH)
        await stage.until(State.YIELDED)
        await lose_and_replace(stage, away_ms=10_000)
        assert stage.state is State.YIELDED
        assert not stage.phone.playing
        await stage.until(State.SPEAKING, 3_000)
        await stage.until(State.IDLE)
        assert stage.record.turns[1].agent == LONG

    play(story)


def test_digits_that_are_complete_while_the_line_is_lost_are_answered_on_the_new_one() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says(LONG, "One.")
        await stage.ask()
        await stage.wait(1_000)
        stage.phone.says(COUGH + COUGH)
        await stage.until(State.YIELDED)
        press(stage, "1")
        await lose_and_replace(stage)
        await stage.until(State.SPEAKING)
        await stage.until(State.IDLE)
        assert stage.history[-2:] == [("user", "1"), ("assistant", "One.")]

    play(story)


def test_a_caller_whose_line_is_lost_is_not_called_silent() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        await stage.wait(7_000)
        await lose_and_replace(stage, away_ms=15_000)
        assert stage.kinds == ["greeting"]
        await stage.until(lambda: stage.kinds[-1] == "reprompt")
        assert stage.phone.now_ms == pytest.approx(8_000, abs=2)

    play(story)


def test_a_socket_that_comes_when_the_call_is_over_is_closed() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        await stage.media.hung_up("")
        late = type(phone)(lambda: stage.media)
        stage.media.replace_line(late)
        assert late.closed

    play(story)


# --- faults --------------------------------------------------------------------------------------------


def test_a_provider_that_ignores_its_cancellation_does_not_hold_up_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.tts.first_ms = 1_000.0
        stage.tts.stubborn_ms = 10_000.0
        stage.stt.answers.append("what are your opening hours")
        stage.phone.says(QUESTION)
        await stage.until(lambda: len(stage.tts.requests) == 2)
        began_ms = stage.phone.now_ms
        await stage.media.hung_up("caller_hung_up")
        assert stage.phone.now_ms - began_ms == pytest.approx(2_000, abs=2)
        assert stage.ended == [stage.call]
        assert stage.phone.closed
        # What could be closed was closed all the same.
        assert not stage.stt.running
        assert not any(stage.ticker._phases)
        assert stage.record.counters.ceilings == 1
        await stage.wait(15_000)

    play(story)
    assert "teardown took over 2000 ms" in caplog.text


def test_a_listener_that_fails_ends_its_call() -> None:
    def fails(event: CallEvent) -> None:
        raise RuntimeError("scripted to fail")

    async def story(stage: Stage) -> None:
        stage.events.append = fails  # type: ignore[method-assign]  # the page behind it has a fault
        stage.ring()
        await stage.until(lambda: stage.ended)
        assert stage.record.cause == "internal_error"

    class Fragile(list[CallEvent]):
        pass

    async def with_fragile(stage: Stage) -> None:
        stage.events = Fragile()
        await story(stage)

    play(with_fragile)


@pytest.mark.parametrize("when", ["first sound", "barge-in"])
def test_an_observer_that_fails_ends_its_call(when: str) -> None:
    async def story(stage: Stage) -> None:
        stage.observed.fails = when == "first sound"
        stage.ring()
        if when == "barge-in":
            await stage.until(State.SPEAKING)
            await stage.until(State.IDLE)
            stage.llm.says(LONG)
            await stage.ask()
            await stage.wait(1_000)
            stage.observed.fails = True
            stage.phone.says(SENTENCE)
        await stage.until(lambda: stage.ended)
        assert stage.record.cause == "internal_error"

    play(story)


@pytest.mark.parametrize("after_ms", [0.0, 1_000.0])
def test_a_line_that_fails_ends_its_call_and_no_other(after_ms: float) -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says(LONG)
        if after_ms:
            await stage.ask()
            await stage.wait(after_ms)
        else:
            stage.stt.answers.append("what are your opening hours")
            stage.phone.says(QUESTION)
        stage.phone.send_fails = True
        await stage.until(lambda: stage.ended, 5_000)
        assert stage.record.cause == "internal_error"

    play(story)


def test_the_conductor_stays_small() -> None:
    """In every voice project the call object grew into the one that knows everything."""
    source = Path(__file__).parents[2].joinpath("agent", "call.py").read_text()
    assert len(source.splitlines()) <= 400
