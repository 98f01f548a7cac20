"""Replies: what is said, what is remembered, when a provider fails, a tool runs, a caller interrupts."""

import asyncio

from agent.errors import ProviderError
from agent.events import Problem
from agent.providers import LanguageSwitch, ToolCall
from agent.turns.machine import State
from tests.agent.scripted import MS_PER_CHAR
from tests.agent.stage import QUESTION, SENTENCE, Stage, play, press

BROKEN = ProviderError("scripted", "scripted to fail")
APOLOGY = "I am sorry, I cannot answer that right now. Please try again in a moment."

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
        stage.tts.fails_at_ms = 0.0  # the rest cannot be said either
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
