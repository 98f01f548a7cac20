"""Generated text, cut into pieces worth speaking."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sentences import MAX_CHARS, MIN_CLAUSE_CHARS, SentenceSplitter, speakable


def pieces(*fed: str) -> list[str]:
    splitter = SentenceSplitter()
    found = [piece for text in fed for piece in splitter.feed(text)]
    rest = splitter.flush()
    return [*found, rest] if rest else found


def letter_by_letter(text: str) -> list[str]:
    return pieces(*text)


def test_the_first_clause_leaves_as_soon_as_it_is_there() -> None:
    # The caller is waiting: neither the sentence's end nor the next sentence may hold it back.
    splitter = SentenceSplitter()
    assert splitter.feed("We are open from Monday to Friday,") == []
    assert splitter.feed(" from") == ["We are open from Monday to Friday,"]
    assert splitter.feed(" eight to six, and on Saturdays, by") == []
    assert splitter.feed(" appointment. ") == ["from eight to six, and on Saturdays, by appointment."]


def test_a_first_clause_that_would_be_over_at_once_waits() -> None:
    assert len("Well, yes, of course,") < MIN_CLAUSE_CHARS
    assert pieces("Well, yes, of course, we are. ") == ["Well, yes, of course, we are."]


@pytest.mark.parametrize(
    "sentences",
    [
        ["Yes.", "We are open!", "Anything else?"],
        ["No.", "We are closed on Sundays."],
        ["Is it open?", "Nr. 5 is.", "Good."],
        ["It costs 3.50 euros.", "See example.com for more."],
        ["Dr. Smith is in.", "Mrs. Jones, e.g. today, is not."],
        ["She said “no.”", "He said (maybe.)", "Well…", "good."],
        ["Room no. 12 is free."],
        ["Wir haben am 5. Mai geöffnet.", "Um 9. März schließen wir."],
        ["We close at 9.", "May I help you?"],
        ["你好。", "我们九点开门！", "他说「好。」", "谢谢"],
        ["1. Call us.", "2. Come by."],
    ],
)
def test_sentences_are_cut_at_their_ends(sentences: list[str]) -> None:
    spaced = "".join if "。" in sentences[0] else " ".join
    text = "\n".join(sentences) if sentences[0].startswith("1.") else spaced(sentences)
    assert pieces(text) == sentences


@pytest.mark.parametrize(
    "text", ["Yes. We are open! Anything else?", "No. We are closed.", "am 5. Mai. Gut."]
)
def test_it_makes_no_difference_in_which_tokens_short_sentences_come(text: str) -> None:
    assert letter_by_letter(text) == pieces(text)


def test_a_one_word_answer_leaves_with_the_next_letter() -> None:
    splitter = SentenceSplitter()
    assert splitter.feed("No. ") == []
    assert splitter.feed("W") == ["No."]
    splitter = SentenceSplitter()
    assert splitter.feed("Yes. ") == ["Yes."]


def test_a_line_break_ends_a_sentence_whatever_stands_before_it() -> None:
    assert pieces("Opening hours\nMonday: nine\n\n\nPlan b.\nThat is all") == [
        "Opening hours", "Monday: nine", "Plan b.", "That is all",
    ]  # fmt: skip


def test_what_cannot_be_spoken_is_dropped() -> None:
    assert pieces("... ", "Yes. ", "*** ", "!!! ") == ["Yes."]
    assert not speakable("—…!")
    assert speakable("9")
    assert speakable("好")


@pytest.mark.parametrize("separator", [" ", ", ", ""])
def test_a_sentence_without_end_is_cut_somewhere_sensible(separator: str) -> None:
    text = separator.join(["word"] * 400)
    for found in (pieces(text), letter_by_letter(text)):
        assert all(len(piece) <= MAX_CHARS for piece in found)
        assert all(len(piece) > MAX_CHARS / 2 for piece in found[1:-1])
        if separator:
            assert all(
                piece.strip(", ").startswith("word") and piece.rstrip(", ").endswith("word")
                for piece in found
            )


def test_a_long_sentence_that_comes_whole_is_cut_too() -> None:
    assert all(len(piece) <= MAX_CHARS for piece in pieces("word " * 200 + "end. Next."))


def test_a_splitter_is_empty_after_a_flush() -> None:
    splitter = SentenceSplitter()
    splitter.feed("Half a sentence")
    assert splitter.flush() == "Half a sentence"
    assert splitter.flush() is None


@given(st.lists(st.text(st.sampled_from('abN.o5 ,?!\n。好»"Mai'), max_size=12), max_size=30))
def test_no_word_is_lost_doubled_or_moved(tokens: list[str]) -> None:
    found = pieces(*tokens)
    assert letters("".join(found)) == letters("".join(tokens))
    assert all(piece == piece.strip() and speakable(piece) and len(piece) <= MAX_CHARS for piece in found)


def letters(text: str) -> str:
    return "".join(char for char in text if char.isalnum())
