"""Answers to what a dialogue asked."""

import pytest

from agent.agentfile.schema import DialogueSlot, SlotKind
from providers.embedded.answers import is_cancel, parse, spoken, yes_or_no


def slot(kind: SlotKind, **more: object) -> DialogueSlot:
    return DialogueSlot.model_validate({"name": "it", "kind": kind, "ask": {"en": "?", "es": "?"}, **more})


VISIT = slot(
    "choice",
    choices={
        "en": ["a consultation", "a check up", "a vaccination"],
        "es": ["consulta", "chequeo", "vacuna"],
    },
)


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "Yes.",
        "yeah",
        "yep sure",
        "that's right",
        "that is correct",
        "okay",
        "of course",
        "go ahead",
        "perfect",
        "no problem",
        "why not",
        "yes please",
        "uh huh",
        "sounds good",
        "yes that's not a problem",
        "absolutely",
    ],
)
def test_yes(text: str) -> None:
    assert yes_or_no(text, "en-GB") is True


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "nope",
        "No, thank you.",
        "that's not right",
        "that is wrong",
        "that's incorrect",
        "of course not no",
        "yes no",
    ],
)
def test_no(text: str) -> None:
    assert yes_or_no(text, "en") is False


@pytest.mark.parametrize(
    "text", ["", "monday", "i don't know", "i'm not sure", "what did you say", "one moment"]
)
def test_neither(text: str) -> None:
    assert yes_or_no(text, "en") is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("sí", True),
        ("si claro", True),
        ("vale", True),
        ("de acuerdo", True),
        ("eso es", True),
        ("cómo no", True),
        ("no", False),
        ("no, gracias", False),
        ("está mal", False),
        ("no lo sé", None),
        ("el lunes", None),
    ],
)
def test_yes_and_no_in_spanish(text: str, answer: bool | None) -> None:
    assert yes_or_no(text, "es-MX") is answer


@pytest.mark.parametrize(
    ("text", "language", "given_up"),
    [
        ("never mind", "en", True),
        ("Please cancel that.", "en", True),
        ("forget it", "en", True),
        ("i've changed my mind", "en", True),
        ("i don't want to book anymore", "en", True),
        ("do not cancel", "en", False),
        ("i don't want to cancel", "en", False),
        ("monday", "en", False),
        ("olvídelo", "es", True),
        ("he cambiado de idea", "es", True),
        ("no cancele", "es", False),
    ],
)
def test_giving_up(text: str, language: str, given_up: bool) -> None:
    assert is_cancel(text, language) is given_up


@pytest.mark.parametrize(
    ("text", "language", "choice"),
    [
        ("a check up please", "en", "a check up"),
        ("checkup", "en", "a check up"),
        ("check-up", "en", "a check up"),
        ("the vaccination", "en", "a vaccination"),
        ("I think a consultation.", "en", "a consultation"),
        ("not a check up, a vaccination", "en", "a vaccination"),
        ("vacinnation", "en", "a vaccination"),
        ("un chequeo", "es", "a check up"),
        ("a haircut", "en", None),
        ("", "en", None),
    ],
)
def test_a_choice_is_kept_in_the_first_language(text: str, language: str, choice: str | None) -> None:
    assert parse(VISIT, text, language) == choice


def test_a_choice_is_read_back_in_the_callers_language() -> None:
    assert spoken(VISIT, "a check up", "es") == "chequeo"
    assert spoken(VISIT, "a check up", "en") == "a check up"
    uneven = slot("choice", choices={"en": ["red", "blue"], "es": ["rojo"]})
    assert parse(uneven, "rojo", "es") == "rojo"
    assert spoken(uneven, "rojo", "en") == "rojo"


@pytest.mark.parametrize(
    ("text", "language", "day", "read_back"),
    [
        ("on Monday please", "en", "monday", "Monday"),
        ("mondays", "en", "monday", "Monday"),
        ("not monday, tuesday", "en", "tuesday", "Tuesday"),
        ("tomorrow", "en", "tomorrow", "tomorrow"),
        ("el miércoles", "es", "wednesday", "miércoles"),
        ("el sabado", "es", "saturday", "sábado"),
        ("mañana por la mañana", "es", "tomorrow", "mañana"),
    ],
)
def test_days(text: str, language: str, day: str, read_back: str) -> None:
    assert parse(slot("weekday"), text, language) == day
    assert spoken(slot("weekday"), day, language) == read_back


@pytest.mark.parametrize(
    ("text", "language", "date", "read_back"),
    [
        ("the twelfth of April", "en", "04-12", "the 12th of April"),
        ("April 21st", "en", "04-21", "the 21st of April"),
        ("december thirty first", "en", "12-31", "the 31st of December"),
        ("friday", "en", "friday", "Friday"),
        ("el 3 de mayo", "es", "05-03", "3 de mayo"),
    ],
)
def test_dates(text: str, language: str, date: str, read_back: str) -> None:
    assert parse(slot("date"), text, language) == date
    assert spoken(slot("date"), date, language) == read_back


@pytest.mark.parametrize("text", ["the thirty second of may", "may i come", "february thirty", "soon"])
def test_what_is_no_date(text: str) -> None:
    assert parse(slot("date"), text, "en") is None


@pytest.mark.parametrize(
    ("text", "time", "read_back"),
    [
        ("ten", "10:00", "ten o'clock"),
        ("at ten thirty", "10:30", "half past ten"),
        ("half past ten", "10:30", "half past ten"),
        ("half ten", "10:30", "half past ten"),
        ("quarter to eleven", "10:45", "quarter to eleven"),
        ("10:30 a.m.", "10:30", "half past ten"),
        ("3 p.m.", "15:00", "three in the afternoon"),
        ("9am", "09:00", "nine o'clock"),
        ("three", "15:00", "three in the afternoon"),
        ("three in the morning", "03:00", "three in the morning"),
        ("twenty past nine", "09:20", "nine twenty"),
        ("ten oh five", "10:05", "ten oh five"),
        ("noon", "12:00", "noon"),
        ("no, at eleven o'clock", "11:00", "eleven o'clock"),
        ("1030", "10:30", "half past ten"),
        ("seven in the evening", "19:00", "seven in the evening"),
        ("five to one", "12:55", "twelve fifty five"),
    ],
)
def test_times(text: str, time: str, read_back: str) -> None:
    assert parse(slot("time"), text, "en") == time
    assert spoken(slot("time"), time, "en") == read_back


@pytest.mark.parametrize(
    ("text", "time", "read_back"),
    [
        ("a las diez", "10:00", "diez"),
        ("diez y media", "10:30", "diez y media"),
        ("a las once menos cuarto", "10:45", "once menos cuarto"),
        ("a la una", "13:00", "una de la tarde"),
        ("a las tres de la tarde", "15:00", "tres de la tarde"),
        ("diez y veinte", "10:20", "diez y veinte"),
        ("mediodía", "12:00", "doce"),
        ("a las siete de la mañana", "07:00", "siete de la mañana"),
    ],
)
def test_times_in_spanish(text: str, time: str, read_back: str) -> None:
    assert parse(slot("time"), text, "es") == time
    assert spoken(slot("time"), time, "es") == read_back


@pytest.mark.parametrize("text", ["tuesday", "the other one", "any time", "99", "25:00"])
def test_what_is_no_time(text: str) -> None:
    assert parse(slot("time"), text, "en") is None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("5551234", "en"),
        ("555 1234", "en"),
        ("555-1234", "en"),
        ("five five five one two three four", "en"),
        ("triple five one two three four", "en"),
        ("five fifty five twelve thirty four", "en"),
        ("it is five double five one two three four", "en"),
        ("cinco cinco cinco doce treinta y cuatro", "es"),
    ],
)
def test_digits(text: str, language: str) -> None:
    phone = slot("digits", digits=7)
    assert parse(phone, text, language) == "5551234"
    assert spoken(phone, "5551234", language) == "5 5 5 1 2 3 4"


def test_digits_of_another_length_are_not_the_answer() -> None:
    assert parse(slot("digits", digits=7), "five five five", "en") is None
    assert parse(slot("digits"), "oh oh seven", "en") == "007"
    assert parse(slot("digits"), "none", "en") is None


@pytest.mark.parametrize(
    ("text", "language", "number"),
    [
        ("twenty one", "en", 21),
        ("two hundred and fifty", "en", 250),
        ("twelve thousand three hundred", "en", 12_300),
        ("3", "en", 3),
        ("one two", "en", 12),
        ("mil doscientos treinta y cinco", "es", 1235),
        ("some", "en", None),
    ],
)
def test_numbers(text: str, language: str, number: int | None) -> None:
    assert parse(slot("number"), text, language) == number


@pytest.mark.parametrize(
    ("text", "language", "address"),
    [
        ("my email is john dot smith at g mail dot com", "en", "john.smith@gmail.com"),
        ("It's jane_doe@example.co.uk.", "en", "jane_doe@example.co.uk"),
        ("a b underscore nine at example dash one dot org", "en", "ab_9@example-1.org"),
        ("mi correo es ana arroba ejemplo punto es", "es", "ana@ejemplo.es"),
        ("i have none", "en", None),
        ("@", "en", None),
    ],
)
def test_email_addresses(text: str, language: str, address: str | None) -> None:
    assert parse(slot("email"), text, language) == address


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("my name is anna smith", "Anna Smith"),
        ("It's Anna.", "Anna"),
        ("me llamo josé garcía", "José García"),
        ("McDonald", "McDonald"),
        ("um this is bob", "Bob"),
        ("", None),
        ("5551234", None),
        ("i would rather not tell you that today", None),
    ],
)
def test_names(text: str, name: str | None) -> None:
    assert parse(slot("name"), text, "en") == name


def test_yes_no_and_free_text() -> None:
    assert parse(slot("yes_no"), "yes please", "en") is True
    assert spoken(slot("yes_no"), False, "es") == "no"
    assert parse(slot("text"), " my knee hurts ", "en") == "my knee hurts"
    assert parse(slot("text"), " ", "en") is None


@pytest.mark.parametrize(
    ("kind", "text"),
    [("time", "ten"), ("digits", "one two"), ("number", "three"), ("name", "bob"), ("yes_no", "yes")],
)
def test_what_was_not_asked_for_is_only_taken_where_it_is_plain(kind: SlotKind, text: str) -> None:
    assert parse(slot(kind), text, "en") is not None
    assert parse(slot(kind), text, "en", asked=False) is None
