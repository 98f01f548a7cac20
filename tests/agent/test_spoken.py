"""Where in a text a voice has got to."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.spoken import chars_in, find_all, follow, speaking_ms, squeezed, whole_words

TEXTS = st.text(st.sampled_from("abz éß 19.,'!?-\n$你好。ノ한"), max_size=60)


@pytest.mark.parametrize(
    ("text", "offset", "whole"),
    [
        ("Hello, world", 4, ""),
        ("Hello, world", 5, "Hello"),
        ("Hello, world", 6, "Hello,"),
        ("Hello, world", 99, "Hello, world"),
        # Half of these would say the opposite, or another price.
        ("I can't do it", 5, "I "),
        ("I can't do it", 7, "I can't"),
        ("It is 3.50 now", 7, "It is "),
        ("(yes) no", 4, "(yes"),
        # No spaces to cut at: each character is a word.
        ("我们九点开门。", 3, "我们九"),
        ("a", -1, ""),
        ("", 0, ""),
    ],
)
def test_a_text_is_cut_behind_its_last_whole_word(text: str, offset: int, whole: str) -> None:
    assert text[: whole_words(text, offset)] == whole


@given(TEXTS, st.integers(-5, 70), st.integers(0, 5))
def test_whole_words_never_go_beyond_the_offset_nor_back_in_time(text: str, offset: int, more: int) -> None:
    cut = whole_words(text, offset)
    assert 0 <= cut <= max(min(offset, len(text)), 0)
    assert cut <= whole_words(text, offset + more)


def test_a_voice_speaks_fourteen_letters_a_second_or_a_third_as_many_ideographs() -> None:
    assert speaking_ms("fourteen chars") == pytest.approx(1_000)
    assert speaking_ms("一二三四五六七") == pytest.approx(1_500)


@given(TEXTS)
def test_a_text_takes_as_long_as_its_characters(text: str) -> None:
    for count in range(len(text) + 1):
        assert chars_in(text, speaking_ms(text[:count])) == count
    assert chars_in(text, -1.0) == 0
    assert chars_in(text, 1e9) == len(text)


def test_all_places_of_a_fragment_are_found_whatever_its_spelling() -> None:
    assert find_all("Yes. We open at nine. WE close.", " we ") == [7, 24]
    assert find_all("Die Straße ist da.", "STRASSE") == [10]
    assert find_all("Yes.", "...") == []


@pytest.mark.parametrize(
    ("played", "so_far"),
    [
        (["We open at 9."], "We open at 9."),
        (["We op", "en at"], "We open at"),
        (["we  OPEN at"], "We open at"),
        # Numbers read out.
        (["We open at nine."], "We open at 9."),
        (["We open at nine. On", "Fridays it"], "We open at 9. On Fridays it"),
        (["We open at 9.", "On Fridays it is nineteen fifty"], "We open at 9. On Fridays it is $19.50."),
        # An account lost in between.
        (["We open", "Fridays it is $19"], "We open at 9. On Fridays it is $19"),
        # Not ours: keys that we sent, the rest of an earlier utterance.
        (["1234"], ""),
        (["We open", "5"], "We open"),
        (["Goodbye"], ""),
        ([""], ""),
    ],
)  # fmt: skip
def test_a_platforms_account_is_followed(played: list[str], so_far: str) -> None:
    text = "We open at 9. On Fridays it is $19.50."
    offset = 0
    for piece in played:
        offset = follow(text, piece, offset)
    assert text[:offset] == so_far


@given(TEXTS, st.lists(st.integers(0, 60), max_size=4))
def test_a_faithful_account_in_any_pieces_ends_at_the_last_letter(text: str, cuts: list[int]) -> None:
    offset = 0
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    for begin, end in pairwise(edges):
        before, offset = offset, follow(text, text[begin:end], offset)
        assert offset >= before
    assert squeezed(text[offset:]) == ""
