"""What the agent has asked for, by its own words."""

import pytest

from agent.agentfile import load_agent
from agent.agentfile.schema import AgentFile
from agent.turns.expectation import ANYTHING, Expect, Expectation, Expectations

AGENT = load_agent(None)


def asked(said: str, agent: AgentFile = AGENT) -> Expectation:
    return Expectations(agent).of(said)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("", Expect.ANYTHING),
        ("We are open from nine to five.", Expect.ANYTHING),
        ("How can I help you?", Expect.ANYTHING),
        ("Is that right?", Expect.YES_NO),
        ("We are closed today. Would you like to come tomorrow?", Expect.YES_NO),
        ("You said Tuesday at nine, is that correct?", Expect.YES_NO),
        ("Tuesday at nine. Okay?", Expect.YES_NO),
        ("¿El martes a las nueve, correcto?", Expect.YES_NO),
        ("What is your phone number?", Expect.DIGITS),
        ("Could you give me your date of birth?", Expect.DIGITS),
        ("Please tell me your phone number.", Expect.DIGITS),
        ("Dígame su número de teléfono, por favor.", Expect.DIGITS),
        ("Our phone number is 555 1234.", Expect.ANYTHING),
        ("Our phone number is 555 1234. What else?", Expect.ANYTHING),
        ("What is your e-mail address?", Expect.SPELLED),
        ("Could you spell that for me, please?", Expect.SPELLED),
        ("Please spell your name.", Expect.SPELLED),
        ("Können Sie das buchstabieren?", Expect.SPELLED),
        ("Is that right? I am not sure.", Expect.ANYTHING),
    ],
)
def test_a_question_is_known_by_its_wording(said: str, kind: Expect) -> None:
    assert asked(said).kind is kind


def test_a_dialogue_of_the_agent_file_says_exactly_what_it_asks_for() -> None:
    kinds = {
        "yes_no": Expect.YES_NO,
        "digits": Expect.DIGITS,
        "email": Expect.SPELLED,
        "name": Expect.ANYTHING,
        "text": Expect.ANYTHING,
    }
    slots = [slot for dialogue in AGENT.dialogues for slot in dialogue.slots]
    assert slots
    for slot in slots:
        for text in slot.ask.values():
            expected = Expectation(kinds.get(slot.kind, Expect.SHORT), slot.digits)
            assert asked(text) == expected
            assert asked(f"All right. {text.upper()}") == expected


def test_the_end_of_another_word_is_not_the_question() -> None:
    dialogue = AGENT.dialogues[0]
    slot = dialogue.slots[0].model_copy(update={"ask": {"en-US": "name?"}, "kind": "digits", "digits": 4})
    agent = AGENT.model_copy(update={"dialogues": [dialogue.model_copy(update={"slots": [slot]})]})
    assert asked("And your name?", agent) == Expectation(Expect.DIGITS, 4)
    assert asked("And your surname?", agent) == ANYTHING


def test_a_dialogues_confirmation_is_a_yes_no_question_whatever_was_filled_in() -> None:
    for dialogue in AGENT.dialogues:
        for text in dialogue.confirm.values():
            filled = text.replace("{", "").replace("}", "")
            assert asked(filled).kind is Expect.YES_NO
