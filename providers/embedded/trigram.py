"""A language model of a few hundred sentences, as the ARPA text that pocketsphinx reads. Pure.

A trigram model with Witten-Bell interpolation (Chen and Goodman 1998, section 2.4), so that a sentence said
as written is much likelier than any other, and one said a little differently still comes out nearly right. A
finite-state grammar of the same sentences knows no "nearly": it turned what nobody foresaw into what somebody
did.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise

Sentences = Iterable[tuple[float, tuple[str, ...]]]
"""(weight, words) each."""

BACK_OFF = 0.5
"""Weight of unseen successors in the formula, against a count of 1; of 0.2 to 4, 0.2 to 0.5 were best."""
BEGIN, END = "<s>", "</s>"
_SMALLEST = 1e-30


def arpa(sentences: Sentences, background: Mapping[str, float] | None = None) -> str:
    """The model as ARPA text. `background`: words with the (small) probability that they have anywhere."""
    background = background or {}
    unigrams, bigrams, trigrams = _count(sentences)
    total = sum(unigrams.values())
    left = 1.0 - sum(background.values())
    first = {word: left * count / total for word, count in unigrams.items()}
    for word, probability in background.items():
        first[word] = first.get(word, 0.0) + probability

    kept_1 = _kept(bigrams)
    second = {
        (a, b): kept_1[a,][0] * count / kept_1[a,][1] + (1 - kept_1[a,][0]) * first[b]
        for (a, b), count in bigrams.items()
    }
    kept_2 = _kept(trigrams)
    third = {
        (a, b, c): kept_2[a, b][0] * count / kept_2[a, b][1] + (1 - kept_2[a, b][0]) * second[b, c]
        for (a, b, c), count in trigrams.items()
    }
    lines = ["\\data\\", f"ngram 1={len(first) + 1}", f"ngram 2={len(second)}", f"ngram 3={len(third)}"]
    lines += ["", "\\1-grams:", f"-99 {BEGIN} {_log(_back_off(kept_1, (BEGIN,)))}"]
    for word, probability in sorted(first.items()):
        tail = "" if word == END else f" {_log(_back_off(kept_1, (word,)))}"
        lines.append(f"{_log(probability)} {word}{tail}")
    lines += ["", "\\2-grams:"]
    for (a, b), probability in sorted(second.items()):
        tail = "" if b == END else f" {_log(_back_off(kept_2, (a, b)))}"
        lines.append(f"{_log(probability)} {a} {b}{tail}")
    lines += ["", "\\3-grams:"]
    lines += [f"{_log(probability)} {' '.join(words)}" for words, probability in sorted(third.items())]
    return "\n".join([*lines, "", "\\end\\", ""])


_Bigrams = dict[tuple[str, str], float]
_Trigrams = dict[tuple[str, str, str], float]


def _count(sentences: Sentences) -> tuple[dict[str, float], _Bigrams, _Trigrams]:
    unigrams: dict[str, float] = defaultdict(float)
    bigrams: _Bigrams = defaultdict(float)
    trigrams: _Trigrams = defaultdict(float)
    for weight, sentence in sentences:
        words = (BEGIN, *sentence, END)
        for word in words[1:]:
            unigrams[word] += weight
        for pair in pairwise(words):
            bigrams[pair] += weight
        for three in zip(words, words[1:], words[2:], strict=False):
            trigrams[three] += weight
    return unigrams, bigrams, trigrams


def _kept(counts: "_Bigrams | _Trigrams") -> dict[tuple[str, ...], tuple[float, float]]:
    """For each history: the share that its seen successors keep, and its count."""
    seen: dict[tuple[str, ...], float] = defaultdict(float)
    kinds: dict[tuple[str, ...], int] = defaultdict(int)
    for words, count in counts.items():
        seen[words[:-1]] += count
        kinds[words[:-1]] += 1
    return {history: (count / (count + BACK_OFF * kinds[history]), count) for history, count in seen.items()}


def _back_off(kept: Mapping[tuple[str, ...], tuple[float, float]], history: tuple[str, ...]) -> float:
    return 1.0 - kept[history][0] if history in kept else 1.0


def _log(probability: float) -> str:
    return f"{math.log10(max(probability, _SMALLEST)):.4f}"
