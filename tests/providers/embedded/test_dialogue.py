"""Where a dialogue stands after each of the caller's turns. What is said then is in `test_responder`."""

import pytest

from agent.agentfile import AgentFile, load_agent
from providers.embedded import dialogue
from providers.embedded.dialogue import Follower, Progress, Standing
from providers.embedded.intents import Intents

AGENT = load_agent()
FULL = ("i need an appointment", "a check up", "monday", "ten", "5551234")
VALUES = {"service": "a check up", "day": "monday", "time": "10:00", "phone": "5551234"}


def after(*turns: str, agent: AgentFile = AGENT, language: str = "en") -> Standing:
    return Follower(agent.dialogues, Intents(agent)).follow(turns, language)


def progress(*turns: str) -> Progress:
    found = after(*turns).progress
    assert found is not None
    return found


def test_no_dialogue_is_open_until_one_is_started() -> None:
    assert after().progress is None
    assert after("monday", "5551234", "yes").progress is None
    assert progress("i need an appointment").values == {}


def test_answers_fill_slots_in_order() -> None:
    assert progress(*FULL).values == VALUES
    slot = progress(*FULL[:3]).open_slot
    assert slot is not None
    assert slot.name == "time"
    assert progress(*FULL).open_slot is None


def test_remembering_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One follower that walks along, goes back (a failed speculation) and forgets; one for each turn anew."""
    monkeypatch.setattr(dialogue, "MAX_KEPT", 4)
    turns = (*FULL, "no", "the day", "what are your opening hours", "friday", "yes")
    follower = Follower(AGENT.dialogues, Intents(AGENT))
    for count in range(1, len(turns) + 1):
        follower.follow((*turns[: count - 1], "blah"), "en")
        found = follower.follow(turns[:count], "en")
        assert found == after(*turns[:count])
        assert found == follower.follow(turns[:count], "en")
    assert found.progress is not None
    assert found.progress.confirmed
    assert found.progress.values == {**VALUES, "day": "friday"}


def test_a_completed_or_cancelled_dialogue_is_over_with_the_next_turn() -> None:
    assert progress(*FULL, "yes").confirmed
    assert after(*FULL, "yes", "thank you").progress is None
    assert progress(*FULL[:2], "never mind").cancelled
    assert after(*FULL[:2], "never mind", "hello").progress is None
    assert progress(*FULL, "yes", "i need an appointment").values == {}


def test_too_many_misses_in_a_row_end_it_and_an_answer_forgives_them() -> None:
    assert progress("i need an appointment", "blah", "blub").misses == 2
    assert progress("i need an appointment", "blah", "blub", "a check up").misses == 0
    assert after("i need an appointment", "blah", "blub", "bleh", "monday").progress is None


def test_a_question_besides_is_no_miss() -> None:
    found = progress("i need an appointment", "where can i park")
    assert ([intent.id for intent in found.asides], found.misses, found.understood) == (["parking"], 0, True)
    assert progress("i need an appointment", "do you have any toys for children").stranger


def test_a_name_that_looks_like_a_place_holder_is_read_back_as_it_is() -> None:
    data = AGENT.model_dump()
    data["dialogues"][0]["slots"] = [
        {"name": "who", "kind": "text", "ask": {"en": "Who?", "es": "¿Quién?"}},
        {"name": "day", "kind": "weekday", "ask": {"en": "When?", "es": "¿Cuándo?"}},
    ]
    agent = AgentFile.model_validate(data)
    found = after("i need an appointment", "{day} {who}", "monday", agent=agent).progress
    assert found is not None
    assert found.read_back("{who} on {day}, {other}", "en") == "{day} {who} on Monday, {other}"


def test_values_outlive_a_change_of_language() -> None:
    turns = (*FULL[:3], "in spanish please", "a las diez", "5551234")
    standing = after(*turns)
    assert (standing.before, standing.language) == ("es", "es")
    assert standing.progress is not None
    assert standing.progress.question("es") == (
        "Entonces chequeo el lunes a las diez, y su número es 5 5 5 1 2 3 4. ¿Es correcto?"
    )


def test_a_turn_that_asks_for_a_language_answers_nothing() -> None:
    standing = after("i need an appointment", "do you speak spanish")
    assert (standing.before, standing.language, standing.asked_language) == ("en", "es", True)
    assert standing.progress is not None
    assert standing.progress.misses == 0
