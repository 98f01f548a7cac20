"""What a caller's turn is about: questions of the knowledge, tools, dialogues to start, small talk. Pure."""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from agent.agentfile.schema import AgentFile, Dialogue, EndCallTool, TransferCallTool
from providers.embedded.lexicon import fold, lexicon, primary, spread, words
from providers.embedded.matching import Matcher, Phrase, days_of
from providers.embedded.scoring import CONTAINED
from providers.embedded.talk import ASKS_LANGUAGE, SMALL_TALK

_PARTS = re.compile(r"(?<=[.?!;])\s+|,?\s+\b(?:and also|and|also|y también|y)\s+", re.IGNORECASE)
_MAX_PARTS = 4
"""More questions than this in one turn are not taken apart."""
_OTHER_LANGUAGE = 0.8
"""A surer match than usual: answering in another language by mistake is worse than asking again."""
_MAX_LANGUAGE_WORDS = 8
"""A wish for another language is short; "do you have the form in English" at length is not one."""
_START_IN_PART = 0.85
_CACHED = 512
_FRAMES = {
    "en": (
        "i want {}",
        "i need {}",
        "i would like {}",
        "i want to book {}",
        "can i book {}",
        "can i have {}",
    ),
    "es": (
        "quiero {}",
        "necesito {}",
        "quisiera {}",
        "quiero reservar {}",
        "puedo reservar {}",
        "me gustaría {}",
    ),
}
"""How a caller asks for one of a form's choices straight away."""


class Kind(StrEnum):
    """What an intent is of."""

    ANSWER = "answer"
    START = "start"
    TALK = "talk"
    END_CALL = "end_call"
    TRANSFER = "transfer_call"


@dataclass(frozen=True, slots=True)
class Intent:
    """One thing that the caller wants. `id` is the knowledge entry, dialogue or topic of small talk."""

    kind: Kind
    id: str
    score: float


@dataclass(frozen=True, slots=True)
class Heard:
    """What a turn was understood as, and the words of it that were not."""

    intents: tuple[Intent, ...] = ()
    rest: str = ""

    def first(self, *kinds: Kind) -> Intent | None:
        """The first intent of one of these kinds."""
        return next((intent for intent in self.intents if intent.kind in kinds), None)


class Intents:
    """The agent file's phrases, ready to be recognised in each of its languages."""

    def __init__(self, agent: AgentFile) -> None:
        self._languages = agent.languages
        self._matchers = {
            language: Matcher(_phrases(agent, language), language, _extras(agent, language))
            for language in agent.languages
        }
        self.heard = functools.lru_cache(_CACHED)(self._heard)
        """(text, language) to `Heard`; remembered, since every turn looks at the conversation again."""

    def wanted_language(self, text: str, language: str) -> str | None:
        """Another of the agent's languages, where the caller asks for it."""
        said = f" {' '.join(words(text))} "
        if len(said.split()) > _MAX_LANGUAGE_WORDS:
            return None
        for other in self._languages:
            asked = (f" {phrase} " in said for phrase in ASKS_LANGUAGE.get(primary(other), ()))
            if primary(other) != primary(language) and any(asked):
                return other
        return None

    def spoken_language(self, text: str, language: str) -> str | None:
        """Another of the agent's languages, where the caller simply speaks it."""
        if self.heard(text, language).intents:
            return None
        for other in self._languages:
            found = self._matchers[other].pick(text) if other != language else None
            if found is not None and found.score >= _OTHER_LANGUAGE:
                return other
        return None

    def _heard(self, text: str, language: str) -> Heard:
        whole = self._pick(text, language)
        parts = [part for part in _PARTS.split(text) if part and spread(part)]
        if len(parts) == 1 or len(parts) > _MAX_PARTS or (whole is not None and whole.score > CONTAINED):
            return Heard((whole,)) if whole is not None else Heard(rest=text)
        picked = [(part, self._part(part, language)) for part in parts]
        if all(intent is not None or _courtesy(part, language) for part, intent in picked):
            return Heard(_distinct(intent for _, intent in picked))
        if whole is not None:
            return Heard((whole,))
        rest = " ".join(part for part, intent in picked if intent is None)
        return Heard(_distinct(intent for _, intent in picked), rest)

    def _part(self, part: str, language: str) -> Intent | None:
        """Of a piece of a turn. What starts a form must be said in full: "… and a check up" is not that."""
        found = self._pick(part, language)
        sure = found is None or found.kind is not Kind.START or found.score >= _START_IN_PART
        return found if sure else None

    def _pick(self, text: str, language: str) -> Intent | None:
        found = self._matchers[language].pick(text)
        if found is None:
            return None
        kind, _, name = found.key.partition(":")
        return Intent(Kind(kind), name, found.score)


def _distinct(intents: Iterator[Intent | None]) -> tuple[Intent, ...]:
    """Without repetition; small talk only where there is nothing else, what ends a call last."""
    found = {(intent.kind, intent.id): intent for intent in intents if intent is not None}
    serious = [intent for intent in found.values() if intent.kind is not Kind.TALK]
    order = {Kind.ANSWER: 0, Kind.TALK: 0, Kind.START: 1, Kind.TRANSFER: 2, Kind.END_CALL: 3}
    return tuple(sorted(serious or found.values(), key=lambda intent: order[intent.kind]))


def _courtesy(part: str, language: str) -> bool:
    tables = lexicon(language)
    return all(word in tables.courtesy or word in tables.light for word in spread(part))


def _phrases(agent: AgentFile, language: str) -> Iterator[Phrase]:
    for entry in agent.knowledge:
        covers = days_of(entry.answer[language], language)
        covers |= {
            word for ask in entry.ask[language] for word in spread(ask) if word in lexicon(language).when
        }
        for ask in entry.ask[language]:
            yield Phrase(f"{Kind.ANSWER}:{entry.id}", ask, covers=covers)
    for dialogue in agent.dialogues:
        for start in [*dialogue.start[language], *_frames(dialogue, language)]:
            yield Phrase(f"{Kind.START}:{dialogue.id}", start, action=True, any_day=True)
    for tool in agent.tools:
        if isinstance(tool, EndCallTool | TransferCallTool):
            for ask in tool.ask.get(language, []):
                yield Phrase(f"{Kind(tool.kind)}:{tool.name}", ask, action=True)
    for topic, (asks, _) in SMALL_TALK.get(primary(language), {}).items():
        for ask in asks:
            yield Phrase(f"{Kind.TALK}:{topic}", ask, whole=True)


def _frames(dialogue: Dialogue, language: str) -> Iterator[str]:
    """ "I need a vaccination" starts the form whose first choice it is."""
    slot = dialogue.slots[0]
    for choice in (slot.choices or {}).get(language, []) if slot.kind == "choice" else []:
        for frame in _FRAMES.get(primary(language), ()):
            yield frame.format(fold(choice))


def _extras(agent: AgentFile, language: str) -> list[str]:
    return [
        choice
        for dialogue in agent.dialogues
        for slot in dialogue.slots
        for choice in (slot.choices or {}).get(language, [])
    ]
