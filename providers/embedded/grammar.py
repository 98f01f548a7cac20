"""From phrases to a finite-state grammar that a whole utterance must match.

    start --[opener]--[lead-in]--> phrase | yes/no | date | time | digits | number --[closer]--> end
      \\--> any sounds (the garbage loop) or nothing at all ------------------------------------/

The garbage loop is what rejects: coughs, music, babble and sentences that nobody foresaw fit a free
sequence of phones better than any phrase, and become an empty transcript. All weights were chosen with
`bench/embedded_stt.py`; see there for what each choice costs.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from providers.embedded import vocabulary as say
from providers.embedded.pronounce import PHONES

Arc = tuple[int, int, float] | tuple[int, int, float, str]
"""(from state, to state, probability[, word]): what `pocketsphinx.Decoder.create_fsg` takes."""

GARBAGE = "~"
"""First letter of the garbage loop's words, each a single phone."""
LANGUAGE_WEIGHT = 10.0
"""Power that probabilities are raised to. `create_fsg` ignores the decoder's `lw`; of 1, 3, 6.5, 10 and 15
this was best (63 % of utterances right at 1, 76 % at 10)."""
_GARBAGE_ENTRY = 1e-2
_GARBAGE_PHONE = 0.07
"""Of 0.02, 0.05, 0.07, 0.1 and 0.3: the least that rejects all coughs, noise and music tried; it loses 3 % of
what would have been right (0.1 loses 10 %)."""
_OPENER = 0.002
_PHRASE, _DATE, _TIME, _DIGITS, _NUMBER = 0.55, 0.1, 0.1, 0.05, 0.03
_SMALLEST = 1e-30
"""Keeps probability ** LANGUAGE_WEIGHT within a double."""
MAX_PHRASES = 2_000
MAX_WORDS = 24
"""Bounds on what an agent file may ask for: more phrases, or longer ones, are left out."""


@dataclass(slots=True)
class Grammar:
    """A grammar as a list of arcs. State 0 is the start, state 1 the end."""

    arcs: list[Arc] = field(default_factory=list)
    states: int = 2

    def state(self) -> int:
        """A new state."""
        self.states += 1
        return self.states - 1

    def skip(self, start: int, end: int, probability: float = 1.0) -> None:
        """An arc without a word."""
        self.arcs.append((start, end, max(probability, _SMALLEST) ** LANGUAGE_WEIGHT))

    def word(self, start: int, end: int, word: str, probability: float = 1.0) -> None:
        """An arc with a word."""
        self.arcs.append((start, end, max(probability, _SMALLEST) ** LANGUAGE_WEIGHT, word))

    def one_of(self, start: int, end: int, phrases: Iterable[str], probability: float = 1.0) -> None:
        """Alternatives, equally likely, sharing their beginnings (a trie)."""
        root: _Node = _Node()
        for phrase in phrases:
            root.add(phrase.split())
        self._spread(root, start, end, probability)

    def _spread(self, node: "_Node", start: int, end: int, probability: float) -> None:
        if node.ends:
            self.skip(start, end, probability / node.size)
        for word, child in node.children.items():
            share = probability * child.size / node.size
            if child.children:
                inner = self.state()
                self.word(start, inner, word, share)
                self._spread(child, inner, end, 1.0)
            else:
                self.word(start, end, word, share)

    @property
    def words(self) -> set[str]:
        """All words, those of the garbage loop included."""
        return {arc[3] for arc in self.arcs if len(arc) == 4}


class _Node:
    """A node of the trie; `size` counts the phrases that pass through it."""

    __slots__ = ("children", "ends", "size")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.ends = False
        self.size = 0

    def add(self, words: list[str]) -> bool:
        """Add a phrase; False if it was there."""
        if not words:
            added = not self.ends
            self.ends = True
        else:
            added = self.children.setdefault(words[0], _Node()).add(words[1:])
        self.size += added
        return added


_NOT_SPOKEN = re.compile(r"[^\w\s']|_")
_NUMBER_IN_TEXT = re.compile(r"\d+")


def spoken(phrase: str) -> str | None:
    """`phrase` as the recogniser writes it: lower case, no punctuation, small numbers as words.

    None for what has no such form: nothing left, too long, or a number above 99.
    """
    text = phrase.lower().replace("\u2019", "'")
    try:
        text = _NUMBER_IN_TEXT.sub(lambda match: f" {say.number_words(int(match[0]))} ", text)
    except ValueError:
        return None
    words = [word.strip("'") for word in _NOT_SPOKEN.sub(" ", text).split()]
    words = ["okay" if word == "ok" else word for word in words if word]
    return " ".join(words) if 0 < len(words) <= MAX_WORDS else None


def build(phrases: Iterable[str], language: str) -> Grammar:
    """The grammar for `phrases` (as `spoken` gives them) in `language` (a BCP 47 tag)."""
    grammar = Grammar()
    start, end = 0, 1
    body, done = grammar.state(), grammar.state()
    if language.lower().partition("-")[0] == "en":
        opened = grammar.state()
        grammar.one_of(start, opened, say.OPENERS, _OPENER)
        grammar.skip(start, opened)
        grammar.one_of(opened, body, say.LEAD_INS, _OPENER)
        grammar.skip(opened, body)
        grammar.one_of(body, done, (*phrases, *say.YES, *say.NO, *say.SMALL_TALK), _PHRASE)
        _dates(grammar, body, done)
        _times(grammar, body, done)
        _numbers(grammar, body, done)
        grammar.one_of(done, end, say.CLOSERS, _OPENER)
        grammar.skip(done, end)
    else:
        known = say.OTHER_LANGUAGES.get(language.lower().partition("-")[0], ())
        grammar.one_of(start, end, (*phrases, *known), _PHRASE)
    _garbage(grammar, start, end)
    return grammar


def _dates(grammar: Grammar, start: int, end: int) -> None:
    """Days, dates, and a day with a time: "on tuesday morning", "the fifth of march at ten thirty"."""
    dated, weekday, of, after_month, ordinal = (grammar.state() for _ in range(5))
    days = _DATE / 2 / len(say.DAYS)
    prefixed = grammar.state()
    grammar.one_of(start, prefixed, say.DAY_PREFIXES, 0.5)
    for day in say.DAYS:
        grammar.word(start, weekday, day, days)
        grammar.word(prefixed, weekday, day, days)
    grammar.one_of(weekday, dated, say.DAY_PARTS, 0.2)
    grammar.skip(weekday, dated)
    grammar.one_of(start, dated, say.WHEN, _DATE)
    for month in say.MONTHS:
        grammar.word(start, after_month, month, _DATE / 2 / len(say.MONTHS))
        grammar.word(of, dated, month, 1 / len(say.MONTHS))
    grammar.word(after_month, ordinal, "the", 0.5)
    grammar.one_of(after_month, dated, say.ORDINALS, 0.5)
    grammar.one_of(ordinal, dated, say.ORDINALS)
    grammar.skip(after_month, dated, 0.1)
    the, numbered = grammar.state(), grammar.state()
    grammar.one_of(start, the, ("the", "on the"), _DATE)
    grammar.one_of(the, numbered, say.ORDINALS)
    grammar.word(numbered, of, "of", 0.5)
    grammar.skip(numbered, dated, 0.2)
    grammar.skip(dated, end)
    then = grammar.state()
    grammar.word(dated, then, "at", 0.1)
    _clock_times(grammar, then, end)


def _times(grammar: Grammar, start: int, end: int) -> None:
    at = grammar.state()
    grammar.one_of(start, at, say.TIME_PREFIXES, _TIME / 2)
    grammar.skip(start, at, _TIME)
    _clock_times(grammar, at, end)


def _clock_times(grammar: Grammar, start: int, end: int) -> None:
    hour, after, minutes = grammar.state(), grammar.state(), grammar.state()
    grammar.one_of(start, hour, say.TIME_BEFORE_HOUR, 0.4)
    grammar.one_of(hour, end, say.HOURS)
    grammar.one_of(start, after, say.HOURS, 0.5)
    grammar.one_of(after, end, say.TIME_AFTER_HOUR, 0.4)
    grammar.one_of(after, minutes, say.MINUTES, 0.4)
    grammar.skip(minutes, end, 0.7)
    grammar.one_of(minutes, end, say.MERIDIEM, 0.3)
    grammar.one_of(start, end, say.FIXED_TIMES, 0.1)


def _numbers(grammar: Grammar, start: int, end: int) -> None:
    digits, doubled = grammar.state(), grammar.state()
    for digit in say.DIGITS:
        grammar.word(start, digits, digit, _DIGITS / len(say.DIGITS))
        grammar.word(digits, digits, digit, 0.86 / len(say.DIGITS))
        grammar.word(doubled, digits, digit, 1 / len(say.DIGITS))
    grammar.one_of(start, doubled, ("double", "triple"), _DIGITS / 10)
    grammar.one_of(digits, doubled, ("double", "triple"), 0.04)
    grammar.skip(digits, end, 0.12)
    grammar.one_of(start, end, say.CARDINALS, _NUMBER)


def _garbage(grammar: Grammar, start: int, end: int) -> None:
    loop = grammar.state()
    grammar.skip(start, end, _GARBAGE_ENTRY)
    grammar.skip(start, loop, _GARBAGE_ENTRY)
    for phone in PHONES:
        grammar.word(loop, loop, GARBAGE + phone.lower(), _GARBAGE_PHONE)
    grammar.skip(loop, end)
