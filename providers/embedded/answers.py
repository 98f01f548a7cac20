"""What a caller's words mean as an answer: yes or no, a day, a time, digits, a choice. Pure.

A value is kept as JSON that an owner's endpoint can use (`15:30`, `5551234`, true), and put into the caller's
language only where it is read back. English and Spanish; other languages fall back to English numbers and to
the agent file's own choices.
"""

import re

from agent.agentfile.schema import DialogueSlot
from providers.embedded.lexicon import fold, lexicon, primary, spread, stem, words
from providers.embedded.matching import Matcher, Phrase
from providers.embedded.moments import date_in, day_in, spoken_date, spoken_day, spoken_time, time_in
from providers.embedded.numerals import digits_in, number_in

Value = str | int | bool

_YES = {
    "en": (
        "yes yeah yep yup yea aye sure right correct okay ok absolutely definitely exactly certainly fine "
        "perfect great affirmative indeed"
    ),
    "es": "si vale claro correcto exacto exactamente perfecto bueno bien supuesto acuerdo asi eso afirmativo",
}
_NO = {
    "en": "no nope nah not wrong incorrect never negative neither",
    "es": "no nada incorrecto mal tampoco negativo nunca",
}
_IDIOMS = {
    "en": (
        (r"\bno (problem|worries|doubt)\b|\bnot (a|any) problem\b|\bwhy not\b", "yes"),
        (
            r"\bof course not\b|\b(not|am) (so )?(sure|certain)\b|\bdo not (know|care)\b|\bright now\b",
            "",
        ),
        (r"^please\b", "yes"),
        (r"\b(of course|go ahead|uh huh|mm ?hmm?|sounds good|you bet|it is)\b$", "yes"),
    ),
    "es": (
        (r"\bno hay problema\b|\bsin problema\b|\bcomo no\b|\bpor que no\b", "si"),
        (r"\bno (lo )?se\b|\bno estoy segur[oa]\b", ""),
    ),
}
"""Where single words mislead: what they are read as instead."""
_CANCEL = {
    "en": (
        "cancel", "never mind", "nevermind", "forget it", "forget about it", "forget that",
        "stop the booking",
        "changed my mind", "leave it", "do not want to book", "do not want an appointment", "do not want it",
        "do not want to make an appointment",
    ),
    "es": (
        "cancelar", "cancela", "cancele", "olvidelo", "olvidalo", "dejelo", "dejalo", "he cambiado de idea",
        "no quiero la cita", "no quiero una cita", "no quiero reservar",
    ),
}  # fmt: skip
_LEAD_IN = re.compile(
    r"^(?:(?:um|uh|er|eh|well|hi|hello|yes|yeah|sure|no|si|bueno|hola)[\s,.]+)*"
    r"(?:(?:the|my) name(?: is|'s)|it is|it's|this is|i am|i'm|call me|me llamo|mi nombre es|soy|es)\s+",
)
_LETTERS = {
    "en": {"at": "@", "dot": ".", "period": ".", "point": ".", "dash": "-", "hyphen": "-", "minus": "-",
           "underscore": "_", "plus": "+"},
    "es": {"arroba": "@", "punto": ".", "guion": "-", "guionbajo": "_", "mas": "+"},
}  # fmt: skip
_ADDRESS = re.compile(r"[a-z0-9](?:[\w.+-]{0,62}[\w+-])?@[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,24}")
_MAX_TEXT_CHARS = 200


def yes_or_no(text: str, language: str) -> bool | None:
    """True for yes, False for no, None for neither. A no anywhere beats a yes, idioms apart."""
    tag = primary(language) if primary(language) in _YES else "en"
    said = " ".join(spread(text))
    for pattern, meaning in _IDIOMS[tag]:
        said = re.sub(pattern, meaning, said)
    heard = set(said.split())
    if heard & set(_NO[tag].split()):
        return False
    return True if heard & set(_YES[tag].split()) else None


def is_cancel(text: str, language: str) -> bool:
    """The caller gives the dialogue up; "do not cancel" does not."""
    tag = primary(language) if primary(language) in _CANCEL else "en"
    said = f" {' '.join(spread(text))} "
    if re.search(r" (not|no|never|nunca) (want to |quiero )?cancel\w* ", said):
        return False
    return any(f" {phrase} " in said for phrase in _CANCEL[tag])


def parse(slot: DialogueSlot, text: str, language: str, *, asked: bool = True) -> Value | None:
    """The slot's value in `text`, or None. Unless it was `asked` for, only what cannot be meant otherwise."""
    match slot.kind:
        case "choice":
            return _choice(slot, text, language, asked=asked)
        case "weekday":
            return day_in(text, language)
        case "date":
            return date_in(text, language) or day_in(text, language)
        case "time":
            return time_in(text, language, asked=asked)
        case "digits":
            digits = digits_in(text, language)
            fits = len(digits) == slot.digits if slot.digits else len(digits) > 0
            return digits if fits and (asked or len(digits) > 4) else None
        case "number":
            return number_in(text, language) if asked else None
        case "yes_no":
            return yes_or_no(text, language) if asked else None
        case "email":
            return _email(text, language)
        case "name":
            return _name(text) if asked else None
        case "text":
            return text.strip()[:_MAX_TEXT_CHARS] or None if asked else None


def spoken(slot: DialogueSlot, value: Value, language: str) -> str:
    """A value as it is read back to the caller."""
    text = str(value)
    match slot.kind:
        case "choice":
            return _in_language(slot, text, language)
        case "weekday":
            return spoken_day(text, language)
        case "date":
            return spoken_date(text, language) if text[:1].isdigit() else spoken_day(text, language)
        case "time":
            return spoken_time(text, language)
        case "digits":
            return " ".join(text)
        case "yes_no":
            return {"es": ("no", "sí")}.get(primary(language), ("no", "yes"))[bool(value)]
        case _:
            return text


def _choice(slot: DialogueSlot, text: str, language: str, *, asked: bool) -> str | None:
    """One of the choices; the last one said, so that "not a check up, a vaccination" is a vaccination."""
    choices = (slot.choices or {}).get(language, [])
    found = [
        (at, choice)
        for choice in choices
        if (at := _last_place(_content(choice, language), text, language)) >= 0
    ]
    if found:
        return _canonical(slot, max(found)[1], language)
    if not asked:
        return None
    best = Matcher((Phrase(choice, choice) for choice in choices), language).pick(text)
    return _canonical(slot, best.key, language) if best else None


def _content(choice: str, language: str) -> list[str]:
    tables = lexicon(language)
    content = [word for word in spread(choice) if word not in tables.light]
    return content or spread(choice)


def _last_place(content: list[str], text: str, language: str) -> int:
    """Where in `text` a choice was said, with all its words or as a compound ("checkup"); -1: nowhere."""
    suffixes = lexicon(language).suffixes
    said = spread(text)
    joined = "".join(content)
    if joined in said:
        return said.index(joined)
    stems = [stem(word, suffixes) for word in said]
    places = []
    for word in content:
        wanted = stem(word, suffixes)
        if wanted not in stems:
            return -1
        places.append(len(stems) - 1 - stems[::-1].index(wanted))
    return max(places)


def _canonical(slot: DialogueSlot, choice: str, language: str) -> str:
    """The choice in the agent file's first language, where the lists go side by side."""
    lists = slot.choices or {}
    first = next(iter(lists.values()))
    at = lists[language].index(choice)
    return first[at] if len(first) == len(lists[language]) else choice


def _in_language(slot: DialogueSlot, choice: str, language: str) -> str:
    lists = slot.choices or {}
    wanted = lists.get(language, [])
    first = next(iter(lists.values()), [])
    if choice in wanted or choice not in first or len(first) != len(wanted):
        return choice
    return wanted[first.index(choice)]


def _email(text: str, language: str) -> str | None:
    folded = fold(text)
    written = _ADDRESS.search(folded)
    if written is not None and "@" in folded:
        return written[0]
    letters = _LETTERS.get(primary(language), _LETTERS["en"])
    said = re.sub(r"guion bajo", "guionbajo", folded)
    # What stands before the last "is" is a lead-in, and no part of the address, unless nothing is left then.
    starts = [
        0,
        *(match.end() for match in re.finditer(r"\b(?:is|it's|es|address|email|e-mail|correo)\b", said)),
    ]
    for start in reversed(starts):
        characters = (letters.get(word) or _character(word, language) for word in said[start:].split())
        written = _ADDRESS.search("".join(characters))
        if written is not None:
            return written[0]
    return None


def _character(word: str, language: str) -> str:
    word = word.strip(",;:!?").removesuffix(".")
    return digits_in(word, language) or word


def _name(text: str) -> str | None:
    """A name without what leads in to it; capitals where a recogniser wrote none."""
    said = text.strip(" .,!?")
    lead = _LEAD_IN.match(fold(said))
    # Folding keeps the length of what the lead-in can be: it has no accents.
    name = said[lead.end() :].strip(" .,!?") if lead else said
    if not words(name) or any(char.isdigit() for char in name) or len(words(name)) > 5:
        return None
    return (
        name[:_MAX_TEXT_CHARS]
        if name != name.lower()
        else " ".join(part.capitalize() for part in name.split())
    )
