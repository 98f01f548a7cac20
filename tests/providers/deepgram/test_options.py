"""The agent file's entry for Deepgram: each mistake is one line."""

from typing import Any

import pytest

from agent.errors import ConfigError
from providers.deepgram.options import Options


def test_defaults() -> None:
    assert Options.read({}) == Options()


def test_all_that_can_be_said() -> None:
    options = Options.read(
        {"model": "nova-2", "endpointing_ms": 300, "keyterms": ["a"], "smart_format": False, "spares": False}
    )
    assert options.model == "nova-2"
    assert not options.takes_keyterms
    assert options.endpointing_ms == 300
    assert options.keyterms == ("a",)
    assert dict(options.switches)["smart_format"] is False
    assert dict(options.switches)["punctuate"] is True
    assert not options.spares


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"modell": "nova-3"}, "no option 'modell': use .*model"),
        ({"batch_ms": 10}, "batch_ms is 20 to 250"),
        ({"batch_ms": True}, "batch_ms is 20 to 250"),
        ({"endpointing_ms": 5}, "endpointing_ms is 10 or more"),
        ({"smart_format": "on"}, "smart_format is true or false"),
        ({"phrase_keyterms": 1}, "phrase_keyterms is true or false"),
        ({"keyterms": "one"}, "keyterms is a list of texts"),
        ({"keyterms": [1]}, "keyterms is a list of texts"),
        ({"model": 3}, "model is text"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Options.read(options)
