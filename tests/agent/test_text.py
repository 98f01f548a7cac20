"""A call over a text line: the platform hears and speaks, and tells more or less of it."""

import pytest

from agent.latency import Stage as Part
from agent.providers import LanguageSwitch, ToolCall
from agent.spoken import speaking_ms
from agent.turns.machine import State
from tests.agent.scripted import Relay
from tests.agent.stage import GREETING, Stage, play, press

STORY = "We are open from Monday to Friday. On Saturdays we are open until noon. On Sundays we are closed."


async def connected(stage: Stage) -> Relay:
    """A call whose greeting was heard."""
    relay = stage.connect()
    await stage.until(State.SPEAKING)
    await stage.until(State.IDLE)
    return relay


async def speaking(stage: Stage, text: str = STORY) -> Relay:
    """The agent answers with a long text, all of which was handed over."""
    relay = await connected(stage)
    stage.llm.says(text, "Thank you.")
    stage.text.prompt("when are you open", final=True)
    await stage.until(State.SPEAKING)
    await stage.until(lambda: not stage.llm.running)
    return relay


def test_the_agent_greets_in_one_utterance_and_listens_when_it_must_have_been_heard() -> None:
    async def story(stage: Stage) -> None:
        relay = stage.connect()
        await stage.until(State.SPEAKING)
        assert relay.said == [(GREETING, False, "en"), ("", True, "en")]
        await stage.until(State.IDLE)
        # Fourteen characters a second and a second more (Twilio sheet, 6.1).
        assert relay.now_ms == pytest.approx(speaking_ms(GREETING) + 1_000, abs=2)
        assert stage.history == [("assistant", GREETING)]

    play(story)


def test_a_greeting_that_the_platform_speaks_is_accounted_for_and_not_said_again() -> None:
    async def story(stage: Stage) -> None:
        relay = stage.connect(greeted=True)
        assert stage.state is State.SPEAKING
        assert stage.kinds == ["greeting"]
        await stage.until(State.IDLE)
        assert relay.said == []
        assert stage.history == [("assistant", GREETING)]
        assert stage.record.turns[0].agent == GREETING

    play(story)


def test_a_prompt_is_answered_as_the_model_speaks() -> None:
    async def story(stage: Stage) -> None:
        relay = await connected(stage)
        stage.llm.says([50.0, "From eight ", 30.0, "to six."])
        relay.said.clear()
        stage.text.prompt("when are", final=False)
        assert stage.record.state == "hearing"
        stage.text.prompt("when are you open", final=True)
        assert stage.record.state == "replying"
        await stage.until(State.SPEAKING)
        assert stage.record.turns[1].stages[Part.RESPONSE] == pytest.approx(50.0)
        await stage.wait(40)
        assert relay.said == [("From eight ", False, "en"), ("to six.", False, "en"), ("", True, "en")]
        await stage.until(State.IDLE)
        assert stage.history[1:] == [("user", "when are you open"), ("assistant", "From eight to six.")]

    play(story)


def test_the_end_of_speech_is_known_where_the_platform_tells() -> None:
    async def story(stage: Stage) -> None:
        await speaking(stage)
        stage.text.agent_speaking(True)
        await stage.wait(3_000)
        stage.text.played(STORY[:36])
        stage.text.agent_speaking(False)  # between two pieces
        assert stage.record.state == "speaking"
        stage.text.agent_speaking(True)
        stage.text.played(STORY[36:])
        stage.text.agent_speaking(False)
        assert stage.record.state == "idle"
        assert stage.record.turns[1].agent == STORY

    play(story)


# --- interruptions -------------------------------------------------------------------------------------


def test_an_interruption_with_words_keeps_what_was_heard() -> None:
    async def story(stage: Stage) -> None:
        await speaking(stage)
        await stage.wait(3_000)
        stage.text.interrupted("On Saturdays we", 900)
        assert stage.record.state == "yielded"
        stage.text.prompt("and on", final=False)
        assert stage.record.state == "hearing"
        assert stage.record.turns[1].agent == "We are open from Monday to Friday. On Saturdays we"
        assert stage.record.turns[1].interrupted
        stage.text.prompt("and on Sunday", final=True)
        await stage.until(State.SPEAKING)
        assert stage.history[2:] == [
            ("assistant", "We are open from Monday to Friday. On Saturdays we"),
            ("user", "and on Sunday"),
            ("assistant", "Thank you."),
        ]
        assert stage.record.counters.barge_ins == 1
        assert Part.BARGE_IN not in stage.record.turns[1].stages  # it happened far away
        assert stage.observed.barge_ins_ms == []

    play(story)


def test_no_utterance_is_closed_that_the_caller_has_interrupted() -> None:
    async def story(stage: Stage) -> None:
        relay = await connected(stage)
        relay.said.clear()
        stage.llm.says(["We are open ", 5_000.0, "from Monday."], "Thank you.")
        stage.text.prompt("when are you open", final=True)
        await stage.until(State.SPEAKING)
        await stage.wait(500)
        stage.text.interrupted("We are", 300)
        stage.text.prompt("stop", final=True)
        await stage.until(lambda: relay.text.endswith("Thank you."))
        await stage.wait(100)
        assert relay.said == [("We are open ", False, "en"), ("Thank you.", False, "en"), ("", True, "en")]

    play(story)


@pytest.mark.parametrize("words", ["", "mhm", "yeah okay"])
def test_after_an_interruption_by_no_words_the_rest_is_said_again(words: str) -> None:
    async def story(stage: Stage) -> None:
        relay = await speaking(stage)
        relay.said.clear()
        await stage.wait(3_000)
        stage.text.caller_speaking(True)
        stage.text.interrupted("On Saturdays we", 900)
        stage.text.caller_speaking(False)
        await stage.wait(700)
        assert relay.said == []
        if words:
            stage.text.prompt(words, final=False)
            stage.text.prompt(words, final=True)
        else:
            await stage.wait(1_301)
        assert stage.state is State.SPEAKING
        assert relay.text == "are open until noon. On Sundays we are closed."
        assert relay.said[-1][1]
        await stage.until(State.IDLE)
        assert stage.record.turns[1].agent == STORY
        assert not stage.record.turns[1].interrupted
        assert stage.record.counters.turns == 1
        assert stage.record.counters.resumes == 1

    play(story)


def test_what_the_model_says_while_the_caller_may_be_speaking_is_kept() -> None:
    async def story(stage: Stage) -> None:
        relay = await connected(stage)
        relay.said.clear()
        stage.llm.says(["We are open ", 2_000.0, "from Monday to Friday."])
        stage.text.prompt("when are you open", final=True)
        await stage.until(State.SPEAKING)
        await stage.wait(1_500)
        stage.text.interrupted("We are open", 800)
        await stage.wait(1_000)
        assert relay.text == "We are open "
        await stage.until(State.SPEAKING)  # a platform that tells nothing: the ceiling
        assert relay.text == "We are open from Monday to Friday."
        await stage.until(State.IDLE)
        assert stage.record.turns[1].agent == "We are open from Monday to Friday."

    play(story)


def test_a_mhm_that_did_not_interrupt_is_no_turn() -> None:
    async def story(stage: Stage) -> None:
        await speaking(stage)
        stage.text.prompt("mhm", final=True)
        assert stage.state is State.SPEAKING
        stage.text.prompt("stop", final=True)
        assert stage.record.state == "replying"

    play(story)


def test_a_yes_to_a_question_is_an_answer_also_when_it_interrupts() -> None:
    async def story(stage: Stage) -> None:
        await speaking(stage, "You want to come on Monday. Is that right?")
        await stage.wait(2_000)
        stage.text.interrupted("Is that", 400)
        stage.text.prompt("yes", final=True)
        await stage.until(State.SPEAKING)
        assert stage.history[-2] == ("user", "yes")

    play(story)


def test_an_interruption_that_comes_after_the_estimated_end_cuts_the_last_turn() -> None:
    async def story(stage: Stage) -> None:
        await speaking(stage)
        await stage.until(State.IDLE)
        assert stage.record.turns[1].agent == STORY
        stage.text.interrupted("On Sundays we", 900)
        assert stage.record.state == "hearing"
        cut = STORY.removesuffix(" are closed.")
        assert stage.record.turns[1].agent == cut
        stage.text.prompt("hello", final=True)
        await stage.until(State.SPEAKING)
        assert stage.history[2:4] == [("assistant", cut), ("user", "hello")]

    play(story)


def test_several_final_prompts_before_the_first_word_are_one_turn() -> None:
    async def story(stage: Stage) -> None:
        relay = await connected(stage)
        relay.said.clear()
        stage.text.prompt("I would like to know", final=True)
        await stage.wait(20)
        stage.text.prompt("when you are open", final=True)
        await stage.until(State.SPEAKING)
        await stage.until(State.IDLE)
        assert stage.history[1:] == [
            ("user", "I would like to know when you are open"),
            ("assistant", "From eight to six."),
        ]
        assert relay.text == "From eight to six."

    play(story)


def test_a_prompt_over_the_agent_without_an_interruption_is_answered() -> None:
    async def story(stage: Stage) -> None:
        await speaking(stage)
        await stage.wait(1_000)
        stage.text.prompt("and on Sunday", final=True)
        await stage.until(State.SPEAKING)
        heard = stage.record.turns[1].agent
        assert STORY.startswith(heard)
        assert stage.history[3:] == [("user", "and on Sunday"), ("assistant", "Thank you.")]

    play(story)


# --- silence, and prompts that say nothing -------------------------------------------------------------


def test_a_voice_of_which_no_words_come_is_waited_for_in_vain_only_shortly() -> None:
    async def story(stage: Stage) -> None:
        relay = await connected(stage)
        stage.text.caller_speaking(True)
        assert stage.record.state == "hearing"
        stage.text.caller_speaking(False)
        silent_ms = relay.now_ms
        await stage.until(State.IDLE)
        assert relay.now_ms - silent_ms == pytest.approx(2_000, abs=2)
        await stage.until(lambda: stage.kinds[-1] == "reprompt")
        assert relay.now_ms - silent_ms == pytest.approx(10_000, abs=4)

    play(story)


def test_an_empty_prompt_while_the_answer_is_made_does_not_lose_it() -> None:
    async def story(stage: Stage) -> None:
        await connected(stage)
        stage.text.prompt("when are you open", final=True)
        await stage.wait(10)
        stage.text.prompt(" ", final=True)
        assert stage.state is State.REPLYING
        await stage.until(State.SPEAKING)
        await stage.until(State.IDLE)
        assert stage.history[-1] == ("assistant", "From eight to six.")

    play(story)


def test_a_final_prompt_that_never_comes_is_made_of_the_last_partial() -> None:
    async def story(stage: Stage) -> None:
        relay = await connected(stage)
        stage.text.prompt("when are you open", final=False)
        began_ms = relay.now_ms
        await stage.until(State.SPEAKING)
        assert relay.now_ms - began_ms == pytest.approx(30_050, abs=2)
        assert stage.record.turns[1].caller == "when are you open"

    play(story)


def test_a_silent_caller_is_seen_off() -> None:
    async def story(stage: Stage) -> None:
        relay = await connected(stage)
        await stage.until(lambda: stage.ended)
        assert stage.kinds == ["greeting", "reprompt", "reprompt", "goodbye"]
        assert stage.record.cause == "silence"
        assert relay.hung_up_ms is not None

    play(story)


def test_keys_are_a_turn() -> None:
    async def story(stage: Stage) -> None:
        await speaking(stage)
        await stage.wait(3_000)
        press(stage, "12")
        assert stage.record.state == "hearing"
        stage.text.interrupted("We are", 300)  # the platform's own account of the same
        press(stage, "#")
        await stage.until(State.SPEAKING)
        assert stage.history[3:] == [("user", "12"), ("assistant", "Thank you.")]

    play(story)


def test_a_typed_text_is_a_turn() -> None:
    async def story(stage: Stage) -> None:
        await connected(stage)
        stage.text.typed("when are you open")
        await stage.until(State.SPEAKING)
        assert stage.kinds[-1] == "typed"

    play(story)


# --- languages -----------------------------------------------------------------------------------------


def test_the_platform_is_told_of_another_language() -> None:
    async def story(stage: Stage) -> None:
        relay = await connected(stage)
        stage.llm.says([LanguageSwitch("es"), "Hablo español."])
        stage.text.prompt("habla español", final=True)
        await stage.until(State.SPEAKING)
        await stage.until(State.IDLE)
        assert relay.languages == ["es"]
        assert relay.said[-2:] == [("Hablo español.", False, "es"), ("", True, "es")]

    play(story)


def test_a_language_that_is_not_the_agents_is_counted() -> None:
    async def story(stage: Stage) -> None:
        await connected(stage)
        stage.text.prompt("bonjour", final=True, language="fr-FR")
        assert stage.record.bad_messages == {"unknown_language": 1}
        await stage.until(State.SPEAKING)

    play(story)


# --- lost lines ----------------------------------------------------------------------------------------


async def lose_and_replace(stage: Stage, away_ms: float = 3_000.0) -> Relay:
    old = stage.relay
    said = len(old.said)
    await stage.text.lost()
    await stage.wait(away_ms)
    assert len(old.said) == said
    relay = stage.relay = Relay()
    stage.text.replace_line(relay)
    assert old.closed
    return relay


def test_over_a_new_socket_the_rest_is_said_again() -> None:
    async def story(stage: Stage) -> None:
        await speaking(stage)
        stage.text.agent_speaking(True)
        stage.text.played("We are open from Monday to Friday. ")
        await stage.wait(2_000)
        relay = await lose_and_replace(stage)
        assert relay.text == "On Saturdays we are open until noon. On Sundays we are closed."
        assert relay.said[-1][1]
        assert relay.languages == []
        stage.text.played(relay.text)
        stage.text.agent_speaking(False)
        assert stage.state is State.IDLE
        assert stage.record.turns[1].agent == STORY

    play(story)


def test_a_new_socket_before_the_old_one_was_missed_says_the_rest_too() -> None:
    async def story(stage: Stage) -> None:
        old = await speaking(stage)
        stage.text.played("We are open from Monday to Friday. ")
        relay = Relay()
        stage.text.replace_line(relay)
        assert old.closed
        assert relay.text == "On Saturdays we are open until noon. On Sundays we are closed."

    play(story)


def test_a_new_socket_is_told_the_language_that_was_changed_on_the_old_one() -> None:
    async def story(stage: Stage) -> None:
        await connected(stage)
        stage.text.switch_language("es")
        relay = await lose_and_replace(stage)
        assert relay.languages == ["es"]

    play(story)


def test_an_answer_that_was_being_made_is_said_on_the_new_socket() -> None:
    async def story(stage: Stage) -> None:
        await connected(stage)
        stage.text.prompt("when are you open", final=True)
        await stage.wait(10)
        relay = await lose_and_replace(stage)
        assert relay.text == "From eight to six."
        assert stage.state is State.SPEAKING
        await stage.until(State.IDLE)
        assert stage.history[-1] == ("assistant", "From eight to six.")
        assert stage.record.counters.unanswered == 0

    play(story)


def test_an_answer_that_is_still_being_made_when_the_new_socket_comes_is_not_lost() -> None:
    async def story(stage: Stage) -> None:
        await connected(stage)
        stage.llm.says([4_000.0, "From eight to six."])
        stage.text.prompt("when are you open", final=True)
        await stage.wait(10)
        await lose_and_replace(stage)
        assert stage.state is State.REPLYING
        await stage.until(State.SPEAKING)

    play(story)


def test_a_prompt_that_comes_when_the_line_was_lost_is_answered_on_the_next() -> None:
    async def story(stage: Stage) -> None:
        await connected(stage)
        await stage.text.lost()
        stage.text.prompt("when are you open", final=True)
        await stage.wait(1_000)
        relay = await lose_and_replace(stage)
        assert relay.text == "From eight to six."

    play(story)


def test_half_a_prompt_goes_with_its_socket() -> None:
    async def story(stage: Stage) -> None:
        await connected(stage)
        stage.text.prompt("when are", final=False)
        await lose_and_replace(stage)
        assert stage.state is State.IDLE
        await stage.until(lambda: stage.kinds[-1] == "reprompt")

    play(story)


def test_an_agent_that_had_yielded_says_the_rest_on_the_new_socket() -> None:
    async def story(stage: Stage) -> None:
        await speaking(stage)
        await stage.wait(3_000)
        stage.text.interrupted("On Saturdays we", 900)
        relay = await lose_and_replace(stage, away_ms=10_000)
        assert stage.state is State.SPEAKING
        assert relay.text == "are open until noon. On Sundays we are closed."

    play(story)


@pytest.mark.parametrize("state", [State.IDLE, State.HEARING, State.REPLYING, State.SPEAKING, State.YIELDED])
@pytest.mark.parametrize("lost", [False, True])
def test_a_caller_who_hangs_up_in_any_state_leaves_nothing_behind(state: State, *, lost: bool) -> None:
    async def story(stage: Stage) -> None:
        if state in (State.SPEAKING, State.YIELDED):
            await speaking(stage)
            if state is State.YIELDED:
                stage.text.caller_speaking(False)
                stage.text.interrupted("We", 100)
        else:
            await connected(stage)
            if state is not State.IDLE:
                stage.text.prompt("when", final=state is State.REPLYING)
        assert stage.state is state
        if lost:
            await stage.text.lost()
        await stage.text.hung_up("")
        await stage.wait(0)
        stage.check_nothing_is_left()
        count = len(stage.events)
        stage.text.prompt("hello", final=False)
        stage.text.prompt("hello", final=True)
        stage.text.interrupted("hello", 100)
        stage.text.caller_speaking(True)
        stage.text.caller_speaking(False)
        stage.text.agent_speaking(False)
        await stage.wait(60_000)
        stage.check_nothing_is_left()
        assert len(stage.events) == count

    play(story)


def test_the_agent_hangs_up_when_its_goodbye_must_have_been_heard() -> None:
    async def story(stage: Stage) -> None:
        relay = await connected(stage)
        stage.llm.says(["Goodbye then.", ToolCall("t1", "end_call", "{}")])
        stage.text.prompt("bye", final=True)
        await stage.until(State.SPEAKING)
        said_ms = relay.now_ms
        await stage.until(lambda: stage.ended)
        assert relay.hung_up_ms is not None
        assert relay.hung_up_ms - said_ms > 400 + speaking_ms("Goodbye then.")

    play(story)
