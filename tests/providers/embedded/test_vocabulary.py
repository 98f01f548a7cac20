"""What callers are expected to say."""

from providers.embedded.vocabulary import MAX_PHRASES, MAX_WORDS, PHRASE_WEIGHT, sentences, spoken


def said(phrases: tuple[str, ...], language: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for weight, words in sentences(phrases, language):
        text = " ".join(words)
        if not text:
            continue  # a sound without words
        found[text] = max(found.get(text, 0.0), weight)
    return found


def test_words_lose_case_punctuation_and_curly_apostrophes() -> None:
    assert spoken("What\u2019s the \u201cprice\u201d, please?") == ("what's", "the", "price", "please")


def test_quotation_marks_are_no_apostrophes() -> None:
    assert spoken("'hello' it's me") == ("hello", "it's", "me")


def test_an_endless_phrase_is_left_out() -> None:
    assert spoken("word " * (MAX_WORDS + 1)) == ()
    assert "word word" not in said(("word " * 30,), "en")


def test_phrases_weigh_most_and_come_framed_as_people_frame_them() -> None:
    found = said(("are you open",), "en")
    assert found["are you open"] == PHRASE_WEIGHT == max(found.values())
    assert 0 < found["hello are you open"] < PHRASE_WEIGHT
    assert 0 < found["are you open please"] < PHRASE_WEIGHT


def test_days_dates_hours_and_answers_are_expected_in_each_language() -> None:
    english, spanish = said((), "en"), said((), "es")
    for text in ("on tuesday", "half past nine", "the third of march", "that is right", "no on friday"):
        assert text in english
    for text in ("el martes", "a las nueve y media", "sí por favor", "mañana"):
        assert text in spanish


def test_digit_strings_are_the_same_at_every_start() -> None:
    assert list(sentences((), "en")) == list(sentences((), "en"))
    digits = set("zero oh one two three four five six seven eight nine".split())
    assert sum(digits.issuperset(text.split()) and len(text.split()) >= 3 for text in said((), "en")) > 200


def test_of_a_language_without_a_list_only_the_phrases_are_known() -> None:
    assert list(said(("wann haben sie geöffnet",), "de")) == ["wann haben sie geöffnet"]


def test_a_huge_agent_file_is_bounded() -> None:
    phrases = tuple(f"question number {n}" for n in range(MAX_PHRASES + 10))
    found = said(phrases, "de")
    assert len(found) == MAX_PHRASES
