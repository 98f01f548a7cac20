"""How calls end, lose their line, and bear the faults of their parts: nothing of them is left behind."""

import pytest

from agent.events import CallEvent
from agent.turns.machine import State
from tests.agent.scripted import MS_PER_CHAR
from tests.agent.stage import COUGH, LONG, QUESTION, SENTENCE, Stage, bring_to, play, press

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
        stage.listener = fails
        stage.ring()
        await stage.until(lambda: stage.ended)
        assert stage.record.cause == "internal_error"

    play(story)


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
