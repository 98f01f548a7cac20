"""What Telnyx says to a caller whose call cannot be saved."""

import pytest

from tests.transports.telnyx.fakes import AGENT
from transports.telnyx.farewell import MAX_CHARS, Sentence, farewell, spoken_as


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("en-GB", "en-GB"),
        ("EN-us", "en-US"),
        ("en", "en-US"),
        ("es-AR", "es-ES"),
        ("pt", "pt-BR"),
        ("fi", None),
    ],
)
def test_a_language_is_spoken_in_the_nearest_variety(tag: str, language: str | None) -> None:
    assert spoken_as(tag) == language


def test_the_agents_own_apology_is_said() -> None:
    assert farewell(AGENT) == Sentence("Please call again.", "en-US")


def test_a_language_that_telnyx_does_not_speak_is_not_attempted() -> None:
    assert farewell(AGENT.model_copy(update={"languages": ["fi"]})) is None


def test_a_long_apology_is_cut_to_what_the_command_takes() -> None:
    phrases = AGENT.phrases.model_copy(update={"apology": {"en": "x" * 5000}})
    sentence = farewell(AGENT.model_copy(update={"phrases": phrases}))
    assert sentence is not None
    assert len(sentence.text) == MAX_CHARS
