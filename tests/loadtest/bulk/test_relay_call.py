import orjson
import pytest

from loadtest.bulk.figures import Figures
from loadtest.bulk.relay_call import RelayCall
from loadtest.bulk.script import Script
from tests.loadtest.bulk.wire import messages


@pytest.fixture
def call() -> RelayCall:
    return RelayCall(Figures())


def text(token: str) -> bytes:
    return orjson.dumps({"type": "text", "token": token, "last": False})


def test_it_opens_with_setup_and_asks_final_prompts(call: RelayCall) -> None:
    (setup,) = messages(call.opening)
    assert (setup["type"], setup["callSid"]) == ("setup", call.call_id)
    (prompt,) = messages(call.ask(1_000.0))
    assert (prompt["type"], prompt["last"]) == ("prompt", True)
    assert prompt["voicePrompt"]


def test_an_answer_is_measured_once_from_the_prompt_to_the_first_text(call: RelayCall) -> None:
    call.ask(1_000.0)
    call.received(text(""), 1_001.0)
    call.received(text("From eight"), 1_003.5)
    call.received(text(" to six."), 1_008.0)
    assert call.figures.voice_to_voice_ms == [3.5]
    assert (call.figures.turns, call.figures.unanswered) == (1, 0)


def test_a_prompt_into_an_answer_interrupts_where_the_voice_has_got_to(call: RelayCall) -> None:
    call.ask(0.0)
    call.received(text("We are open from Monday to Friday."), 0.0)
    interrupt, prompt = messages(call.ask(1_000.0))
    # 14 characters a second.
    assert interrupt["utteranceUntilInterrupt"] == "We are open fr"
    assert interrupt["durationUntilInterruptMs"] == 1000
    assert prompt["type"] == "prompt"
    assert call.figures.barge_ins == 1


def test_an_answer_that_was_heard_out_is_not_interrupted(call: RelayCall) -> None:
    call.ask(0.0)
    call.received(text("Yes."), 0.0)
    assert [each["type"] for each in messages(call.ask(10_000.0))] == ["prompt"]


def test_no_answer_until_the_next_prompt_counts(call: RelayCall) -> None:
    call.ask(0.0)
    call.ask(10_000.0)
    assert call.figures.unanswered == 1


@pytest.mark.parametrize("data", [b"{", b"[]", b"{}", b"3"])
def test_nonsense_from_the_server_is_counted(call: RelayCall, data: bytes) -> None:
    call.received(data, 0.0)
    assert call.figures.bad_messages == 1


def answered(reply: str) -> Figures:
    """The figures of a caller who expects `We are open.` and gets `reply`."""
    call = RelayCall(Figures(), "We are open.")
    call.ask(0.0)
    call.received(text(reply), 5.0)
    call.ask(10_000.0)
    return call.figures


def test_a_reply_has_to_begin_with_its_first_word() -> None:
    assert answered("We are open. Come by.").first_word_lost_ms == []
    (lost_ms,) = answered("are open.").first_word_lost_ms
    assert lost_ms == pytest.approx(3_000 / 14)
    assert answered("Sorry?").first_words_unknown == 1


@pytest.mark.parametrize(
    ("reply", "right", "wrong"), [("We are open. Come by.", 1, 0), ("are open.", 0, 1), ("Sorry?", 0, 1)]
)
def test_a_reply_that_begins_with_something_else_is_a_wrong_answer(
    reply: str, right: int, wrong: int
) -> None:
    figures = answered(reply)
    assert (figures.right_answers, figures.wrong_answers) == (right, wrong)


def test_a_caller_hangs_up_after_so_many_turns() -> None:
    call = RelayCall(Figures(), script=Script(hang_up_after=2))
    call.ask(0.0)
    assert not call.over
    call.ask(10_000.0)
    assert call.over


def test_a_caller_whose_time_is_over_hangs_up() -> None:
    call = RelayCall(Figures(), until_ms=15_000.0)
    call.ask(10_000.0)
    assert not call.over
    call.ask(20_000.0)
    assert call.over


def test_keys_are_a_turn_and_a_figure_of_their_own() -> None:
    call = RelayCall(Figures(), script=Script(keys_every=2, keys="1#"))
    call.ask(0.0)
    call.received(text("Yes."), 5.0)
    pressed = messages(call.ask(10_000.0))
    assert [(each["type"], each["digit"]) for each in pressed] == [("dtmf", "1"), ("dtmf", "#")]
    call.received(text("Yes."), 10_007.0)
    assert call.figures.keys_to_voice_ms == [7.0]
    assert call.figures.voice_to_voice_ms == [5.0]
    assert [each.took_ms for each in call.figures.answered] == [5.0]
    assert [each["type"] for each in messages(call.ask(20_000.0))] == ["prompt"]


def test_the_greeting_is_timed_if_the_server_says_it() -> None:
    call = RelayCall(Figures(), begun_ms=1_000.0)
    call.received(text("Hello."), 1_040.0)
    assert (call.figures.greetings, call.figures.greeting_ms) == (1, [40.0])


@pytest.mark.parametrize(("after_ms", "dead_airs"), [(1_900.0, 0), (2_500.0, 1)])
def test_an_answer_that_comes_after_two_seconds_was_dead_air_until_then(
    call: RelayCall, after_ms: float, dead_airs: int
) -> None:
    call.ask(1_000.0)
    call.received(text("From eight"), 1_000.0 + after_ms)
    assert call.figures.dead_airs == dead_airs
