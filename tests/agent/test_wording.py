"""The agent's own words in the caller's language."""

import pytest

from agent import wording
from agent.agentfile.load import parse_agent
from agent.agentfile.schema import AgentFile
from tests.agent.stage import AGENT


@pytest.fixture
def agent() -> AgentFile:
    text = AGENT.replace("[en, es]", "[en, es-MX]").replace("es: Hola.", "es-MX: Hola.")
    return parse_agent(text, "agent.yaml")


def test_greeting_and_phrases_are_in_the_language_or_the_agents_first(agent: AgentFile) -> None:
    assert wording.greeting(agent, "es-MX") == "Hola."
    assert wording.greeting(agent, "fr") == "Hello there."
    assert wording.phrase(agent, "goodbye", "es-MX") == "Gracias por llamar. Adiós."
    assert wording.phrase(agent, "goodbye", "fr") == "Thank you for calling. Goodbye."


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("es-MX", "es-MX"),
        ("ES-mx", "es-MX"),
        ("es-ES", "es-MX"),
        ("es", "es-MX"),
        ("en-GB", "en"),
        ("fr", None),
        ("e", None),
        ("", None),
        (None, None),
    ],
)
def test_the_closest_language_is_the_same_or_another_regions(
    agent: AgentFile, wanted: str | None, found: str | None
) -> None:
    assert wording.closest_language(agent, wanted) == found
