"""The words of a turn, out of a recogniser's pieces."""

from hypothesis import given
from hypothesis import strategies as st

from agent.providers import Transcript
from agent.transcripts import TurnText


def text_of(*pieces: tuple[str, bool]) -> str:
    text = TurnText()
    for words, final in pieces:
        text.add(Transcript(words, final))
    return text.text


def test_a_partial_takes_the_place_of_the_one_before() -> None:
    assert text_of(("what", False), ("what are", False), ("what are your", False)) == "what are your"


def test_a_final_closes_its_segment_and_the_next_one_follows_it() -> None:
    assert text_of(("what are", False), ("What are your", True), ("hours", False)) == "What are your hours"
    assert text_of(("my number is", True), ("555", True), ("1234", True)) == "my number is 555 1234"


def test_a_partial_that_was_taken_back_is_gone() -> None:
    assert text_of(("uh", False), ("", True)) == ""
    assert text_of(("yes", True), ("uh", False), ("", False)) == "yes"


def test_an_empty_answer_to_silence_changes_nothing() -> None:
    assert text_of(("yes please", True), ("", True), ("  ", True)) == "yes please"


def test_the_words_of_an_unanswered_turn_stay_and_become_one_with_what_follows() -> None:
    text = TurnText()
    text.add(Transcript("I would like", final=True))
    text.add(Transcript("to book", final=True))
    assert text.take() == "I would like to book"
    assert text.text == ""
    text.add(Transcript("Tuesday", final=False))
    assert text.take() == "Tuesday"


def test_confidence_and_language_are_those_of_the_latest_words() -> None:
    text = TurnText()
    text.add(Transcript("hola", final=True, confidence=0.9, language="es-ES"))
    text.add(Transcript("", final=True, confidence=0.0, language="en-US"))
    assert (text.confidence, text.language) == (0.9, "es-ES")
    text.add(Transcript("buenas", final=False, confidence=0.4))
    assert (text.confidence, text.language) == (0.4, "es-ES")


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b c", " d "]), st.booleans())))
def test_the_words_are_all_finals_and_the_last_open_partial(pieces: list[tuple[str, bool]]) -> None:
    finals = [words.strip() for words, final in pieces if final]
    still_open = [pieces[-1][0].strip()] if pieces and not pieces[-1][1] else []
    assert text_of(*pieces) == " ".join(part for part in finals + still_open if part)
