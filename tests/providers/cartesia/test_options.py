"""The agent file's entry for Cartesia: each mistake is one line."""

from typing import Any

import pytest

from agent.errors import ConfigError
from providers.cartesia.options import DEFAULT_VOICE, Options


def test_defaults() -> None:
    options = Options.read({})
    assert options == Options()
    assert options.version == "2026-03-01"
    assert options.voice_for("en-US", None) == DEFAULT_VOICE


@pytest.mark.parametrize(
    ("voice", "language", "asked", "chosen"),
    [
        (None, "en-US", "file", "file"),
        ("own", "en-US", "file", "own"),
        ({"en-US": "own", "es": "propia"}, "en-us", "file", "own"),
        ({"en-US": "own", "es": "propia"}, "es-MX", "file", "propia"),
        ({"es": "propia"}, "fr-FR", "file", "file"),
    ],
)
def test_its_own_voice_goes_before_the_agent_file_s(
    voice: Any, language: str, asked: str, chosen: str
) -> None:
    assert Options.read({"voice": voice} if voice else {}).voice_for(language, asked) == chosen


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"voise": "x"}, "no option 'voise': use .*voice"),
        ({"model": 3}, "model is text"),
        ({"version": ["x"]}, "version is text"),
        ({"continuations": "yes"}, "true or false"),
        ({"voice": 7}, "voice's id, or a table"),
        ({"voice": {"en": 7}}, "for each language"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Options.read(options)
