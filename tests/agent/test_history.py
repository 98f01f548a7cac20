"""The conversation as the model is told it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.history import MAX_MESSAGES, AgentTurn, History, Round
from agent.providers import Message, Role, ToolCall

CALL = ToolCall("t1", "look_up", "{}")


def told(history: History) -> list[tuple[str, str]]:
    """Who said what, without the instructions."""
    messages = history.messages("Be kind.")
    assert messages[0] == Message(Role.SYSTEM, "Be kind.")
    return [(message.role.value, message.content) for message in messages[1:]]


def said(history: History, text: str, heard: str | None = None, *, interrupted: bool = False) -> AgentTurn:
    turn = history.agent_turn()
    turn.rounds[0].text = text
    if heard is not None:
        history.settle(turn, heard, interrupted=interrupted)
    return turn


def test_both_sides_are_told_in_order() -> None:
    history = History()
    said(history, "Hello.", "Hello.")
    history.caller_said("Are you open?")
    said(history, "We are.", "We are.")
    assert told(history) == [("assistant", "Hello."), ("user", "Are you open?"), ("assistant", "We are.")]


def test_a_turn_that_is_being_said_is_told_as_generated() -> None:
    history = History()
    said(history, "We are open")
    assert told(history) == [("assistant", "We are open")]
    assert history.last_heard() == "We are open"


def test_of_an_interrupted_turn_only_what_was_heard_is_told() -> None:
    history = History()
    history.caller_said("When are you open?")
    said(history, "We open at nine.\n  We close at five.", "We open at nine. We", interrupted=True)
    messages = history.messages("")
    assert messages[-1] == Message(Role.ASSISTANT, "We open at nine. We", interrupted=True)
    assert history.last_heard() == "We open at nine. We"


def test_a_turn_of_which_nothing_was_heard_never_happened() -> None:
    history = History()
    history.caller_said("I would like")
    said(history, "You would like what?", "", interrupted=True)
    history.caller_said("to book an appointment")
    assert told(history) == [("user", "I would like to book an appointment")]
    assert history.last_heard() == ""


def test_it_makes_no_difference_whether_the_caller_went_on_before_that_was_known() -> None:
    history = History()
    history.caller_said("I would like")
    turn = said(history, "What?")
    history.caller_said("to book")
    history.settle(turn, "", interrupted=True)
    assert told(history) == [("user", "I would like to book")]


def test_the_caller_never_speaks_twice_in_a_row() -> None:
    history = History()
    history.caller_said("one")
    history.caller_said("two")
    assert told(history) == [("user", "one two")]


def test_tools_are_told_with_their_results_between_the_texts() -> None:
    history = History()
    turn = AgentTurn([Round("Let me look.", [CALL], {"t1": "9 to 5"}), Round("Nine to five.")])
    history._recent.append(turn)
    history.settle(turn, "Let me look. Nine to five.", interrupted=False)
    assert history.messages("")[1:] == (
        Message(Role.ASSISTANT, "Let me look.", tool_calls=(CALL,)),
        Message(Role.TOOL, "9 to 5", tool_call_id="t1"),
        Message(Role.ASSISTANT, "Nine to five."),
    )


def test_a_tool_that_ran_stays_though_nothing_was_heard_of_the_turn() -> None:
    # It may have booked something.
    history = History()
    turn = AgentTurn([Round("Let me book.", [CALL], {"t1": "booked"}), Round("You are booked.")])
    history._recent.append(turn)
    history.settle(turn, "", interrupted=True)
    assert told(history) == [("assistant", ""), ("tool", "booked")]


def test_a_tool_without_a_result_is_not_told() -> None:
    # Chat APIs refuse a tool call that nobody answers.
    history = History()
    turn = AgentTurn([Round("Let me look.", [CALL])])
    history._recent.append(turn)
    assert history.messages("")[1:] == (Message(Role.ASSISTANT, "Let me look."),)


def test_a_cut_in_the_second_round_keeps_the_first_whole() -> None:
    history = History()
    turn = AgentTurn(
        [Round("Let me look.", [CALL], {"t1": "x"}), Round("It is nine to five."), Round("Bye.")]
    )
    history._recent.append(turn)
    history.settle(turn, "Let me look. It is", interrupted=True)
    assert told(history) == [("assistant", "Let me look."), ("tool", "x"), ("assistant", "It is")]
    assert history.messages("")[-1].interrupted


@pytest.mark.parametrize("heard", ["It costs nineteen dollars fifty", "It costs $19.50 all in all"])
def test_what_the_platform_says_in_other_words_is_cut_by_length(heard: str) -> None:
    history = History()
    said(history, "It costs $19.50 in all. Do you want it?", heard, interrupted=True)
    [(_, text)] = told(history)
    assert "It costs $19.50 in all. Do you want it?".startswith(text)
    assert len(text.split()) == len(heard.split())


def test_two_turns_alike_are_two_turns() -> None:
    history = History()
    first = said(history, "Pardon?")
    second = said(history, "Pardon?", "Pardon?")
    history.settle(first, "", interrupted=True)
    assert history._recent == [second]
    third, fourth = history.agent_turn(), history.agent_turn()
    third.heard = fourth.heard = ""
    history.settle(fourth, "", interrupted=False)
    assert [entry for entry in history._recent if entry is third]


def test_a_turn_is_cut_no_more_once_the_next_one_has_begun() -> None:
    history = History()
    history.caller_said("When?")
    first = said(history, "At nine. Or ten.", "At nine. Or ten.")
    history.settle(first, "At nine.", interrupted=True)
    history.caller_said("And then?")
    said(history, "At five.")
    history.settle(first, "At", interrupted=True)
    assert told(history) == [
        ("user", "When?"), ("assistant", "At nine."), ("user", "And then?"), ("assistant", "At five."),
    ]  # fmt: skip
    assert history.messages("")[2].interrupted


def test_the_caller_goes_on_after_an_answer_of_which_nothing_was_heard_however_long_the_call() -> None:
    history = History()
    for number in range(4):
        history.caller_said(f"question {number}")
        said(history, f"answer {number}", f"answer {number}")
    history.caller_said("I would like")
    said(history, "What?", "", interrupted=True)
    assert history.last_heard() == "answer 3"
    history.caller_said("to book")
    said(history, "Of course.", "Of course.")
    assert told(history)[-3:] == [
        ("assistant", "answer 3"), ("user", "I would like to book"), ("assistant", "Of course."),
    ]  # fmt: skip


def test_what_was_heard_as_it_was_written_is_there_once() -> None:
    history = History()
    turn = history.agent_turn()
    turn.rounds[0].text = " We are open. "
    heard = turn.text
    history.settle(turn, heard, interrupted=False)
    history.agent_turn()
    assert history.messages("")[1].content is heard


def test_memory_is_bounded() -> None:
    history = History()
    for number in range(MAX_MESSAGES):
        history.caller_said(f"question {number}")
        said(history, f"answer {number}", f"answer {number}")
    # The last turn can still be cut.
    assert len(told(history)) == MAX_MESSAGES + 2
    assert told(history)[-1] == ("assistant", f"answer {MAX_MESSAGES - 1}")


def test_what_is_left_of_a_long_history_does_not_begin_with_a_tools_result() -> None:
    # Chat APIs refuse a result of nothing.
    for turns in range(MAX_MESSAGES // 2, MAX_MESSAGES // 2 + 5):
        history = History()
        for number in range(turns):
            turn = history.agent_turn()
            turn.rounds[:] = [Round("", [CALL, ToolCall("t2", "look_up", "{}")], {"t1": "x", "t2": "y"})]
            history.settle(turn, "", interrupted=False)
            history.caller_said(f"question {number}")
        assert told(history)[0][0] != "tool"
        assert len(told(history)) > MAX_MESSAGES - 3


def test_a_turn_of_more_tools_than_are_remembered_is_forgotten() -> None:
    history = History()
    calls = [ToolCall(f"t{number}", "look_up", "{}") for number in range(MAX_MESSAGES + 1)]
    turn = history.agent_turn()
    turn.rounds[:] = [Round("", calls, {call.id: "x" for call in calls})]
    history.settle(turn, "", interrupted=False)
    said(history, "Hello.")
    assert told(history) == [("assistant", "Hello.")]


WORDS = st.lists(st.sampled_from(["a", "b", "c", "9"]), max_size=8).map(" ".join)


@given(st.lists(WORDS, min_size=1, max_size=3), st.integers(0, 30))
def test_what_is_told_of_a_turn_is_just_what_was_heard(rounds: list[str], words: int) -> None:
    turn = AgentTurn([Round(text) for text in rounds])
    heard = " ".join(" ".join(rounds).split()[:words])
    turn.heard = heard
    assert " ".join(message.content for message in turn.messages()) == heard
