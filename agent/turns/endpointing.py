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
_DIGIT_WORDS = {
    word: count
    for count, words in (
        (
            1,
            "zero oh o one two three four five six seven eight nine ten eleven twelve cero uno dos tres cuatro "
            "cinco seis siete ocho nueve null eins zwei drei vier fünf sechs sieben acht neun deux trois quatre",
        ),
    )
    for word in words.split()
}
_REPEATS = {"double": 1, "triple": 2, "doble": 1}
# A turn that ends in one of these is not over: the sentence hangs.
_HANGING = frozenset(
    (
        "a an the and or but so because to for of in on at with my your is are was if that um uh er "
        "erm like about i i'd i'm we you from by than then maybe also y o pero porque de para con el "
        "la un una en mi que eh este et ou mais de le la un une pour avec und oder aber der die das "
        "ein eine mit für zu"
    ).split()
)
_TERMINAL = re.compile(r"[.!?。！？]\s*$")
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
        if expectation.kind is Expect.DIGITS:
            return self._number_wait_ms(words, expectation.digits)
        if expectation.kind is Expect.SPELLED:
            return self._min_ms if re.search(r"(@|\bat\b).*(\.|\bdot\b)\s*\w{2,}", normal) else self._max_ms
        if expectation.kind is Expect.YES_NO and words[0] in _YES_NO and words[-1] not in _HANGING:
            return self._min_ms
        if normal in self._phrases:
            return self._min_ms
        if words[-1] in _HANGING:
            return self._max_ms
        if expectation.kind is Expect.SHORT or _TERMINAL.search(text):
            return self._min_ms
        # Three digits or more without being asked: somebody dictates a number.
        if count_digits(words[-3:]) >= 3:
            return self._max_ms
        return self._usual_ms

    def _number_wait_ms(self, words: list[str], wanted: int | None) -> float:
        if any(word in _YES_NO for word in words) and not count_digits(words):
            return self._min_ms
        if wanted is None:
            return self._max_ms
        return self._min_ms if count_digits(words) >= wanted else self._max_ms


def count_digits(words: list[str]) -> int:
    """Digits that these words dictate: "oh double five 3 1" are five."""
    count = 0
    for word in words:
        if word.isdigit():
            count += len(word)
        else:
            count += _DIGIT_WORDS.get(word, 0) + _REPEATS.get(word, 0)
    return count


def _normal(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))
