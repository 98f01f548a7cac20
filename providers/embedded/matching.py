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
import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from providers.embedded.lexicon import Lexicon, fold, lexicon, sound, spread, stem
from providers.embedded.scoring import (
    LIGHT_WEIGHT,
    NUMBER_WEIGHT,
    QUESTION_WEIGHT,
    QUESTIONS,
    STRANGER_WEIGHT,
    Known,
    Phrase,
    Said,
    days_agree,
    meant,
    score,
)

__all__ = ["Match", "Matcher", "Phrase", "days_of"]

THRESHOLD = 0.66
"""Score below which nothing matches. Chosen on the tests' tables: paraphrases above, strangers below."""
ACTION_THRESHOLD = 0.74
"""The same for what does something (hangs up, transfers, starts a booking)."""
TIE = 0.02
"""Two answers closer than this are equally likely."""
CERTAIN = 0.95
"""From here a match is the phrase itself; ties are no doubt then."""
_LONE = 0.8
"""Score of one word that stands for a whole topic ("insurance, please"), and of words all of one topic."""
_MAX_LONE_WORDS = 6
_MINOR = 0.95
"""What courtesies count against something that is asked."""
_MAX_WORDS = 60
"""More of a turn is not looked at: nobody asks a question in so many words."""
_CACHED = 512
"""Sentences remembered: the turns of some dozens of calls, each looked at again in every later turn."""
_SLIP_LETTERS, _TWO_SLIPS_LETTERS = 5, 8
"""Words of so many letters may differ by one slip, by two: shorter ones have too many neighbours."""
_INVERTED = re.compile(
    r"^(do|does|did|is|are|was|can|could|would|will|have|has) not "
    r"(you|i|there|it|we|they|he|she|the|your|that)\b"
)
_ONLY_ASKS = frozenset("is are am was were do does did".split())


@dataclass(frozen=True, slots=True)
class Match:
    """A candidate and how well it fits, 0 to 1."""

    key: str
    score: float


@dataclass(frozen=True, slots=True)
class _Topic:
    """All phrases of one key together. Keys with a denial among them have none."""

    sample: Phrase
    words: frozenset[str]
    exclusive: frozenset[str]
    """Words that no other key has."""
    lone: frozenset[str]
    """Exclusive words that stand in most of the key's phrases: they name the topic."""
    numbers: frozenset[str]


class Matcher:
    """Finds the best of many phrases of one language."""

    def __init__(self, phrases: Iterable[Phrase], language: str, extras: Iterable[str] = ()) -> None:
        """`extras`: texts whose words never stand in the way of an `any_day` phrase (choices of a form)."""
        self._lexicon = lexicon(language)
        self._heads = self._lexicon.heads
        given = list(phrases)
        self._split, self._joined = _compounds(given)
        self._known = [self._make_known(phrase) for phrase in given]
        self._extras = frozenset(token for text in extras for token in self._tokens(text))
        self._extras |= self._lexicon.times
        self._weigh()
        self._topics = self._make_topics()
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
            phrase = known.phrase
            topic = self._topics.get(phrase.key)
            own = topic.words if topic else frozenset()
            fit = score(full if phrase.whole else bare, known, self._extras, own)
            fit *= _MINOR if phrase.whole else 1.0
            least = ACTION_THRESHOLD if phrase.action or phrase.whole else THRESHOLD
            if fit >= least and fit > found.get(phrase.key, 0.0):
                found[phrase.key] = fit
        if not found:
            found = {key: _LONE for key, topic in self._topics.items() if _about(bare, topic)}
        return tuple(Match(key, fit) for key, fit in sorted(found.items(), key=lambda item: -item[1]))

    def _candidates(self, *sentences: Said) -> list[int]:
        tokens = {token for said in sentences for like in said.like for token in like}
        return sorted({index for token in tokens for index in self._by_token.get(token, ())})

    def _make_known(self, phrase: Phrase) -> Known:
        tokens = self._tokens(phrase.text, whole=phrase.whole)
        days, numbers = self._days(tokens), self._numbers(tokens)
        content = frozenset(
            token
            for token in tokens
            if token not in days and (phrase.whole or self._weight(token) > LIGHT_WEIGHT)
        )
        negated = bool(self._lexicon.negations & set(tokens))
        kept = tuple(token for token in tokens if token not in days)
        return Known(phrase, kept, {}, 0.0, content, days, numbers, negated)

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
            self._known[at] = replace(known, weights=weights, total=sum(weights.values()))

    def _make_topics(self) -> dict[str, _Topic]:
        by_key: dict[str, list[Known]] = defaultdict(list)
        for known in self._known:
            by_key[known.phrase.key].append(known)
        keys_of = Counter(
            token for group in by_key.values() for token in {t for known in group for t in known.content}
        )
        topics: dict[str, _Topic] = {}
        for key, group in by_key.items():
            counts = Counter(token for known in group for token in known.content)
            exclusive = frozenset(token for token in counts if keys_of[token] == 1)
            lone = frozenset(
                t for t in exclusive if counts[t] * 2 > len(group) and t not in self._extras | QUESTIONS
            )
            numbers = frozenset(token for known in group for token in known.numbers)
            if not any(known.negated for known in group):
                topics[key] = _Topic(group[0].phrase, frozenset(counts), exclusive, lone, numbers)
        return topics

    def _weight(self, token: str) -> float:
        if token in self._lexicon.light:
            return LIGHT_WEIGHT
        return QUESTION_WEIGHT if token in QUESTIONS else 1.0

    def _said(self, text: str, *, whole: bool) -> Said:
        tokens = self._tokens(_plain_question(text), whole=whole)
        days, numbers = self._days(tokens), self._numbers(tokens)
        negated = bool(self._lexicon.negations & set(tokens))
        kept = tuple(token for token in tokens if token not in days)
        said = Said(kept, [], days, numbers, negated)
        for token in kept:
            like = self._alike(token)
            known = next((self._rarity[word] for word in like), None)
            weight = self._weight(token)
            if token in numbers or token.isdigit():
                weight = NUMBER_WEIGHT
            elif weight == 1.0:
                weight = known if known is not None else STRANGER_WEIGHT
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
        words = [word for word, _ in itertools.groupby(spread(text))]
        # Before courtesies go ("cuánto vale"), and after ("how uh much").
        words = self._merged(self._compounded(words))
        if not whole:
            words = self._merged([word for word in words if word not in self._lexicon.courtesy])
        return tuple(_form(word, self._lexicon, self._heads) for word in words)

    def _merged(self, words: list[str]) -> list[str]:
        """Pairs that mean one word, as that."""
        merged: list[str] = []
        for word in words:
            if merged and (meaning := self._lexicon.pairs.get((merged[-1], word))) is not None:
                merged[-1] = meaning
            else:
                merged.append(word)
        return merged

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
        """Words of the phrases that `token` may be, with likeness: itself, or what it sounds like."""
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


def _about(said: Said, topic: _Topic) -> bool:
    """Only words of this topic were said, and one of them can be of no other."""
    phrase = topic.sample
    content = [said.like[at] for at in said.content()]
    if (
        not content
        or phrase.whole
        or said.negated
        or not days_agree(said, phrase, said.days & phrase.covers, topic.numbers)
    ):
        return False
    if len(content) == 1:
        only_asks = phrase.action and (said.tokens[0] in _ONLY_ASKS or not meant(said, ()))
        return len(said.tokens) <= _MAX_LONE_WORDS and not only_asks and not topic.lone.isdisjoint(content[0])
    if phrase.action or any(topic.words.isdisjoint(like) for like in content):
        return False
    return any(not topic.exclusive.isdisjoint(like) for like in content)


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


def _form(word: str, tables: Lexicon, heads: frozenset[str]) -> str:
    single = word.removesuffix("s")
    for each in (word, single):
        if each in tables.days or each in tables.when:
            return each
    if word in tables.light or word in tables.negations or word in tables.numbers:
        return word
    for each in (word, single):
        if each in tables.synonyms or each in heads:
            return tables.synonyms.get(each, each)
    return stem(word, tables.suffixes)


def _compounds(phrases: list[Phrase]) -> tuple[dict[str, list[str]], frozenset[str]]:
    """What to take apart (written as two words in a phrase), and what to put together (written as one)."""
    split: dict[str, list[str]] = {}
    single: set[str] = set()
    for phrase in phrases:
        said = spread(fold(phrase.text))
        single.update(word for word in said if len(word) >= 6)
        for first, second in itertools.pairwise(said):
            if len(first) + len(second) >= 6 and min(len(first), len(second)) >= 2:
                split.setdefault(first + second, [first, second])
    return {word: parts for word, parts in split.items() if word not in single}, frozenset(single)
