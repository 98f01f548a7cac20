"""How long a silence has to be before the caller's turn is over. Pure.

The words decide: a complete answer needs little silence, a phone number in the middle much. The three
lengths come from the agent file (`turns`), so that one place holds the trade between speed and cutting in.
"""

import re
from collections.abc import Iterable

from agent.agentfile.schema import Turns
from agent.turns.expectation import Expect, Expectation

_YES_NO = frozenset(
    (
        "yes no yeah yep yup nope sure correct right okay ok please absolutely definitely certainly "
        "sí si claro vale oui non ja nein"
    ).split()
)
_FILLERS = frozenset("uh um er erm well oh ah eh este pues euh ben äh ähm also".split())
"""What people say before they answer."""
_DIGIT_WORDS = frozenset(
    (
        "zero oh o one two three four five six seven eight nine "
        "cero uno dos tres cuatro cinco seis siete ocho nueve "
        "null eins zwei zwo drei vier fünf sechs sieben acht neun "
        "zéro un deux trois quatre cinq sept huit neuf"
    ).split()
)
_TEENS = frozenset("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split())
_TENS = frozenset("twenty thirty forty fifty sixty seventy eighty ninety".split())
_REPEATS = {"double": 1, "triple": 2, "doble": 1}
_DICTATED = 3
"""Digits at the end of what was said from which on somebody dictates a number, asked or not."""
_WHOLE_NUMBER = 10
"""Digits of a phone number with its area code, as most people say it (ITU-T E.164 allows 15)."""
_YEAR = re.compile(r"(?:19|20)\d\d")
_AMOUNT = re.compile(r"\d+[:.,]\d+")
_ADDRESS = re.compile(r"(?:@|\bat\b).*(?:\.|\bdot\b|\bpunto\b|\bpoint\b|\bpunkt\b)\s*\w{2,}\W*$")
# A turn that ends in one of these is not over: the sentence hangs.
_HANGING = frozenset(
    (
        "a an the and or but so because to for of in on at with my your is are was if that um uh er "
        "erm like about i i'd i'm we you from by than then maybe also y o pero porque de para con el "
        "la un una en mi que eh este et ou mais de le la un une pour avec und oder aber der die das "
        "ein eine mit für zu"
    ).split()
)
_WHOLE = re.compile(r"\b(?:thank you|see you|how are you)$")
"""... unless it is one of these."""
_QUESTION = re.compile(r"[?!？！]\W*$")
"""Recognisers write these where they understood a whole sentence."""
_STOP = re.compile(r"[.。]\W*$")
"""... and this one wherever somebody paused."""
_WORD = re.compile(r"[\w'@]+")


class Endpointer:
    """Decides on the silence that ends a turn."""

    def __init__(self, turns: Turns, phrases: Iterable[str]) -> None:
        """`phrases`: what callers are known to say; hearing one of them exactly is hearing a whole turn."""
        self._min_ms = float(turns.min_silence_ms)
        self._usual_ms = float(turns.silence_ms)
        self._max_ms = float(turns.max_silence_ms)
        self._phrases = frozenset(_normal(phrase) for phrase in phrases)

    def wait_ms(self, text: str, expectation: Expectation) -> float:
        """Silence after the last voiced sample that ends the turn whose words so far are `text`."""
        normal = _normal(text)
        words = normal.split()
        if not words:
            return self._usual_ms
        if expectation.kind is Expect.DIGITS and (count_digits(words) or normal not in self._phrases):
            return self._number_wait_ms(words, expectation.digits)
        if expectation.kind is Expect.SPELLED:
            short = _is_yes_or_no(words) and len(words) <= _SHORT_WORDS
            return self._min_ms if short or _ADDRESS.search(text.casefold()) else self._max_ms
        if expectation.kind is Expect.YES_NO and _is_yes_or_no(words):
            return self._min_ms
        if normal in self._phrases or _QUESTION.search(text):
            return self._min_ms
        if _hangs(normal):
            return self._max_ms
        if expectation.kind is Expect.SHORT:
            return self._min_ms
        dictated = _dictated(text)
        if dictated >= _WHOLE_NUMBER:
            return self._usual_ms
        # Before the full stop: recognisers write one after each group of a number.
        if dictated:
            return self._max_ms
        return self._min_ms if _STOP.search(text) else self._usual_ms

    def _number_wait_ms(self, words: list[str], wanted: int | None) -> float:
        count = count_digits(words)
        if not count and any(word in _YES_NO for word in words):
            return self._min_ms
        if wanted is None:
            return self._usual_ms if count >= _WHOLE_NUMBER else self._max_ms
        return self._min_ms if count >= wanted else self._max_ms


_SHORT_WORDS = 3
"""An answer, not the beginning of an address ("yes, it is john at …")."""


def _is_yes_or_no(words: list[str]) -> bool:
    """A whole answer to a yes/no question: it begins with one, fillers apart, and does not hang."""
    first = next((word for word in words if word not in _FILLERS), "")
    return first in _YES_NO and not _hangs(" ".join(words))


def _hangs(normal: str) -> bool:
    return normal.rpartition(" ")[2] in _HANGING and not _WHOLE.search(normal)


def _dictated(text: str) -> int:
    """Digits at the end of `text`, said one by one or written together; a year, a time or a price is none."""
    words = _normal(_AMOUNT.sub(" - x", text)).split()
    begin = len(words)
    while begin and count_digits(words[begin - 1 : begin]):
        begin -= 1
    tail = words[begin:]
    if len(tail) == 1 and _YEAR.fullmatch(tail[0]):
        return 0
    single = count_digits([word for word in tail if word not in _TEENS and word not in _TENS])
    return count_digits(tail) if single >= _DICTATED else 0


def count_digits(words: list[str]) -> int:
    """Digits that these words dictate: "oh double five 3 1" and "twelve fifty three" are five and four."""
    count = 0
    tens = False
    for word in words:
        if word.isdigit():
            count += len(word)
        elif word in _DIGIT_WORDS:
            count += 0 if tens else 1
        elif word in _TEENS or word in _TENS:
            count += 2
        else:
            count += _REPEATS.get(word, 0)
        tens = word in _TENS
    return count


def _normal(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))
