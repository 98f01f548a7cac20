"""What agents say by themselves has words in every language that has any."""

import pytest

from agent.agentfile.defaults import PHRASES, UNKNOWN, default_text
from agent.agentfile.schema import Phrases

LANGUAGES = {"en", "es", "fr", "de"}


def test_every_phrase_of_the_schema_has_a_default() -> None:
    assert set(PHRASES) == set(Phrases.model_fields)


@pytest.mark.parametrize("name", [*PHRASES, "unknown"])
def test_a_phrase_is_complete_in_every_language(name: str) -> None:
    texts = UNKNOWN if name == "unknown" else PHRASES[name]
    assert set(texts) == LANGUAGES
    # Spoken as it is written: whole sentences, nothing to fill in.
    for text in texts.values():
        assert text[-1] in ".?!"
        assert "{" not in text


@pytest.mark.parametrize(
    ("tag", "expected"),
    [("en", "hello"), ("en-GB", "hello"), ("EN-us", "hello"), ("fr", None), ("eng", None)],
)
def test_a_tag_finds_its_primary_language(tag: str, expected: str | None) -> None:
    assert default_text({"en": "hello"}, tag) == expected
