"""How long a silence has to be, by the words before it and by what was asked."""

import pytest

from agent.agentfile.schema import Turns
from agent.turns.endpointing import Endpointer, count_digits
from agent.turns.expectation import ANYTHING, Expect, Expectation

MIN, USUAL, MAX = 300.0, 600.0, 1_500.0
YES_NO = Expectation(Expect.YES_NO)
SPELLED = Expectation(Expect.SPELLED)
SHORT = Expectation(Expect.SHORT)
SOME_DIGITS = Expectation(Expect.DIGITS)
SEVEN_DIGITS = Expectation(Expect.DIGITS, 7)


def wait_ms(text: str, expectation: Expectation = ANYTHING) -> float:
    endpointer = Endpointer(
        Turns(min_silence_ms=300, silence_ms=600, max_silence_ms=1_500), ["What are your opening hours?"]
    )
    return endpointer.wait_ms(text, expectation)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", USUAL),
        ("I would like an appointment", USUAL),
        # A known phrase, however it is written.
        ("what are your opening hours", MIN),
        ("What are your opening hours", MIN),
        # The recogniser says that it is whole.
        ("I would like an appointment.", MIN),
        ("我想预约。", MIN),
        ("Wo sind Sie?", MIN),
        # The sentence hangs; a question mark knows better, a full stop does not.
        ("I would like to", MAX),
        ("I would like to.", MAX),
        ("my name is", MAX),
        ("and um", MAX),
        ("ich möchte einen Termin für", MAX),
        ("no thank you", USUAL),
        ("What is this about?", MIN),
        ("Was ist das?", MIN),
    ],
)
def test_the_words_decide(text: str, expected: float) -> None:
    assert wait_ms(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Phone numbers come in groups with pauses of half a second between them, and are written with full
        # stops there: not to be cut in half.
        ("my number is five five five", MAX),
        ("my number is 555", MAX),
        ("My number is 555.", MAX),
        ("it's 555 1234", MAX),
        ("five five five twelve", MAX),
        ("five double five", MAX),
        # A whole one needs no long wait.
        ("it is 415 555 2671", USUAL),
        ("four one five five five five two six seven one", USUAL),
        # Not numbers that somebody dictates.
        ("I was born in 1985.", MIN),
        ("can I come at 10:30", USUAL),
        ("Can I come at 10:30.", MIN),
        ("at ten thirty", USUAL),
        ("it was 19.50", USUAL),
        ("the two of us", USUAL),
        ("in ten minutes", USUAL),
    ],
)
def test_a_number_nobody_asked_for_is_waited_for(text: str, expected: float) -> None:
    assert wait_ms(text) == expected


@pytest.mark.parametrize(
    "text", ["yes", "Yeah.", "um yes", "uh no", "yes please", "no thank you", "sí", "ja genau", "okay"]
)
def test_a_short_answer_to_a_yes_no_question_ends_the_turn_at_once(text: str) -> None:
    assert wait_ms(text, YES_NO) == MIN


@pytest.mark.parametrize(("text", "expected"), [("yes but", MAX), ("um", MAX), ("Tuesday", USUAL)])
def test_other_answers_to_a_yes_no_question_have_the_usual_time(text: str, expected: float) -> None:
    assert wait_ms(text, YES_NO) == expected


def test_the_same_word_always_gets_the_same_decision() -> None:
    assert {wait_ms(text) for text in ("hello", "Hello", "hello ", " HELLO")} == {USUAL}
    assert wait_ms("Hello?") == MIN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("five five five", MAX),
        ("555 12", MAX),
        ("five five five one two three four", MIN),
        ("555-1234", MIN),
        ("555 1234.", MIN),
        ("five five five twelve thirty four", MIN),
        ("it is 5551234 I think", MIN),
        ("double five five one two three four", MIN),
        ("no", MIN),
        ("wait a moment", MAX),
    ],
)
def test_asked_for_seven_digits_the_seventh_ends_the_turn(text: str, expected: float) -> None:
    assert wait_ms(text, SEVEN_DIGITS) == expected


@pytest.mark.parametrize(("text", "expected"), [("555 1234", MAX), ("415 555 2671", USUAL), ("no", MIN)])
def test_a_number_of_unknown_length_is_waited_for_until_it_is_long(text: str, expected: float) -> None:
    assert wait_ms(text, SOME_DIGITS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("j o h n", MAX),
        ("john at", MAX),
        ("john at example", MAX),
        ("john at example dot", MAX),
        ("john at example dot com", MIN),
        ("John@example.com.", MIN),
        ("john@example.com", MIN),
        ("ana at correo punto es", MIN),
        ("john at example.com and", MAX),
        ("no", MIN),
        ("yes it is john at", MAX),
    ],
)
def test_an_address_is_waited_for_until_it_is_one(text: str, expected: float) -> None:
    assert wait_ms(text, SPELLED) == expected


@pytest.mark.parametrize(("text", "expected"), [("Tuesday", MIN), ("ten thirty", MIN), ("on the", MAX)])
def test_a_short_answer_that_was_asked_for_ends_the_turn_at_once(text: str, expected: float) -> None:
    assert wait_ms(text, SHORT) == expected


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("oh double five 3 1", 5),
        ("triple seven", 3),
        ("twenty two", 2),
        ("twelve fifty three", 4),
        ("sixty", 2),
        ("no digits here", 0),
        ("", 0),
    ],
)
def test_dictated_digits_are_counted(words: str, count: int) -> None:
    assert count_digits(words.split()) == count


def test_a_known_question_instead_of_the_number_is_answered_at_once() -> None:
    assert wait_ms("what are your opening hours", SEVEN_DIGITS) == MIN
    assert wait_ms("it is", SEVEN_DIGITS) == MAX
