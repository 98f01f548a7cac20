"""Finding plugins by entry point."""

import pytest

from agent.errors import ConfigError
from agent.plugins import LLM, STT, TRANSPORTS, TTS, load, names


def test_what_is_installed_is_listed_in_order() -> None:
    assert {"telnyx", "twilio"} <= set(names(TRANSPORTS))
    for group in (STT, LLM, TTS):
        assert "embedded" in names(group)
        assert names(group) == sorted(set(names(group)))


def test_a_plugin_is_loaded_by_its_name() -> None:
    factory = load(TTS, "embedded")
    assert factory.__name__ == "EmbeddedTTS"


def test_an_unknown_name_is_a_mistake_that_lists_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"no tts named 'nobody': use one of .*embedded"):
        load(TTS, "nobody")
