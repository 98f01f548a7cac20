"""What callers say to any agent besides the agent file's own phrases: days, dates, times, numbers. Pure.

Sentences with weights, for `providers.embedded.trigram`.
"""

import itertools
import random
import re
from collections.abc import Iterable, Iterator

Sentence = tuple[float, tuple[str, ...]]

PHRASE_WEIGHT = 30.0
"""An agent file's phrase against one day, hour or date. Of 3 to 50, 20 to 50 were alike."""
_ANSWER_WEIGHT = 30.0
"""A day by itself: with less, "tuesday" was heard as the digits "two three"."""
_NOTHING_WEIGHT = 1_500.0
"""A sound without words: a cough, a knock."""
_FRAMED_WEIGHT = 0.3
"""A phrase after "um" or before "please"."""
MAX_PHRASES = 2_000
MAX_WORDS = 24
"""Bounds on what an agent file may ask for: more phrases, or longer ones, are left out."""

_DIGITS = {
    "en": "zero oh one two three four five six seven eight nine",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve",
}
_DAYS = {
    "en": "monday tuesday wednesday thursday friday saturday sunday today tomorrow",
    "es": "lunes martes miércoles jueves viernes sábado domingo hoy mañana",
}
_MONTHS = {
    "en": "january february march april may june july august september october november december",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
}
_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth thirtieth"
).split() + [
    f"twenty {ordinal}" for ordinal in "first second third fourth fifth sixth seventh eighth ninth".split()
]
_HOURS = {
    "en": "one two three four five six seven eight nine ten eleven twelve",
    "es": "una dos tres cuatro cinco seis siete ocho nueve diez once doce",
}
_MINUTES = "ten|fifteen|twenty|thirty|forty|forty five|fifty"
_NUMBERS = (
    "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty "
    "fifty sixty seventy eighty ninety hundred thousand"
)
_SHORT = {
    "en": (
        "yes|no|yeah|yep|nope|sure|okay|correct|right|yes please|no thanks|no thank you|that's right|"
        "that is right|that's correct|no that's wrong|of course|never mind|hello|hi|goodbye|bye|thank you|"
        "thanks|not really|i don't know|i'm not sure|mhm|mm hmm|uh huh|hmm|mm|aha|"
        "no on {day}|yes on {day}|no at {hour}"
    ),
    "es": "sí|no|sí por favor|no gracias|claro|vale|correcto|gracias|adiós|hola|no sé|ajá|mm|no el {day}",
}
_OPENERS = {
    "en": "um|uh|well|so|and|hi|hello|okay|yes|please|can you tell me|could you tell me|i'd like to know",
    "es": "eh|bueno|hola|sí|por favor|me puede decir",
}
_CLOSERS = {"en": "please|thank you|thanks|today", "es": "por favor|gracias"}
_DIGIT_STRINGS, _DIGIT_WEIGHT = 300, 2.0
"""How many random strings of digits teach that any digit may follow any other, and for how much."""
_WORD = re.compile(r"[\w']+")


def spoken(phrase: str) -> tuple[str, ...]:
    """The words of `phrase` as the recogniser writes them; empty if it is too long to be of use."""
    words = tuple(word.strip("'_") for word in _WORD.findall(phrase.casefold().replace("\u2019", "'")))
    words = tuple(word for word in words if word)
    return words if len(words) <= MAX_WORDS else ()


def sentences(phrases: Iterable[str], language: str) -> Iterator[Sentence]:
    """What to expect of a caller in `language` ("en", "es"; of others only the phrases are known)."""
    yield _NOTHING_WEIGHT, ()
    opened = [tuple(text.split()) for text in _OPENERS.get(language, "").split("|") if text]
    closed = [tuple(text.split()) for text in _CLOSERS.get(language, "").split("|") if text]
    for phrase in itertools.islice(phrases, MAX_PHRASES):
        words = spoken(phrase)
        if not words:
            continue
        yield PHRASE_WEIGHT, words
        for before in opened:
            yield _FRAMED_WEIGHT, before + words
        for after in closed:
            yield _FRAMED_WEIGHT, words + after
    general = itertools.chain(_short(language), _dates(language), _times(language), _numbers(language))
    for weight, text in general:
        yield weight, tuple(text.split())


def _short(language: str) -> Iterator[tuple[float, str]]:
    days, hours = _DAYS.get(language, "").split(), _HOURS.get(language, "").split()
    for text in filter(None, _SHORT.get(language, "").split("|")):
        if "{" not in text:
            yield 10.0, text
        for day in days if "{day}" in text else ():
            yield 0.3, text.format(day=day)
        for hour in hours if "{hour}" in text else ():
            yield 0.3, text.format(hour=hour)


def _dates(language: str) -> Iterator[tuple[float, str]]:
    days, hours = _DAYS.get(language, "").split(), _HOURS.get(language, "").split()
    if language == "en":
        for day in days:
            yield from (
                (_ANSWER_WEIGHT, day),
                (_ANSWER_WEIGHT, f"on {day}"),
                (4.0, f"next {day}"),
                (4.0, f"this {day}"),
            )
            yield from ((4.0, f"{day} {part}") for part in ("morning", "afternoon", "evening"))
            yield from ((0.8, f"{day} at {hour}") for hour in hours)
        for month, ordinal in itertools.product(_MONTHS["en"].split(), _ORDINALS):
            yield 0.5, f"the {ordinal} of {month}"
            yield 0.25, f"{month} the {ordinal}"
        yield from ((4.0, f"{part} {what}") for part in ("next", "this") for what in ("week", "month"))
    if language == "es":
        for day in days:
            yield from (
                (_ANSWER_WEIGHT, day),
                (_ANSWER_WEIGHT, f"el {day}"),
                (4.0, f"el {day} por la mañana"),
            )
            yield from ((0.8, f"el {day} a las {hour}") for hour in hours)
        for month, number in itertools.product(_MONTHS["es"].split(), _DIGITS["es"].split()):
            yield 0.5, f"el {number} de {month}"


def _times(language: str) -> Iterator[tuple[float, str]]:
    hours = _HOURS.get(language, "").split()
    if language == "en":
        for hour in hours:
            yield from (
                (1.0, hour),
                (2.0, f"at {hour}"),
                (8.0, f"{hour} o'clock"),
                (1.0, f"at {hour} o'clock"),
            )
            yield from (
                (8.0, f"half past {hour}"),
                (4.0, f"quarter past {hour}"),
                (4.0, f"quarter to {hour}"),
            )
            yield from ((0.6, f"at half past {hour}"), (2.4, f"{hour} a m"), (2.4, f"{hour} p m"))
            yield from ((2.4, f"{hour} in the {part}") for part in ("morning", "afternoon", "evening"))
            yield from ((2.4, f"{hour} {minutes}") for minutes in _MINUTES.split("|"))
            yield from ((0.2, f"at {hour} {minutes}") for minutes in _MINUTES.split("|"))
        yield from ((4.0, text) for text in ("noon", "at noon", "in the morning", "in the afternoon"))
    if language == "es":
        for hour in hours:
            yield from ((8.0, f"a las {hour}"), (4.0, f"las {hour}"), (4.0, f"a las {hour} y media"))
            yield from ((2.4, f"a las {hour} y cuarto"), (2.4, f"a las {hour} de la tarde"))


def _numbers(language: str) -> Iterator[tuple[float, str]]:
    digits = _DIGITS.get(language, "").split()
    if not digits:
        return
    # The same strings every time: a recogniser that changes between starts cannot be tested.
    chance = random.Random(1)
    for _ in range(_DIGIT_STRINGS):
        count = chance.choice((3, 4, 5, 6, 7, 7, 7, 8, 9, 10))
        yield _DIGIT_WEIGHT, " ".join(chance.choice(digits) for _ in range(count))
    if language == "en":
        yield from ((0.3, number) for number in _NUMBERS.split())
        yield from ((0.1, f"{ten} {one}") for ten in _NUMBERS.split()[10:18] for one in digits[2:])
        yield from ((0.3, f"double {digit}") for digit in digits)
