"""Which of several known questions did the caller ask? Pure and fast: hundreds of phrases in some 0.1 ms.

Each phrase is scored by how much of it was said (recall) and how much of what was said it explains
(precision), small words counting little, with some tolerance for a recogniser's slips. A wrong answer is
worse than an honest "I do not know", so guards keep apart what word overlap (and embeddings) confuse:

* a negation on one side only ("I do not want to book an appointment");
* another day, unless the answer speaks of that day too; other numbers;
* words that the phrase cannot explain ("how much is a *colonoscopy*") each cost extra;
* two different answers that fit equally well: neither is taken.
"""

import functools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from providers.embedded.lexicon import Lexicon, fold, lexicon, sound, spread, stem

THRESHOLD = 0.66
"""Score below which nothing matches. Chosen on the tables in the tests: paraphrases above, strangers below."""
ACTION_THRESHOLD = 0.74
"""The same for what does something (hangs up, transfers, starts a booking)."""
TIE = 0.02
"""Two answers closer than this are equally likely."""
CERTAIN = 0.95
"""From here a match is the phrase itself; ties are no doubt then."""
_CONTAINED = 0.9
"""Score of a phrase said whole and in order at the end of a longer sentence."""
_LIGHT_WEIGHT = 0.2
_QUESTION_WEIGHT = 0.6
_NUMBER_WEIGHT = 0.3
_STRANGER_WEIGHT = 1.3
_STRANGER_COST = 0.85
_MAX_STRANGERS_BEFORE = 4
"""Words of one's own in front of a phrase that is said whole: more is no longer a sentence around it."""
_MAX_WORDS = 60
"""More of a turn is not looked at: nobody asks a question in so many words."""
_CACHED = 512
"""Sentences remembered: the turns of some dozens of calls, each looked at again in every later turn."""
_SLIP_LETTERS, _TWO_SLIPS_LETTERS = 5, 8
"""Words of so many letters may differ by one slip, by two: shorter ones have too many neighbours."""
_QUESTIONS = frozenset("where who when why which whose donde quien cuando cuanto cuantos porque".split())
_INVERTED = re.compile(
    r"^(do|does|did|is|are|was|can|could|would|will|have|has) not (you|i|there|it|we|they|he|she|the|your|that)\b"
)


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
class Match:
    """A candidate and how well it fits, 0 to 1."""

    key: str
    score: float


@dataclass(frozen=True, slots=True)
class _Known:
    """A phrase made ready."""

    phrase: Phrase
    tokens: tuple[str, ...]
    weights: dict[str, float]
    total: float
    content: frozenset[str]
    days: frozenset[str]
    numbers: frozenset[str]
    negated: bool


@dataclass(slots=True)
class _Said:
    """A caller's sentence made ready, with or without its courtesies."""

    tokens: tuple[str, ...]
    weights: list[float]
    days: frozenset[str]
    numbers: frozenset[str]
    negated: bool
    like: list[dict[str, float]] = field(default_factory=list)
    """For each token: the words of the phrases that it may be."""


class Matcher:
    """Finds the best of many phrases of one language."""

    def __init__(self, phrases: Iterable[Phrase], language: str, extras: Iterable[str] = ()) -> None:
        """`extras`: texts whose words never stand in the way of an `any_day` phrase (choices of a form)."""
        self._lexicon = lexicon(language)
        given = list(phrases)
        self._split, self._joined = _compounds(given)
        self._known = [self._make_known(phrase) for phrase in given]
        self._extras = frozenset(token for text in extras for token in self._tokens(text))
        self._weigh()
        vocabulary = {token for known in self._known for token in known.tokens}
        self._by_token: dict[str, list[int]] = defaultdict(list)
        for index, known in enumerate(self._known):
            for token in known.content or known.tokens:
                self._by_token[token].append(index)
        self._vocabulary = frozenset(vocabulary)
        self._by_sound: dict[str, list[str]] = defaultdict(list)
        for token in sorted(vocabulary):
            self._by_sound[sound(token)].append(token)
        self._cached = functools.lru_cache(_CACHED)(self._find)

    def best(self, text: str) -> tuple[Match, ...]:
        """Candidates above their threshold, best first, one per key."""
        return self._cached(" ".join(spread(text)[:_MAX_WORDS]))

    def pick(self, text: str) -> Match | None:
        """The best candidate, if there is no doubt that it is the best."""
        found = self.best(text)
        if not found:
            return None
        if len(found) > 1 and found[0].score - found[1].score < TIE and found[0].score < CERTAIN:
            return None
        return found[0]

    def _find(self, text: str) -> tuple[Match, ...]:
        full, bare = self._said(text, whole=True), self._said(text, whole=False)
        found: dict[str, float] = {}
        for index in self._candidates(full, bare):
            known = self._known[index]
            score = self._score(full if known.phrase.whole else bare, known)
            least = ACTION_THRESHOLD if known.phrase.action else THRESHOLD
            if score >= least and score > found.get(known.phrase.key, 0.0):
                found[known.phrase.key] = score
        return tuple(Match(key, score) for key, score in sorted(found.items(), key=lambda item: -item[1]))

    def _candidates(self, *sentences: _Said) -> list[int]:
        tokens = {token for said in sentences for like in said.like for token in like}
        return sorted({index for token in tokens for index in self._by_token.get(token, ())})

    def _score(self, said: _Said, known: _Known) -> float:
        if said.negated != known.negated or not self._days_agree(said, known):
            return 0.0
        if not known.content:
            return _CONTAINED if said.tokens == known.tokens or self._contained(said, known) else 0.0
        covered: dict[str, float] = {}
        spoken = used = 0.0
        cost = 1.0
        for token, weight, like in zip(said.tokens, said.weights, said.like, strict=True):
            if known.phrase.any_day and (
                token in said.days or token in said.numbers or token in self._extras
            ):
                if token not in known.weights:
                    continue
            fit = 0.0
            for word, likeness in like.items():
                if word in known.weights:
                    fit = max(fit, likeness)
                    covered[word] = max(covered.get(word, 0.0), likeness)
            spoken += weight
            used += weight * fit
            if not fit and weight > _QUESTION_WEIGHT:
                cost *= _STRANGER_COST
        if not spoken or not known.total:
            return 0.0
        recall = sum(known.weights[word] * likeness for word, likeness in covered.items()) / known.total
        precision = used / spoken
        score = 2 * recall * precision / (recall + precision) * cost if recall + precision else 0.0
        return max(score, _CONTAINED) if self._contained(said, known) else score

    def _days_agree(self, said: _Said, known: _Known) -> bool:
        if known.phrase.any_day:
            return True
        if known.numbers and said.numbers and known.numbers != said.numbers:
            return False
        if said.days == known.days:
            return True
        # "Are you open on Monday?" is answered by "Monday to Friday"; "… on Saturday?" is not.
        return bool(said.days) and said.days <= known.phrase.covers and not known.days & known.phrase.covers

    def _contained(self, said: _Said, known: _Known) -> bool:
        """The phrase stands in the sentence word for word, and nothing behind it changes its meaning."""
        size = len(known.tokens)
        if size < 2:
            return False
        for start in range(len(said.tokens) - size + 1):
            if said.tokens[start : start + size] == known.tokens:
                behind = said.weights[start + size :]
                before = sum(weight > _QUESTION_WEIGHT for weight in said.weights[:start])
                return before <= _MAX_STRANGERS_BEFORE and all(weight <= _NUMBER_WEIGHT for weight in behind)
        return False

    def _make_known(self, phrase: Phrase) -> _Known:
        tokens = self._tokens(phrase.text, whole=phrase.whole)
        days, numbers = self._days(tokens), self._numbers(tokens)
        content = frozenset(
            token
            for token in tokens
            if token not in days and (phrase.whole or self._weight(token) > _LIGHT_WEIGHT)
        )
        negated = bool(self._lexicon.negations & set(tokens))
        kept = tuple(token for token in tokens if token not in days)
        return _Known(phrase, kept, {}, 0.0, content, days, numbers, negated)

    def _weigh(self) -> None:
        """Rare words tell more than those that many answers share."""
        keys = len({known.phrase.key for known in self._known}) or 1
        shared = Counter(
            token
            for _, token in {(known.phrase.key, token) for known in self._known for token in known.tokens}
        )
        self._rarity = {
            token: 1.0 + 0.3 * math.log(keys / count) / math.log(keys + 1) for token, count in shared.items()
        }
        for at, known in enumerate(self._known):
            weights = {token: self._weight(token) * self._rarity[token] for token in known.tokens}
            self._known[at] = _Known(
                known.phrase, known.tokens, weights, sum(weights.values()), known.content, known.days,
                known.numbers, known.negated,
            )  # fmt: skip

    def _weight(self, token: str) -> float:
        if token in self._lexicon.light:
            return _LIGHT_WEIGHT
        return _QUESTION_WEIGHT if token in _QUESTIONS else 1.0

    def _said(self, text: str, *, whole: bool) -> _Said:
        tokens = self._tokens(_plain_question(text), whole=whole)
        days, numbers = self._days(tokens), self._numbers(tokens)
        negated = bool(self._lexicon.negations & set(tokens))
        kept = tuple(token for token in tokens if token not in days)
        said = _Said(kept, [], days, numbers, negated)
        for token in kept:
            like = self._alike(token)
            known = next((self._rarity[word] for word in like), None)
            weight = self._weight(token)
            if token in numbers or token.isdigit():
                weight = _NUMBER_WEIGHT
            elif weight == 1.0:
                weight = known if known is not None else _STRANGER_WEIGHT
            said.weights.append(weight)
            said.like.append(like)
        return said

    def _days(self, tokens: Iterable[str]) -> frozenset[str]:
        return frozenset(
            token for token in tokens if token in self._lexicon.days or token in self._lexicon.when
        )

    def _numbers(self, tokens: Iterable[str]) -> frozenset[str]:
        return frozenset(token for token in tokens if token in self._lexicon.numbers or token.isdigit())

    def _tokens(self, text: str, *, whole: bool = False) -> tuple[str, ...]:
        """Words in the one form that stands for all of their kind."""
        words = self._compounded(spread(text))
        merged: list[str] = []
        for word in words:
            if merged and (meaning := self._lexicon.pairs.get((merged[-1], word))) is not None:
                merged[-1] = meaning
            else:
                merged.append(word)
        kept = merged if whole else _without(merged, self._lexicon)
        return tuple(_form(word, self._lexicon) for word in kept)

    def _compounded(self, words: list[str]) -> list[str]:
        """ "check up" and "checkup", "sun day" and "Sunday": as the phrases write them."""
        found: list[str] = []
        for word in words:
            if found and (joined := found[-1] + word) in self._joined:
                found[-1] = joined
            elif word in self._split:
                found += self._split[word]
            else:
                found.append(word)
        return found

    def _alike(self, token: str) -> dict[str, float]:
        """Words of the phrases that `token` may be, with likeness: itself, or what it sounds or looks like."""
        if token in self._vocabulary:
            return {token: 1.0}
        if len(token) < 4 or token.isdigit() or self._guarded(token):
            return {}
        like = {
            word: 0.9
            for word in self._by_sound.get(sound(token), ())
            if len(word) >= 3 and abs(len(word) - len(token)) <= 2 and not self._guarded(word)
        }
        if len(token) >= _SLIP_LETTERS and not like:
            slips = 2 if len(token) >= _TWO_SLIPS_LETTERS else 1
            for word in self._vocabulary:
                if (
                    len(word) >= _SLIP_LETTERS
                    and abs(len(word) - len(token)) <= slips
                    and not self._guarded(word)
                    and within(token, word, slips)
                ):
                    like[word] = 0.85
        return like

    def _guarded(self, token: str) -> bool:
        """Words that must never be taken for one another."""
        tables = self._lexicon
        return (
            token in tables.light
            or token in tables.negations
            or token in tables.days
            or token in tables.when
            or token in tables.numbers
        )


def days_of(answer: str, language: str) -> frozenset[str]:
    """The days that an answer speaks of; "Monday to Friday" means five."""
    tables = lexicon(language)
    said = [
        word.removesuffix("s") if word.removesuffix("s") in tables.days else word for word in spread(answer)
    ]
    found = {word for word in said if word in tables.days}
    for first, between, last in zip(said, said[1:], said[2:], strict=False):
        if between in tables.until and first in tables.days and last in tables.days:
            start, end = tables.days.index(first), tables.days.index(last)
            found |= {tables.days[at % 7] for at in range(start, (end if end >= start else end + 7) + 1)}
    return frozenset(found)


def within(one: str, other: str, slips: int) -> bool:
    """True if `one` becomes `other` by at most `slips` letters put in, left out or replaced."""
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, 1):
        last, row[0] = row[0], at
        for column, wanted in enumerate(other, 1):
            last, row[column] = (
                row[column],
                min(row[column] + 1, row[column - 1] + 1, last + (letter != wanted)),
            )
        if min(row) > slips:
            return False
    return row[-1] <= slips


def _plain_question(text: str) -> str:
    """ "Don't you have parking?" denies nothing, nor does the "no" of "no I want to speak to a person"."""
    text = _INVERTED.sub(r"\1 \2", text)
    return re.sub(r"^no (thank|thanks|i|that|can|what|where|when|how|gracias)\b", r"\1", text)


def _without(words: list[str], tables: Lexicon) -> list[str]:
    return [word for word in words if word not in tables.courtesy]


def _form(word: str, tables: Lexicon) -> str:
    if word in tables.light or word in tables.negations or word in tables.numbers:
        return word
    day = word.removesuffix("s")
    if day in tables.days or day in tables.when or word in tables.days or word in tables.when:
        return day if day in tables.days or day in tables.when else word
    if word in tables.synonyms:
        word = tables.synonyms[word]
    elif word.removesuffix("s") in tables.synonyms:
        word = tables.synonyms[word.removesuffix("s")]
    return stem(word, tables.suffixes)


def _compounds(phrases: list[Phrase]) -> tuple[dict[str, list[str]], frozenset[str]]:
    """What to take apart (written as two words in a phrase), and what to put together (written as one)."""
    split: dict[str, list[str]] = {}
    single: set[str] = set()
    for phrase in phrases:
        said = spread(fold(phrase.text))
        single.update(word for word in said if len(word) >= 6)
        for first, second in zip(said, said[1:], strict=False):
            if len(first) + len(second) >= 6 and min(len(first), len(second)) >= 2:
                split.setdefault(first + second, [first, second])
    return {word: parts for word, parts in split.items() if word not in single}, frozenset(single)
