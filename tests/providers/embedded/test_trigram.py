"""The language model: probabilities add up, what was expected is likely, what was not is possible."""

import math

import pytest

from providers.embedded.trigram import arpa

SENTENCES = [(3.0, ("where", "are", "you")), (1.0, ("are", "you", "open"))]


def parsed(text: str) -> tuple[dict[tuple[str, ...], float], dict[tuple[str, ...], float]]:
    """Log10 probabilities and back-off weights by n-gram."""
    probabilities: dict[tuple[str, ...], float] = {}
    back_offs: dict[tuple[str, ...], float] = {}
    order = 0
    for line in text.splitlines():
        if line.endswith("-grams:"):
            order = int(line[1])
        elif order and line and not line.startswith("\\"):
            fields = line.split()
            words = tuple(fields[1 : 1 + order])
            probabilities[words] = float(fields[0])
            if len(fields) > 1 + order:
                back_offs[words] = float(fields[-1])
    return probabilities, back_offs


def probability(text: str, history: tuple[str, ...], word: str) -> float:
    """As a decoder works it out: back off where an n-gram is not listed."""
    probabilities, back_offs = parsed(text)
    weight = 0.0
    while (*history, word) not in probabilities:
        weight += back_offs.get(history, 0.0)
        history = history[1:]
    return float(10 ** (weight + probabilities[*history, word]))


@pytest.mark.parametrize("history", [(), ("are",), ("<s>", "where"), ("where", "are"), ("you", "open")])
def test_what_may_follow_adds_up_to_one(history: tuple[str, ...]) -> None:
    text = arpa(SENTENCES)
    words = ("where", "are", "you", "open", "</s>")
    assert sum(probability(text, history, word) for word in words) == pytest.approx(1.0, abs=0.01)


def test_an_expected_successor_is_much_likelier_than_another() -> None:
    text = arpa(SENTENCES)
    assert probability(text, ("where", "are"), "you") > 10 * probability(text, ("where", "are"), "open")


def test_what_nobody_said_is_still_possible() -> None:
    assert probability(arpa(SENTENCES), ("you", "open"), "where") > 0


def test_the_header_counts_what_follows() -> None:
    text = arpa(SENTENCES)
    probabilities, _ = parsed(text)
    for order in (1, 2, 3):
        count = sum(len(words) == order for words in probabilities)
        assert f"ngram {order}={count}" in text


def test_background_words_are_possible_anywhere() -> None:
    text = arpa(SENTENCES, {"um": 0.01})
    assert probability(text, (), "um") == pytest.approx(0.01, rel=0.01)
    assert math.isfinite(probability(text, ("where",), "um"))
