"""Which of several known questions did the caller ask? Pure and fast: a few hundred phrases in well under 1 ms.

Words are weighed by how rare they are among the phrases, and compared with some tolerance for a recogniser's
errors. Two guards keep near-misses apart that word overlap (and embeddings) confuse: a negation on one side
only, and different days or numbers.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

THRESHOLD = 0.62
"""Score below which nothing matches. Chosen on the table in the tests: paraphrases above, strangers below."""
TIE = 0.04
"""Two answers closer than this are equally likely."""

_NEGATIONS = frozenset(("not don't dont no never isn't can't won't nunca nicht kein pas").split())
_CLASHING = frozenset(
    (
        "monday tuesday wednesday thursday friday saturday sunday today tomorrow weekend weekends "
        "lunes martes miércoles jueves viernes sábado domingo sábados domingos"
    ).split()
)
_LIGHT = frozenset(
    (
        "a an the is are was do does did i you we they it my your me us to of for in on at and or "
        "please can could would like want have has there that this with um uh er hi hello so well "
        "tell know el la los las un una de en y o que mi su por favor es está"
    ).split()
)


@dataclass(frozen=True, slots=True)
class Match:
    """A candidate and how well it fits, 0 to 1."""

    key: str
    score: float


class Matcher:
    """Finds the best of many (key, phrases)."""

    def __init__(self, phrases: Iterable[tuple[str, str]], *, days_matter: bool = True) -> None:
        """`phrases`: pairs of key and one way to ask it. `days_matter`: different days, different question."""
        self._days_matter = days_matter
        self._phrases = [(key, tuple(words(phrase))) for key, phrase in phrases]
        counts = Counter(word for _, phrase in self._phrases for word in set(phrase))
        total = max(len(self._phrases), 1)
        self._weights = {
            word: (0.25 if word in _LIGHT else 1.0) * (1.0 + math.log(total / count) / 4)
            for word, count in counts.items()
        }

    def best(self, text: str) -> list[Match]:
        """Candidates above the threshold, best first, one per key."""
        said = words(text)
        if not said:
            return []
        found: dict[str, float] = {}
        for key, phrase in self._phrases:
            score = self._score(said, phrase)
            if score >= THRESHOLD and score > found.get(key, 0.0):
                found[key] = score
        return [Match(key, score) for key, score in sorted(found.items(), key=lambda item: -item[1])]

    def _score(self, said: list[str], phrase: tuple[str, ...]) -> float:
        negated = bool(_NEGATIONS & set(said)) != bool(_NEGATIONS & set(phrase))
        other_day = self._days_matter and (_CLASHING & set(said)) ^ (_CLASHING & set(phrase))
        if negated or other_day:
            return 0.0
        wanted = covered = 0.0
        for word in phrase:
            weight = self._weights.get(word, 1.0)
            wanted += weight
            covered += weight * max((_alike(word, other) for other in said), default=0.0)
        spoken = used = 0.0
        for word in said:
            if not self._days_matter and word in _CLASHING:
                continue
            weight = self._weights.get(word, 0.25 if word in _LIGHT else 1.5)
            spoken += weight
            used += weight * max((_alike(word, other) for other in phrase), default=0.0)
        recall, precision = covered / wanted, used / spoken
        return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


def words(text: str) -> list[str]:
    """Lower-case words without punctuation; accents stay."""
    return re.findall(r"[\w']+", unicodedata.normalize("NFC", text).casefold())


def _alike(one: str, other: str) -> float:
    """1 for the same word, less for the same stem or a small slip, else 0."""
    if one == other:
        return 1.0
    if len(one) < 4 or len(other) < 4:
        return 0.0
    shared = 0
    while shared < min(len(one), len(other)) and one[shared] == other[shared]:
        shared += 1
    longest = max(len(one), len(other))
    return 0.85 if shared >= 4 and shared / longest >= 0.6 else 0.0
