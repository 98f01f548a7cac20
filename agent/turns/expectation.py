"""What the agent has just asked for, so that endpointing knows when the answer is complete.

Read from the agent's last sentence: an agent file's dialogue says it exactly, anything else is recognised by
its wording. Wrong guesses only cost some tenths of a second of waiting, never a turn.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from agent.agentfile.schema import AgentFile


class Expect(StrEnum):
    """Kind of answer."""

    ANYTHING = "anything"
    YES_NO = "yes_no"
    DIGITS = "digits"
    SPELLED = "spelled"
    """An e-mail address, a name being spelled: pauses between letters are long."""
    SHORT = "short"
    """A day, a time, a choice: one or a few words."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is expected, and for digits how many (None: unknown)."""

    kind: Expect = Expect.ANYTHING
    digits: int | None = None


ANYTHING = Expectation()

_BY_SLOT = {
    "yes_no": Expect.YES_NO,
    "digits": Expect.DIGITS,
    "number": Expect.SHORT,
    "email": Expect.SPELLED,
    "name": Expect.ANYTHING,
    "choice": Expect.SHORT,
    "weekday": Expect.SHORT,
    "date": Expect.SHORT,
    "time": Expect.SHORT,
    "text": Expect.ANYTHING,
}
_PATTERNS: tuple[tuple[Expect, re.Pattern[str]], ...] = (
    (
        Expect.SPELLED,
        re.compile(r"\b(e-?mail|spell|correo|deletre|courriel|épel|buchstabier)", re.IGNORECASE),
    ),
    (
        Expect.DIGITS,
        re.compile(
            r"\b(phone number|telephone number|card number|account number|date of birth|post ?code|zip code|"
            r"digits|número de teléfono|numéro de téléphone|telefonnummer)\b",
            re.IGNORECASE,
        ),
    ),
    (
        Expect.YES_NO,
        re.compile(
            r"(^|[.!?,]\s*)(is|are|was|were|do|does|did|would|will|shall|should|can|could|may|have|has)\s[^?]*\?\s*$|"
            r"\b(right|correct|okay|yes or no|sí o no|correcto|verdad|oui ou non|ja oder nein)\s*\?\s*$",
            re.IGNORECASE,
        ),
    ),
)


# "Please tell me your phone number." asks as a question does; "Our phone number is 555 1234." does not.
_REQUEST = re.compile(
    r"\b(please|tell me|give me|say|spell|enter|type|key in|let me have|i need|i'll need|por favor|dígame|"
    r"deletree|s'il vous plaît|donnez|épelez|bitte|sagen sie|nennen sie|buchstabieren sie)\b",
    re.IGNORECASE,
)


class Expectations:
    """Looks up what an agent's sentence asks for."""

    def __init__(self, agent: AgentFile) -> None:
        self._asked: dict[str, Expectation] = {}
        for dialogue in agent.dialogues:
            for slot in dialogue.slots:
                expectation = Expectation(_BY_SLOT[slot.kind], slot.digits)
                for text in slot.ask.values():
                    self._asked[_key(text)] = expectation
        self._confirms = tuple(
            _key(text.rsplit(".", 1)[-1])
            for dialogue in agent.dialogues
            for text in dialogue.confirm.values()
        )

    def of(self, said: str) -> Expectation:
        """What the agent's words `said`, as heard, ask for."""
        key = _key(said)
        for asked, expectation in self._asked.items():
            if asked and f" {key}".endswith(f" {asked}"):
                return expectation
        if any(confirm and f" {key}".endswith(f" {confirm}") for confirm in self._confirms):
            return Expectation(Expect.YES_NO)
        last = re.split(r"(?<=[.!?])\s+", said.strip())[-1]
        if last.endswith("?") or _REQUEST.search(last):
            for kind, pattern in _PATTERNS:
                if pattern.search(last):
                    return Expectation(kind)
        return ANYTHING


def _key(text: str) -> str:
    return re.sub(r"[^\w]+", " ", text).strip().casefold()
