"""How well a caller's sentence fits one known phrase. Pure.

A phrase is scored by how much of it was said (recall) and how much of what was said it explains (precision),
small words counting little. The guards are described in `providers.embedded.matching`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

LIGHT_WEIGHT = 0.2
QUESTION_WEIGHT = 0.6
NUMBER_WEIGHT = 0.3
STRANGER_WEIGHT = 1.3
"""A word that no phrase has is likely what the question is really about."""
DAY_WEIGHT = 1.0
STRANGER_COST = 0.85
"""For each word that the phrase cannot explain, and for a yes-or-no question in the place of a "who"."""
CONTAINED = 0.9
"""Score of a phrase said whole and in order at the end of a longer sentence."""
LITTLE = 0.79
"""How alike a phrase of small words only ("how do I get there") must be."""
MAX_STRANGERS_BEFORE = 4
"""Words of one's own in front of a phrase that is said whole: more is no longer a sentence around it."""

QUESTIONS = frozenset("where who when why whose donde quien cuando porque".split())
_OTHER_MATTER = QUESTIONS | frozenset(("price", "precio"))
"""Asked about an action, these ask for something else than the action."""
_YES_NO = frozenset("is are am was were do does did can could will would has have".split())
_ASKED = re.compile(r"(?<!how )\b(do|did|should|must|does) (i|we|you)\b")
_I = frozenset("i im me my we us our let".split())


@dataclass(frozen=True, slots=True)
class Phrase:
    """One way to say something."""

    key: str
    text: str
    action: bool = False
    """Something is done about it, so it needs a surer match."""
    whole: bool = False
    """Courtesies are the message itself ("thank you very much"), not to be dropped."""
    any_day: bool = False
    """Days, times and `extras` may stand in it: they answer later questions."""
    covers: frozenset[str] = frozenset()
    """Days that the answer speaks of."""


@dataclass(frozen=True, slots=True)
class Known:
    """A phrase made ready. `tokens` without days."""

    phrase: Phrase
    tokens: tuple[str, ...]
    weights: dict[str, float]
    total: float
    content: frozenset[str]
    days: frozenset[str]
    numbers: frozenset[str]
    negated: bool


@dataclass(slots=True)
class Said:
    """A caller's sentence made ready, with or without its courtesies. `tokens` without days."""

    tokens: tuple[str, ...]
    weights: list[float]
    days: frozenset[str]
    numbers: frozenset[str]
    negated: bool
    like: list[dict[str, float]] = field(default_factory=list)
    """For each token: the words of the phrases that it may be."""

    def content(self) -> list[int]:
        """Places of the words that carry meaning."""
        return [at for at, weight in enumerate(self.weights) if weight > NUMBER_WEIGHT]


def score(said: Said, known: Known, extras: frozenset[str], own: frozenset[str]) -> float:
    """0 to 1. `own`: words of the other phrases of the same key, which are no strangers to it."""
    phrase = known.phrase
    if said.negated != known.negated or not days_agree(said, phrase, known.days, known.numbers):
        return 0.0
    if phrase.action and not meant(said, known.tokens):
        return 0.0
    if not known.content and phrase.action:
        return CONTAINED if contained(said, known) else 0.0
    fit = _overlap(said, known, extras, own)
    if not known.content and fit < LITTLE:
        fit = 0.0
    return max(fit, CONTAINED) if contained(said, known) else fit


def _overlap(said: Said, known: Known, extras: frozenset[str], own: frozenset[str]) -> float:
    covered: dict[str, float] = {}
    day = 0.0
    if said.days and not known.phrase.any_day:
        day = DAY_WEIGHT if said.days == known.days else DAY_WEIGHT / 2
    spoken = used = day
    cost = 1.0
    for token, weight, like in zip(said.tokens, said.weights, said.like, strict=True):
        aside = token in said.numbers or token in extras
        if known.phrase.any_day and aside and token not in known.weights:
            continue
        best = 0.0
        for word, likeness in like.items():
            if word in known.weights:
                best = max(best, likeness)
                covered[word] = max(covered.get(word, 0.0), likeness)
        if not best and weight > NUMBER_WEIGHT:
            if not known.phrase.action and not own.isdisjoint(like):
                weight = NUMBER_WEIGHT
            elif weight > QUESTION_WEIGHT:
                cost *= STRANGER_COST
        spoken += weight
        used += weight * best
    if known.content & QUESTIONS - covered.keys() and said.tokens and said.tokens[0] in _YES_NO:
        cost *= STRANGER_COST
    if not spoken or not used:
        return 0.0
    found = day + sum(known.weights[word] * likeness for word, likeness in covered.items())
    recall, precision = found / (known.total + day), used / spoken
    return 2 * recall * precision / (recall + precision) * cost


def days_agree(said: Said, phrase: Phrase, days: frozenset[str], numbers: frozenset[str]) -> bool:
    """The sentence speaks of no other day or number than the phrase, or than its answer."""
    if phrase.any_day:
        return True
    if numbers and said.numbers and numbers != said.numbers:
        return False
    if said.days == days:
        return True
    # "Are you open on Monday?" is answered by "Monday to Friday"; "… on Saturday?" is not.
    return bool(said.days) and said.days | days <= phrase.covers


def meant(said: Said, tokens: Sequence[str]) -> bool:
    """The caller wants it done: "do I need an appointment?" and "are you done?" only ask."""
    heard = set(said.tokens)
    if (heard & _OTHER_MATTER) - set(tokens):
        return False
    if _ASKED.search(" ".join(said.tokens)) and not _ASKED.search(" ".join(tokens)):
        return False
    return not ("you" in heard and "i" in tokens and not heard & _I)


def contained(said: Said, known: Known) -> bool:
    """The phrase stands in the sentence word for word, and nothing behind it changes its meaning."""
    size = len(known.tokens)
    if said.tokens == known.tokens:
        return True
    if size < 2:
        return False
    for start in range(len(said.tokens) - size + 1):
        if said.tokens[start : start + size] == known.tokens:
            behind = said.weights[start + size :]
            before = sum(weight > QUESTION_WEIGHT for weight in said.weights[:start])
            return before <= MAX_STRANGERS_BEFORE and all(weight <= NUMBER_WEIGHT for weight in behind)
    return False
