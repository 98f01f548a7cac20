"""Word times find their places in the text, whatever the service made of its words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.providers import WordTime
from providers.cartesia.words import MAX_SKIP_CHARS, WordPlaces


def placed(text: str, *words: str) -> list[str]:
    """The rest of the text from each word that was found."""
    places = WordPlaces(text)
    found = [places.place(word, 100.0 * at) for at, word in enumerate(words)]
    return [text[word.offset :].split()[0] for word in found if word is not None]


def test_words_are_found_in_order() -> None:
    text = "The first visit is free, the second is not."
    assert placed(text, *text.split()) == text.split()


def test_marks_and_capitals_do_not_matter() -> None:
    heard = placed("“Good morning”, Dr. Fox!", "good", "Morning,", "dr", "fox")
    assert heard == ["Good", "morning”,", "Dr.", "Fox!"]


def test_a_word_is_not_found_within_another() -> None:
    assert placed("Saturday, a day off", "a", "day") == ["a", "day"]


def test_what_was_spelled_out_gets_no_time_and_the_rest_does() -> None:
    words = ("It", "costs", "forty", "five", "dollars", "a", "visit")
    assert placed("It costs $45 a visit", *words) == ["It", "costs", "a", "visit"]


def test_a_word_that_was_made_up_does_not_pull_the_rest_away() -> None:
    text = "One two three, " + "and so on " * (MAX_SKIP_CHARS // 5) + "four"
    assert placed(text, "One", "four", "two", "three") == ["One", "two", "three,"]


def test_chinese_has_no_spaces() -> None:
    places = WordPlaces("你好,我们九点开门")
    assert places.place("你好", 0) == WordTime(0, 0)
    assert places.place("我们", 300) == WordTime(3, 300)
    assert places.place("开门", 900) == WordTime(7, 900)
    assert places.complete


def test_times_never_run_backwards() -> None:
    places = WordPlaces("a b c")
    times = [places.place(word, at_ms) for word, at_ms in (("a", -20.0), ("b", 300.0), ("c", 250.0))]
    assert [word.at_ms for word in times if word is not None] == [0.0, 300.0, 300.0]


def test_it_is_complete_with_its_last_word() -> None:
    places = WordPlaces("Come at six.")
    for word, complete in (("Come", False), ("at", False), ("six", True)):
        places.place(word, 0)
        assert places.complete is complete


@pytest.mark.parametrize("word", ["", " ", "...", "—"])
def test_marks_alone_are_no_words(word: str) -> None:
    assert WordPlaces("Hello ... world").place(word, 0) is None


@given(st.text(), st.lists(st.tuples(st.text(), st.floats(-1e6, 1e6))))
def test_places_are_in_order_and_within_the_text(text: str, words: list[tuple[str, float]]) -> None:
    places = WordPlaces(text)
    found = [place for word, at_ms in words if (place := places.place(word, at_ms)) is not None]
    assert all(0 <= place.offset < len(text) for place in found)
    assert [place.offset for place in found] == sorted({place.offset for place in found})
    assert [place.at_ms for place in found] == sorted(place.at_ms for place in found)
