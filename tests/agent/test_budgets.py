"""What a call does when a stage of a turn takes longer than its budget."""

import dataclasses
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from agent.chains import LLMChain, STTChain, TTSChain
from agent.errors import ProviderError
from agent.events import AgentWords
from agent.latency import Stage as Part
from agent.providers import ToolCall
from agent.turns.machine import State
from tests.agent.scripted import ScriptedLLM, ScriptedSTT, ScriptedTTS
from tests.agent.stage import AGENT, MONOLOGUE, QUESTION, Stage, play
from tests.virtual import run_virtually

ASKED = "what are your opening hours"
FILLER = "One moment, please."
ANSWER = "From eight to six."
TWO = "providers: {stt: [embedded, embedded], llm: [embedded, embedded], tts: [embedded, embedded]}\n"
KNOWLEDGE = "knowledge: [{id: hours, ask: {en: [what are your opening hours], es: [horario]}, answer: {en: Nine to five., es: De nueve a cinco.}}]\n"  # noqa: E501  # fmt: skip


def agent(budgets: str, more: str = "") -> str:
    fillers = "  fillers: {en: ['One moment, please.'], es: ['Un momento.']}\n"
    return f"{AGENT}{more}budgets:\n{fillers}  {budgets}\n"


FILLED = agent("llm_first_token: {ms: 600, action: filler}")


class Late(Stage):
    """Chains of two providers, and a smaller model."""

    def __init__(self, text: str = AGENT, **sections: Any) -> None:
        super().__init__(text, **sections)
        self.stt2, self.llm2, self.tts2, self.small = (
            ScriptedSTT(),
            ScriptedLLM(),
            ScriptedTTS(),
            ScriptedLLM(),
        )
        limits = self.agent.limits
        self.services = dataclasses.replace(
            self.services,
            stt=STTChain([self.stt, self.stt2], limits),
            llm=LLMChain([self.llm, self.llm2], limits, self.small),
            tts=TTSChain([self.tts, self.tts2], limits),
            stored=self,
        )

    def stored_reply(self, request: Any) -> str | None:
        return "Nine to five." if request.messages[-1].content == ASKED else None

    def check_nothing_is_left(self) -> None:
        super().check_nothing_is_left()
        assert self.stt2.running == self.llm2.running == self.tts2.running == self.small.running == 0


def blown(stage: Stage) -> dict[str, str]:
    """Of the last turn."""
    return {part.value: action for part, action in stage.record.turns[-1].blown.items()}


def told(stage: Stage) -> list[tuple[str, str]]:
    return [(part.value, action) for part, action in stage.observed.blown]


async def asked(stage: Stage, text: str = ASKED) -> None:
    """The caller has asked; the agent thinks."""
    stage.stt.answers.append(text)
    stage.phone.says(QUESTION)
    await stage.until(State.HEARING)
    await stage.until(State.REPLYING)


# --- fillers -------------------------------------------------------------------------------------------


def test_a_filler_is_said_while_the_model_is_late_and_the_answer_follows() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says([2_500.0, ANSWER])
        await asked(stage)
        began_ms = stage.clock.now_ms()
        await stage.until(State.SPEAKING)
        # STT 100 ms, the budget, speech 80 ms.
        assert stage.clock.now_ms() - began_ms == pytest.approx(780, abs=30)
        await stage.until(State.IDLE)
        assert [request.text for request in stage.tts.requests[1:]] == [FILLER, ANSWER]
        assert stage.record.turns[-1].agent == f"{FILLER} {ANSWER}"
        assert stage.history[-1] == ("assistant", ANSWER)
        assert blown(stage) == {"llm_first_token": "filler"}
        assert told(stage) == [("llm_first_token", "filler")]

    play(story, agent=FILLED)


def test_an_answer_in_time_has_no_filler() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says([590.0, ANSWER])
        await stage.ask()
        await stage.until(State.IDLE)
        assert stage.record.turns[-1].agent == ANSWER
        assert blown(stage) == {}

    play(story, agent=FILLED)


def test_a_model_that_has_begun_is_in_time_however_long_it_goes_on() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says([100.0, "From eight ", 1_500.0, "to six."])
        await stage.ask()
        await stage.until(State.IDLE)
        assert stage.record.turns[-1].agent == ANSWER
        assert told(stage) == []

    play(story, agent=FILLED)


def test_a_response_that_sounds_is_in_time_however_long_it_goes_on() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says(ANSWER * 5)
        await stage.ask()
        await stage.until(State.IDLE)
        assert told(stage) == []

    play(story, agent=agent("response: {ms: 1500, action: filler}"))


def test_what_is_given_up_is_late_for_nobody() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says([5_000.0, ANSWER])
        await asked(stage)
        await stage.wait(300)
        stage.phone.says(MONOLOGUE)
        await stage.until(State.YIELDED)
        stage.call.words()
        await stage.wait(3_000)
        assert stage.state is State.HEARING
        assert told(stage) == []

    play(story, agent=agent("response: {ms: 1500, action: filler}"))


def test_what_the_caller_waited_for_before_a_filler_is_no_fault_of_ours() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says([2_500.0, ANSWER])
        await stage.ask()
        stages = stage.record.turns[-1].stages
        assert Part.LLM_FIRST_TOKEN not in stages
        assert stages[Part.ADDED] == pytest.approx(0, abs=5)
        await stage.until(State.IDLE)
        # Told once it is known, so that the slowest answers are not missing from the figures.
        assert [part for part, _ in stage.observed.late] == [Part.LLM_FIRST_TOKEN, Part.LLM_FIRST_SENTENCE]
        assert all(value == pytest.approx(2_500, abs=5) for _, value in stage.observed.late)
        assert stage.record.turns[-1].stages[Part.LLM_FIRST_TOKEN] == pytest.approx(2_500, abs=5)
        assert stage.record.counters.underruns == 0

    play(story, agent=FILLED)


def test_one_filler_a_turn_is_enough() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says([4_000.0, ANSWER])
        await stage.ask()
        await stage.until(State.IDLE)
        assert [request.text for request in stage.tts.requests[1:]] == [FILLER, ANSWER]

    both = agent("llm_first_token: {ms: 600, action: filler}\n  response: {ms: 1300, action: filler}")
    play(story, agent=both)


def test_the_whole_response_is_timed_from_the_callers_last_word() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says([3_000.0, ANSWER])
        await stage.ask()
        assert stage.record.turns[-1].stages[Part.RESPONSE] == pytest.approx(1_580, abs=30)
        assert blown(stage) == {"response": "filler"}

    play(story, agent=agent("response: {ms: 1500, action: filler}"))


def test_fillers_take_turns_and_are_in_the_callers_language() -> None:
    text = agent("response: {ms: 900, action: filler}").replace(
        "['One moment, please.']", "['One moment.', 'Let me see.']"
    )

    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says([3_000.0, ANSWER])
        for _ in range(2):
            await stage.ask()
            await stage.until(State.IDLE)
        stage.media.switch_language("es")
        await stage.ask()
        await stage.until(State.IDLE)
        fillers = [turn.agent.removesuffix(f" {ANSWER}") for turn in stage.record.turns[1:]]
        assert fillers == ["Let me see.", "One moment.", "Un momento."]

    play(story, agent=text)


def test_no_filler_once_the_caller_speaks() -> None:
    async def story(stage: Stage) -> None:
        phone = await stage.greet()
        stage.llm.says([5_000.0, ANSWER])
        await asked(stage)
        await stage.wait(300)
        phone.says(MONOLOGUE[: 16 * 3_000])
        await stage.until(State.YIELDED)
        await stage.wait(1_500)
        assert len(stage.tts.requests) == 1
        assert blown(stage) == {"llm_first_token": "none"}

    play(story, agent=FILLED)


def test_an_interruption_during_the_filler_leaves_nothing_of_it_in_the_history() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says([5_000.0, "Late."])
        await stage.ask()
        await stage.wait(700)
        stage.media.typed("never mind")
        await stage.until(lambda: stage.record.turns[-1].caller == "never mind")
        turn = stage.record.turns[-2]
        assert turn.interrupted
        assert FILLER.startswith(turn.agent)
        assert stage.history[1:] == [("user", f"{ASKED} never mind")]
        assert stage.llm.running == 1

    play(story, agent=FILLED)


def test_a_model_that_fails_behind_its_filler_is_apologised_for() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says([1_000.0, ProviderError("scripted", "scripted to fail")])
        await stage.ask()
        await stage.until(State.IDLE)
        assert stage.record.turns[-1].agent.startswith(f"{FILLER} I am sorry")
        assert stage.history[-1][1].startswith("I am sorry")

    play(story, agent=FILLED)


def test_listeners_see_the_filler() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says([2_000.0, ANSWER])
        await stage.ask()
        await stage.until(State.IDLE)
        said = [event.text for event in stage.events if isinstance(event, AgentWords)]
        assert said[1:] == [FILLER, f"{FILLER} {ANSWER}"]

    play(story, agent=FILLED)


def test_a_text_line_speaks_it_too() -> None:
    async def story(stage: Stage) -> None:
        relay = stage.connect()
        await stage.until(State.IDLE)
        stage.llm.says([2_000.0, ANSWER])
        stage.text.prompt(ASKED, final=True)
        await stage.until(State.SPEAKING)
        await stage.until(State.IDLE)
        assert relay.text.endswith(f"{FILLER} {ANSWER}")
        assert stage.history[-1] == ("assistant", ANSWER)
        assert stage.record.turns[-1].stages[Part.ADDED] == pytest.approx(0, abs=5)

    play(story, agent=FILLED)


# --- somebody else answers -----------------------------------------------------------------------------


def late(story: Callable[[Late], Coroutine[Any, Any, None]], budgets: str) -> Late:
    """As `play`, with two providers of each kind."""

    async def whole() -> Late:
        stage = Late(agent(budgets, TWO + KNOWLEDGE))
        await story(stage)
        await stage.finish()
        return stage

    return run_virtually(whole)


async def answered(stage: Late, text: str = ASKED) -> None:
    """A question, asked and answered to the end."""
    await stage.greet()
    await stage.ask(text)
    await stage.until(State.IDLE)


def test_the_next_model_takes_over_and_the_slow_one_is_cancelled() -> None:
    async def story(stage: Late) -> None:
        stage.llm.says([4_000.0, "Late."])
        stage.llm2.says(ANSWER)
        await answered(stage)
        turn = stage.record.turns[-1]
        assert turn.agent == ANSWER
        assert turn.providers["llm"] == "scripted#2"
        assert turn.stages[Part.LLM_FIRST_TOKEN] == pytest.approx(550, abs=5)
        assert blown(stage) == {"llm_first_token": "next_provider"}
        assert told(stage) == [("llm_first_token", "next_provider")]
        assert stage.llm.running == 0
        assert stage.services.llm.failures == {}

    late(story, "llm_first_token: {ms: 500, action: next_provider}")


def test_the_slow_model_may_still_be_first() -> None:
    async def story(stage: Late) -> None:
        stage.llm.says([700.0, ANSWER, 300.0, " Every day."])
        stage.llm2.says([900.0, "Late."])
        await answered(stage)
        assert stage.record.turns[-1].agent == f"{ANSWER} Every day."
        assert stage.record.turns[-1].providers["llm"] == "scripted"

    late(story, "llm_first_token: {ms: 500, action: next_provider}")


def test_a_slow_model_that_fails_is_not_asked_for_twice() -> None:
    async def story(stage: Late) -> None:
        stage.llm.says([700.0, ProviderError("scripted", "scripted to fail")])
        stage.llm2.says([900.0, ANSWER])
        await answered(stage)
        assert stage.record.turns[-1].agent == ANSWER
        assert len(stage.llm.requests) == 1

    late(story, "llm_first_token: {ms: 500, action: next_provider}")


def test_a_smaller_model_answers_instead() -> None:
    async def story(stage: Late) -> None:
        stage.llm.says([4_000.0, "Late."])
        stage.small.says(ANSWER)
        await answered(stage)
        assert stage.record.turns[-1].agent == ANSWER
        assert stage.record.turns[-1].providers["llm"] == "scripted#smaller"
        assert not stage.llm2.requests
        assert blown(stage) == {"llm_first_token": "smaller_model"}

    late(story, "llm_first_token: {ms: 500, action: smaller_model}\n  smaller_model: embedded")


def test_a_stored_reply_is_the_answer_and_is_remembered_as_such() -> None:
    async def story(stage: Late) -> None:
        stage.llm.says([4_000.0, "Late."])
        await answered(stage)
        assert stage.record.turns[-1].agent == "Nine to five."
        assert stage.record.turns[-1].providers["llm"] == "stored"
        assert stage.history[-1] == ("assistant", "Nine to five.")
        assert blown(stage) == {"llm_first_token": "cached_reply"}

    late(story, "llm_first_token: {ms: 500, action: cached_reply}")


def test_what_nobody_has_stored_is_waited_for() -> None:
    async def story(stage: Late) -> None:
        stage.llm.says([2_000.0, ANSWER])
        await answered(stage, "what is the meaning of life")
        assert stage.record.turns[-1].agent == ANSWER
        assert blown(stage) == {"llm_first_token": "none"}

    late(story, "llm_first_token: {ms: 500, action: cached_reply}")


def test_a_budget_without_an_action_is_counted() -> None:
    async def story(stage: Late) -> None:
        stage.llm.says([2_000.0, ANSWER])
        await answered(stage)
        assert told(stage) == [("llm_first_token", "none")]

    late(story, "llm_first_token: 500")


def test_an_interruption_cancels_every_model_that_was_asked() -> None:
    async def story(stage: Late) -> None:
        await stage.greet()
        stage.llm.says([4_000.0, "Late."])
        stage.llm2.says([4_000.0, "Late."])
        await asked(stage)
        await stage.until(lambda: stage.llm2.running)
        stage.call.words()
        await stage.wait(1)
        assert stage.llm.running == stage.llm2.running == 0
        assert stage.state is State.HEARING

    late(story, "llm_first_token: {ms: 500, action: next_provider}")


def test_only_a_turns_first_request_has_a_budget() -> None:
    async def story(stage: Late) -> None:
        call = ToolCall("1", "book", '{"day": "Monday"}')
        stage.llm.says([50.0, call], [2_000.0, ANSWER])
        await answered(stage)
        assert stage.record.turns[-1].agent == ANSWER
        assert blown(stage) == {}

    late(story, "llm_first_token: {ms: 500, action: next_provider}")


# --- voices and ears -----------------------------------------------------------------------------------


def test_the_next_voice_takes_over_for_the_whole_reply() -> None:
    async def story(stage: Late) -> None:
        await stage.greet()
        stage.tts.first_ms = 2_000.0
        stage.llm.says("We are open. From eight to six.")
        await stage.ask()
        await stage.until(State.IDLE)
        turn = stage.record.turns[-1]
        assert turn.agent == "We are open. From eight to six."
        assert turn.providers["tts"] == "scripted#2"
        assert turn.stages[Part.TTS_FIRST_AUDIO] == pytest.approx(380, abs=5)
        assert [request.text for request in stage.tts2.requests] == ["We are open.", "From eight to six."]
        assert blown(stage) == {"tts_first_audio": "next_provider"}

    late(story, "tts_first_audio: {ms: 300, action: next_provider}")


def test_a_late_voice_is_counted() -> None:
    async def story(stage: Late) -> None:
        await stage.greet()
        stage.tts.first_ms = 600.0
        await stage.ask()
        await stage.until(State.IDLE)
        assert told(stage) == [("tts_first_audio", "none")]
        assert stage.record.turns[-1].agent == ANSWER

    late(story, "tts_first_audio: 300")


def test_the_next_recogniser_hears_the_utterance_that_the_first_one_is_late_with() -> None:
    async def story(stage: Late) -> None:
        await stage.greet()
        stage.stt.final_ms = 10_000.0
        stage.stt2.answers.append(ASKED)
        stage.phone.says(QUESTION)
        await stage.until(State.HEARING)
        await stage.until(State.SPEAKING)
        await stage.until(State.IDLE)
        turn = stage.record.turns[-1]
        assert turn.caller == ASKED
        assert turn.providers["stt"] == "scripted#2"
        assert stage.stt2.stream.fed > 8 * 1_000
        assert turn.stages[Part.STT_FINAL] == pytest.approx(400, abs=10)
        assert blown(stage) == {"stt_final": "next_provider"}
        assert stage.stt.running == 0

    late(story, "stt_final: {ms: 300, action: next_provider}")


def test_a_final_transcript_in_time_disarms_its_budget() -> None:
    async def story(stage: Late) -> None:
        await answered(stage)
        assert blown(stage) == {}
        assert not stage.stt2.streams

    late(story, "stt_final: {ms: 300, action: next_provider}")


def test_an_observer_that_fails_is_the_calls_fault_and_ends_no_other() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says([2_000.0, ANSWER])
        await asked(stage)
        stage.observed.fails = True
        await stage.until(State.ENDED)
        stage.observed.fails = False
        assert stage.record.cause == "internal_error"

    play(story, agent=FILLED)
