"""What a caller's words mean as an answer: yes or no, a day, a time, digits, a choice. Pure.

English and Spanish; other languages fall back to digits and to the agent file's own choices.
"""

import re

from agent.agentfile.schema import DialogueSlot
from providers.embedded.matching import Matcher, words

_YES = {
    "en": "yes yeah yep yup sure right correct okay ok please absolutely definitely",
    "es": "sí si vale claro correcto exacto bueno",
}
_NO = {"en": "no nope not wrong incorrect don't", "es": "no incorrecto mal tampoco"}
_CANCEL = {
    "en": ("cancel", "never mind", "forget it", "stop the booking", "i changed my mind", "cancel that"),
    "es": ("cancelar", "cancela", "olvídelo", "déjelo", "he cambiado de idea"),
}
_DAYS = {
    "en": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
    "es": ["lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"],
}
_RELATIVE_DAYS = {"en": ("today", "tomorrow"), "es": ("hoy", "mañana")}
_UNITS: dict[str, dict[str, int]] = {
    "en": {
        word: number
        for number, word in enumerate(
            (
                "zero one two three four five six seven eight nine ten eleven twelve thirteen "
                "fourteen fifteen sixteen seventeen eighteen nineteen twenty"
            ).split()
        )
    }
    | {"oh": 0, "o": 0, "thirty": 30, "forty": 40, "fifty": 50},
    "es": {
        word: number
        for number, word in enumerate(
            (
                "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce "
                "quince dieciséis diecisiete dieciocho diecinueve veinte"
            ).split()
        )
    }
    | {"una": 1, "treinta": 30, "cuarenta": 40, "cincuenta": 50},
}
_REPEAT = {"double": 2, "triple": 3, "doble": 2}


def primary(language: str) -> str:
    """The part of a language tag that these tables go by."""
    return language.split("-", maxsplit=1)[0].casefold()


def yes_or_no(text: str, language: str) -> bool | None:
    """True for yes, False for no, None for neither. A no anywhere beats a yes."""
    said = set(words(text))
    tag = primary(language)
    if said & set(_NO.get(tag, _NO["en"]).split()):
        return False
    if said & set(_YES.get(tag, _YES["en"]).split()):
        return True
    return None


def is_cancel(text: str, language: str) -> bool:
    """The caller gives the dialogue up."""
    said = " ".join(words(text))
    return any(phrase in said for phrase in _CANCEL.get(primary(language), _CANCEL["en"]))


def parse(slot: DialogueSlot, text: str, language: str) -> str | None:
    """The slot's value in `text` as it is read back, or None."""
    match slot.kind:
        case "choice":
            return _choice(slot, text, language)
        case "weekday" | "date":
            return _day(text, language) or (_date(text) if slot.kind == "date" else None)
        case "time":
            return _time(text, language)
        case "digits":
            digits = digits_in(text, language)
            return " ".join(digits) if digits and len(digits) == (slot.digits or len(digits)) else None
        case "number":
            return digits_in(text, language) or None
        case "yes_no":
            answer = yes_or_no(text, language)
            return None if answer is None else ("yes" if answer else "no")
        case "email":
            spoken = re.sub(r"\s*\bat\b\s*", "@", re.sub(r"\s*\bdot\b\s*", ".", text.casefold()))
            found = re.search(r"[\w.+-]+@[\w-]+\.[\w.]+", spoken.replace(" ", ""))
            return found[0] if found else None
        case "name" | "text":
            said = re.sub(
                r"^(my name is|it is|it's|i am|me llamo|soy)\s+", "", text.strip(), flags=re.IGNORECASE
            )
            return said.strip(" .") or None


def digits_in(text: str, language: str) -> str:
    """Digits dictated or keyed in `text`: "oh five double seven" is 0577."""
    units = _UNITS.get(primary(language), _UNITS["en"])
    found = ""
    repeat = 1
    for word in words(text):
        if word in _REPEAT:
            repeat = _REPEAT[word]
            continue
        digits = word if word.isdigit() else str(units[word]) if word in units and units[word] < 10 else ""
        found += digits * repeat
        repeat = 1
    return found


def _choice(slot: DialogueSlot, text: str, language: str) -> str | None:
    choices = (slot.choices or {}).get(language, [])
    said = set(words(text))
    for choice in choices:
        content = [word for word in words(choice) if len(word) > 2]
        if content and all(word in said for word in content):
            return choice
    found = Matcher((choice, choice) for choice in choices).best(text)
    return found[0].key if found else None


def _day(text: str, language: str) -> str | None:
    said = words(text)
    for day in _DAYS.get(primary(language), _DAYS["en"]):
        if day in said or f"{day}s" in said:
            return day.capitalize() if primary(language) == "en" else day
    for day in _RELATIVE_DAYS.get(primary(language), ()):
        if day in said:
            return day
    return None


def _date(text: str) -> str | None:
    found = re.search(
        r"\b(?:the\s+)?(\w+(?:\s\w+)?)\s+of\s+(january|february|march|april|may|june|july|august|september|"
        r"october|november|december)\b",
        text.casefold(),
    )
    return f"the {found[1]} of {found[2]}" if found else None


def _time(text: str, language: str) -> str | None:
    units = _UNITS.get(primary(language), _UNITS["en"])
    names = {number: word for word, number in reversed(units.items()) if word not in ("oh", "o", "una")}
    said = words(text)
    digital = re.search(r"\b(\d{1,2})(?::(\d{2}))?\b", text)
    if digital:
        hour, minute = int(digital[1]), int(digital[2] or 0)
        if hour < 24 and minute < 60:
            return f"{hour}:{minute:02}" if minute else f"{hour} o'clock"
    numbers = [units[word] for word in said if word in units]
    hours = [number for number in numbers if 1 <= number <= 12]
    if "noon" in said or "mediodía" in said:
        return "noon" if primary(language) == "en" else "mediodía"
    if not hours:
        return None
    hour = hours[0]
    if {"half", "media"} & set(said):
        return f"half past {names[hour]}" if primary(language) == "en" else f"{names[hour]} y media"
    if {"quarter", "cuarto"} & set(said):
        side = "to" if "to" in said else "past"
        return f"quarter {side} {names[hour]}" if primary(language) == "en" else f"{names[hour]} y cuarto"
    minutes = [
        number for number in numbers[numbers.index(hour) + 1 :] if number in (10, 15, 20, 30, 40, 45, 50)
    ]
    words_ = names[hour] + (f" {names[minutes[0]]}" if minutes else "")
    if primary(language) != "en":
        return words_
    part = "in the afternoon" if {"afternoon", "pm"} & set(said) else ""
    part = part or ("in the morning" if {"morning", "am"} & set(said) else "")
    clock = "" if minutes or part else " o'clock"
    return f"{words_}{clock} {part}".strip()
