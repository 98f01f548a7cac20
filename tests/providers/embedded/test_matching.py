"""The guards of matching, on phrases of no particular agent."""

import pytest

from providers.embedded.lexicon import sound, spread, words
from providers.embedded.matching import Matcher, Phrase, days_of, within


def key(matcher: Matcher, text: str) -> str | None:
    found = matcher.pick(text)
    return found.key if found else None


@pytest.fixture(scope="module")
def shop() -> Matcher:
    return Matcher(
        (
            Phrase("hours", "when do you open", covers=frozenset(("monday", "tuesday"))),
            Phrase("sunday", "are you open on sunday", covers=frozenset(("sunday",))),
            Phrase("not_today", "why do you not deliver"),
            Phrase("bus_two", "where does bus two stop"),
            Phrase("garden", "do you sell garden chairs"),
            Phrase("order", "i want to order a chair", action=True, any_day=True),
            Phrase("thanks", "thank you very much", whole=True),
            Phrase("bye", "goodbye", action=True),
        ),
        "en",
    )


def test_the_phrase_itself_is_certain(shop: Matcher) -> None:
    (found, *_) = shop.best("When do you open?")
    assert (found.key, round(found.score, 6)) == ("hours", 1.0)


@pytest.mark.parametrize("text", ["i do not want to order a chair", "i never want to order a chair"])
def test_a_negation_on_one_side_only_is_no_match(shop: Matcher, text: str) -> None:
    assert key(shop, text) is None


def test_a_negated_phrase_wants_a_negated_sentence(shop: Matcher) -> None:
    assert key(shop, "why don't you deliver") == "not_today"
    assert key(shop, "why do you deliver") is None


def test_a_negated_question_denies_nothing(shop: Matcher) -> None:
    assert key(shop, "don't you sell garden chairs") == "garden"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("when do you open on monday", "hours"),
        ("when do you open on wednesday", None),
        ("when do you open tomorrow", None),
        ("are you open on sundays", "sunday"),
        ("are you open on saturday", None),
    ],
)
def test_another_day_is_another_question_unless_the_answer_speaks_of_it(
    shop: Matcher, text: str, expected: str | None
) -> None:
    assert key(shop, text) == expected


def test_another_number_is_another_question(shop: Matcher) -> None:
    assert key(shop, "where does bus two stop") == "bus_two"
    assert key(shop, "where does bus three stop") is None


def test_a_form_may_be_started_with_days_and_times_in_the_sentence(shop: Matcher) -> None:
    assert key(shop, "i want to order a chair for monday at half past ten") == "order"


@pytest.mark.parametrize(
    "text", ["do i want to order a chair", "why would i order a chair", "you want to order a chair"]
)
def test_talking_about_an_action_is_not_asking_for_it(shop: Matcher, text: str) -> None:
    assert key(shop, text) is None


def test_a_word_that_no_phrase_explains_is_what_the_question_is_about(shop: Matcher) -> None:
    assert key(shop, "do you sell garden gnomes") is None
    assert key(shop, "do you sell chairs") == "garden"


def test_two_answers_that_fit_alike_are_not_guessed_between() -> None:
    matcher = Matcher((Phrase("one", "the red door"), Phrase("other", "the blue door")), "en")
    assert key(matcher, "the door") is None
    assert key(matcher, "the red door") == "one"


def test_a_phrase_said_whole_at_the_end_of_a_story_is_found_but_not_with_more_behind_it(
    shop: Matcher,
) -> None:
    assert key(shop, "my neighbour told me to ask when do you open") == "hours"
    assert key(shop, "when do you open your second branch downtown") is None


def test_courtesies_are_dropped_from_questions_but_can_be_the_message(shop: Matcher) -> None:
    assert key(shop, "hello could you please tell me when do you open thanks") == "hours"
    assert key(shop, "thank you very much") == "thanks"
    assert key(shop, "thank you very much goodbye") == "bye"


@pytest.mark.parametrize(
    "text", ["do you sell gardin chares", "do you sell garden-chairs", "do you sell gardenchairs"]
)
def test_slips_of_a_recogniser_are_forgiven(shop: Matcher, text: str) -> None:
    assert key(shop, text) == "garden"


@pytest.mark.parametrize("text", ["", "...", "the of to", "um", "\ud83d\ude42", "do " * 5_000])
def test_nothing_is_found_in_nothing(shop: Matcher, text: str) -> None:
    assert shop.best(text) == ()


def test_an_agent_without_phrases_understands_nothing() -> None:
    assert Matcher((), "en").best("when do you open") == ()


def test_a_language_without_tables_is_matched_by_its_words() -> None:
    matcher = Matcher((Phrase("hours", "Wann haben Sie geöffnet"),), "de-DE")
    assert key(matcher, "wann haben sie geoffnet") == "hours"
    assert key(matcher, "wann haben sie nicht geöffnet") is None


@pytest.mark.parametrize(
    ("answer", "language", "days"),
    [
        ("We are open Monday to Wednesday.", "en", "monday tuesday wednesday"),
        ("From Saturday to Monday.", "en", "saturday sunday monday"),
        ("On Fridays and on Sunday.", "en", "friday sunday"),
        ("De lunes a miércoles.", "es", "lunes martes miercoles"),
        ("Always.", "en", ""),
    ],
)
def test_the_days_of_an_answer(answer: str, language: str, days: str) -> None:
    assert days_of(answer, language) == frozenset(days.split())


def test_words_are_folded_and_contractions_written_out() -> None:
    assert words("Sábado, ¿NO? It’s 10:30") == ["sabado", "no", "it's", "10", "30"]
    assert spread("I can't, she won't, they're") == "i can not she will not they are".split()


@pytest.mark.parametrize(
    ("one", "other"), [("ours", "hours"), ("flew", "flu"), ("wait", "weight"), ("prize", "price")]
)
def test_homophones_share_a_sound(one: str, other: str) -> None:
    assert sound(one) == sound(other)


def test_slips_are_counted() -> None:
    assert within("parking", "barking", 1)
    assert within("", "", 0)
    assert not within("parking", "marketing", 1)
    assert within("consultation", "consulation", 1)
