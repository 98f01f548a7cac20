"""Days, dates and times as callers say them, and as they are read back. English and Spanish. Pure.

Inside they are plain text that an owner's endpoint can use: `monday`, `tomorrow`, `04-12`, `15:30`.
"""

import re

from providers.embedded.lexicon import ENGLISH, fold, lexicon, primary, words
from providers.embedded.numerals import groups, in_words, numbers_in

FIRST_MORNING_HOUR = 8
"""An hour below this without "morning" or "am" is one of the afternoon: nobody books for three at night."""

_RELATIVE = {"en": {"today": "today", "tomorrow": "tomorrow"}, "es": {"hoy": "today", "manana": "tomorrow"}}
_SPOKEN_DAYS = {
    "es": ("lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"),
}
_SPOKEN_RELATIVE = {"es": {"today": "hoy", "tomorrow": "mañana"}}
_MONTHS = {
    "en": "january february march april may june july august september october november december".split(),
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split(),
}
_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
).split()
_NOT_HOURS = {"one": {"other", "that", "this", "first", "last", "which", "no", "another"}}
_MARKS = {
    "en": re.compile(
        r"\bat \w|\bo'?clock\b|\bhalf (past )?\w|\bquarter (past|to|after)\b"
        r"|\b[ap]\.? ?m\b|\bnoon\b|\bmidday\b|\d:\d"
        r"|\b\w+ (past|to) (one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b"
        r"|\bin the (morning|afternoon|evening)\b"
    ),
    "es": re.compile(
        r"\ba las? \w|\by media\b|\by cuarto\b|\bmenos cuarto\b|\bmediodia\b|\d:\d|\bde la (tarde|manana)\b"
    ),
}
"""What makes a number a time where no time was asked for."""


def day_in(text: str, language: str) -> str | None:
    """The last day named, as its English name, `today` or `tomorrow`: "not Monday, Tuesday" is Tuesday."""
    tables, relative = lexicon(language), _RELATIVE.get(primary(language), {})
    # "Mañana" is tomorrow, "de la mañana" and "por la mañana" are not.
    said = words(re.sub(r"\b(de|por|en) la manana\b", "", fold(text)))
    for word in reversed(said):
        day = word if word in tables.days else re.sub(r"('s|s)$", "", word)
        if day in tables.days:
            return ENGLISH.days[tables.days.index(day)]
        if word in relative:
            return relative[word]
    return None


def spoken_day(day: str, language: str) -> str:
    """A day as read back: `Monday`, `lunes`."""
    tag = primary(language)
    if day in ENGLISH.days:
        names = _SPOKEN_DAYS.get(tag)
        return names[ENGLISH.days.index(day)] if names else day.capitalize()
    return _SPOKEN_RELATIVE.get(tag, {}).get(day, day)


def date_in(text: str, language: str) -> str | None:
    """Month and day as `MM-DD`: "the twelfth of April", "April 12th", "12 de abril"."""
    said = [_ordinal(word) for word in words(text)]
    months = _MONTHS.get(primary(language), _MONTHS["en"])
    for at, word in enumerate(said):
        if word not in months:
            continue
        month = months.index(word)
        behind = numbers_in(said[at + 1 : at + 4], language)
        before = numbers_in(said[max(0, at - 4) : at], language)
        for day in [*reversed(before), *behind]:
            if 1 <= day <= _MONTH_DAYS[month]:
                return f"{month + 1:02}-{day:02}"
    return None


def spoken_date(date: str, language: str) -> str:
    """`04-12` as read back: "the 12th of April", "12 de abril"."""
    month, day = (int(part) for part in date.split("-"))
    if primary(language) == "es":
        return f"{day} de {_MONTHS['es'][month - 1]}"
    ending = "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"the {day}{ending} of {_MONTHS['en'][month - 1].capitalize()}"


def _ordinal(word: str) -> str:
    """ "twelfth" and "12th" as 12; a tens word in front stays ("twenty" "first")."""
    if re.fullmatch(r"\d{1,2}(st|nd|rd|th)", word):
        return word[:-2]
    if word == "thirtieth":
        return "30"
    if word not in _ORDINALS:
        return word
    number = _ORDINALS.index(word) + 1
    # As a word, so that "twenty first" joins to 21.
    return in_words(number, "en")


def time_in(text: str, language: str, *, asked: bool = True) -> str | None:
    """A time of day as `HH:MM`. Unless it was `asked` for, only what cannot be anything else."""
    folded = fold(text)
    spanish = primary(language) == "es"
    if not asked and not _MARKS["es" if spanish else "en"].search(folded):
        return None
    said = words(re.sub(r"(\d)[.:h](\d\d)", r"\1 \2", folded))
    found = (_spanish_clock if spanish else _english_clock)(said)
    if found is None:
        return None
    hour, minute = found
    if hour > 23 or minute > 59:
        return None
    return f"{_whole_day(hour, _part(folded, said)):02}:{minute:02}"


def spoken_time(time: str, language: str) -> str:
    """`15:30` as read back: "half past three in the afternoon", "tres y media de la tarde"."""
    hour, minute = (int(part) for part in time.split(":"))
    if primary(language) == "es":
        return _spoken_spanish(hour, minute)
    if (hour, minute) == (12, 0):
        return "noon"
    name = in_words((hour - 1) % 12 + 1, "en")
    part = "in the evening" if hour >= 18 else "in the afternoon" if hour > 12 else ""
    part = part or ("in the morning" if hour < FIRST_MORNING_HOUR else "")
    if minute == 0:
        clock = name if part else f"{name} o'clock"
    elif minute == 30:
        clock = f"half past {name}"
    elif minute == 15:
        clock = f"quarter past {name}"
    elif minute == 45:
        clock = f"quarter to {in_words(hour % 12 + 1, 'en')}"
    else:
        clock = f"{name} {'oh ' if minute < 10 else ''}{in_words(minute, 'en')}"
    return f"{clock} {part}".strip()


def _spoken_spanish(hour: int, minute: int) -> str:
    def name(each: int) -> str:
        twelve = (each - 1) % 12 + 1
        return "una" if twelve == 1 else in_words(twelve, "es")

    part = "de la tarde" if 12 < hour < 20 else "de la noche" if hour >= 20 else ""
    part = part or ("de la mañana" if hour < FIRST_MORNING_HOUR else "")
    if minute == 45:
        clock = f"{name(hour + 1)} menos cuarto"
    else:
        past = {0: "", 15: " y cuarto", 30: " y media"}.get(minute, f" y {in_words(minute, 'es')}")
        clock = name(hour) + past
    return f"{clock} {part}".strip()


def _english_clock(said: list[str]) -> tuple[int, int] | None:
    if "noon" in said or "midday" in said:
        return 12, 0
    for at, word in enumerate(said):
        if word in ("past", "after", "to", "before", "of") and at > 0:
            minutes = 15 if said[at - 1] == "quarter" else 30 if said[at - 1] == "half" else None
            if minutes is None and (counted := numbers_in(said[max(0, at - 2) : at], "en")):
                minutes = counted[-1]
            hours = numbers_in(said[at + 1 : at + 2], "en")
            if minutes is not None and hours and 1 <= hours[0] <= 23 and minutes < 60:
                return (
                    (hours[0], minutes)
                    if word in ("past", "after")
                    else ((hours[0] - 2) % 12 + 1, 60 - minutes)
                )
        if word == "half" and (hours := numbers_in(said[at + 1 : at + 2], "en")):
            return hours[0], 30
    return _plain_clock(_hours_only(said), "en")


def _spanish_clock(said: list[str]) -> tuple[int, int] | None:
    if "mediodia" in said:
        return 12, 0
    for at, word in enumerate(said):
        before = numbers_in(said[:at], "es")
        if not before or before[-1] > 23 or said[at - 1 : at] not in (["y"], ["menos"]):
            continue
        hour, late = before[-1], said[at - 1] == "y"
        minutes = (
            30 if word == "media" else 15 if word == "cuarto" else next(iter(numbers_in([word], "es")), None)
        )
        if minutes is not None and 0 < minutes < 60 and 1 <= hour <= 23:
            if minutes in range(31, 60) and late is False:
                continue
            return (hour, minutes) if late else ((hour - 2) % 12 + 1, 60 - minutes)
    return _plain_clock(said, "es")


def _plain_clock(said: list[str], language: str) -> tuple[int, int] | None:
    """The last hour said with the minutes behind it: "ten", "ten thirty", "ten oh five"."""
    numbers = groups(said, language)
    last: tuple[int, int] | None = None
    at = 0
    while at < len(numbers):
        hour, digits = numbers[at]
        at += 1
        if len(digits) in (3, 4) and digits.isdecimal():
            hour, minute = int(digits[:-2]), int(digits[-2:])
            if 0 < hour <= 23 and minute < 60:
                last = hour, minute
            continue
        if not 1 <= hour <= 23:
            continue
        minute = 0
        if at < len(numbers) and (10 <= numbers[at][0] < 60):
            minute = numbers[at][0]
            at += 1
        elif at + 1 < len(numbers) and numbers[at][0] == 0 and 0 < numbers[at + 1][0] < 10:
            minute = numbers[at + 1][0]
            at += 2
        last = hour, minute
    return last


def _hours_only(said: list[str]) -> list[str]:
    """Without the "one" of "the other one", and the "to" and "o" that are no numbers."""
    return [
        word
        for at, word in enumerate(said)
        if word != "o'clock" and not (at > 0 and said[at - 1] in _NOT_HOURS.get(word, ()))
    ]


def _part(folded: str, said: list[str]) -> str | None:
    """`am` or `pm`, where it was said."""
    if {"pm", "afternoon", "evening", "tonight", "tarde", "noche"} & set(said):
        return "pm"
    if {"am", "morning"} & set(said) or re.search(r"\b(de|por) la manana\b", folded):
        return "am"
    return None


def _whole_day(hour: int, part: str | None) -> int:
    if part == "pm" and hour < 12:
        return hour + 12
    if part is None and hour < FIRST_MORNING_HOUR:
        return hour + 12
    return hour
