"""What a schema cannot see: places of an agent file that must agree with each other."""

import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

from agent.agentfile.defaults import PHRASES
from agent.agentfile.reader import Place
from agent.agentfile.schema import AgentFile, Dialogue, ProviderChoice, TransferCallTool, WebhookTool
from agent.sentences import SentenceSplitter

Found = Iterator[tuple[Place, str]]

_TARGET = re.compile(r"(\+[1-9]\d{5,14}|sips?:[^\s@]+@[^\s@]+)")
_PLACE_HOLDER = re.compile(r"\{([^{}]*)\}")
_TAG = re.compile(r"[a-zA-Z]{2,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|\d{3}))?")
"""Language, script, region (BCP 47): what recognition and speech services know."""


def cross_checks(agent: AgentFile) -> list[tuple[Place, str]]:
    """All disagreements, with their places."""
    return [
        *_tags(agent),
        *_languages(agent),
        *_tools(agent),
        *_names(agent),
        *(found for index, each in enumerate(agent.dialogues) for found in _dialogue(agent, index, each)),
        *_providers(agent),
        *_turns(agent),
        *_budgets(agent),
    ]


def _tags(agent: AgentFile) -> Found:
    for index, language in enumerate(agent.languages):
        if not _TAG.fullmatch(language):
            yield ("languages", index), f"{language!r} is no language tag; allowed: such as en, en-GB, es-419"
        if agent.languages.index(language) != index:
            yield ("languages", index), f"{language} stands twice"


def _languages(agent: AgentFile) -> Found:
    required = list(_required_texts(agent))
    for where, texts in required:
        missing = [language for language in agent.languages if not _has_words(texts.get(language))]
        if missing:
            yield where, f"has no text in {', '.join(missing)}; every declared language needs one"
    optional: list[tuple[Place, dict[str, Any]]] = [(("voices",), dict(agent.voices))]
    for index, tool in enumerate(agent.tools):
        if not isinstance(tool, WebhookTool):
            optional.append((("tools", index, "ask"), tool.ask))
    allowed = ", ".join(agent.languages)
    for where, texts in required + optional:
        for language, given in texts.items():
            if language not in agent.languages:
                yield (*where, language), f"is not among languages; allowed: {allowed}"
            for at, phrase in enumerate(given if isinstance(given, list) else []):
                if not _has_words(phrase):
                    yield (*where, language, at), f"{phrase!r} has no words"


def _required_texts(agent: AgentFile) -> Iterator[tuple[Place, dict[str, Any]]]:
    yield ("greeting",), agent.greeting
    yield ("unknown",), agent.unknown
    for name in PHRASES:
        yield ("phrases", name), getattr(agent.phrases, name)
    for index, entry in enumerate(agent.knowledge):
        yield ("knowledge", index, "ask"), entry.ask
        yield ("knowledge", index, "answer"), entry.answer
    for index, dialogue in enumerate(agent.dialogues):
        for key in ("start", "confirm", "done", "cancelled"):
            yield ("dialogues", index, key), getattr(dialogue, key)
        for at, slot in enumerate(dialogue.slots):
            yield ("dialogues", index, "slots", at, "ask"), slot.ask
            if slot.kind == "choice":
                yield ("dialogues", index, "slots", at, "choices"), slot.choices or {}


def _has_words(given: str | list[str] | None) -> bool:
    return any(char.isalnum() for char in ("".join(given) if given else ""))


def _tools(agent: AgentFile) -> Found:
    seen: set[str] = set()
    for index, tool in enumerate(agent.tools):
        if tool.name in seen:
            yield ("tools", index, "name"), f"{tool.name} stands twice; give one of them another name"
        seen.add(tool.name)
        if isinstance(tool, TransferCallTool):
            for name, target in tool.targets.items():
                if not _TARGET.fullmatch(target):
                    what = f"{target!r} is no target; allowed: such as +15005550006 or sip:name@host"
                    yield ("tools", index, "targets", name), what
        elif isinstance(tool, WebhookTool) and tool.parameters.get("type", "object") != "object":
            yield ("tools", index, "parameters", "type"), "must be object: arguments have names"


def _names(agent: AgentFile) -> Found:
    ids: set[str] = set()
    for kind in ("knowledge", "dialogues"):
        for index, entry in enumerate(getattr(agent, kind)):
            if entry.id in ids:
                yield (kind, index, "id"), f"{entry.id} stands twice; every entry needs its own"
            ids.add(entry.id)


def _dialogue(agent: AgentFile, index: int, dialogue: Dialogue) -> Found:
    where: Place = ("dialogues", index)
    names = [slot.name for slot in dialogue.slots]
    allowed = ", ".join(dict.fromkeys(names))
    for key in ("confirm", "done"):
        for language, text in getattr(dialogue, key).items():
            for holder in _PLACE_HOLDER.findall(text):
                if holder not in names:
                    yield (
                        (*where, key, language),
                        f"{{{holder}}} is no slot; allowed: {allowed}",
                    )
    webhooks = sorted(tool.name for tool in agent.tools if isinstance(tool, WebhookTool))
    if dialogue.tool is not None and dialogue.tool not in webhooks:
        tools = ", ".join(webhooks) or "none yet"
        yield (*where, "tool"), f"{dialogue.tool} is no webhook tool; allowed: {tools}"
    for at, slot in enumerate(dialogue.slots):
        if names.index(slot.name) != at:
            yield (*where, "slots", at, "name"), f"{slot.name} stands twice; every slot needs its own"


def _providers(agent: AgentFile) -> Found:
    """Names of what is installed; imports nothing of it."""
    for kind in ("stt", "llm", "tts"):
        chosen: list[tuple[Place, ProviderChoice]] = [
            (("providers", kind, index), choice)
            for index, choice in enumerate(getattr(agent.providers, kind))
        ]
        if kind == "llm" and agent.budgets.smaller_model is not None:
            chosen.append((("budgets", "smaller_model"), agent.budgets.smaller_model))
        installed = sorted({point.name for point in entry_points(group=f"parley.{kind}")})
        for where, choice in chosen:
            if choice.provider not in installed:
                what = f"{choice.provider!r} is not installed; allowed: {', '.join(installed)}"
                yield (*where, "provider"), what


def _turns(agent: AgentFile) -> Found:
    turns = agent.turns
    if not turns.min_silence_ms <= turns.silence_ms <= turns.max_silence_ms:
        yield ("turns",), "must have min_silence_ms <= silence_ms <= max_silence_ms"


_BOUNDS = {
    "stt_final": ("stt", "stt_final_ms"),
    "llm_first_token": ("llm", "llm_first_token_ms"),
    "tts_first_audio": ("tts", "tts_first_audio_ms"),
}
"""By stage: its chain, and the limit that ends the wait."""


def _budgets(agent: AgentFile) -> Found:
    """What a budget's action needs must be there."""
    budgets = agent.budgets
    given = budgets.all()
    for stage, (kind, limit) in _BOUNDS.items():
        budget = given.get(stage)
        if budget is None:
            continue
        bound_ms = getattr(agent.limits, limit)
        if budget.ms >= bound_ms:
            bound = f"limits.{limit} ({bound_ms}), which ends the wait"
            yield ("budgets", stage, "ms"), f"{budget.ms} is not allowed; allowed: less than {bound}"
        if budget.action == "next_provider" and len(getattr(agent.providers, kind)) < 2:
            yield ("budgets", stage, "action"), f"next_provider needs a second one in providers.{kind}"
    actions = {budget.action for budget in given.values()}
    if "smaller_model" in actions and budgets.smaller_model is None:
        yield ("budgets", "llm_first_token", "action"), "smaller_model needs budgets.smaller_model"
    if "smaller_model" not in actions and budgets.smaller_model is not None:
        yield ("budgets", "smaller_model"), "is not used; llm_first_token needs action: smaller_model"
    if "cached_reply" in actions and not agent.knowledge:
        yield ("budgets", "llm_first_token", "action"), "cached_reply needs knowledge to answer from"
    yield from _fillers(agent, needed="filler" in actions)


def _fillers(agent: AgentFile, *, needed: bool) -> Found:
    fillers = agent.budgets.fillers
    missing = [language for language in agent.languages if not fillers.get(language)]
    if needed and missing:
        what = f"has no phrase in {', '.join(missing)}; every declared language needs one"
        yield ("budgets", "fillers"), what
    for language, phrases in fillers.items():
        if language not in agent.languages:
            what = f"is not among languages; allowed: {', '.join(agent.languages)}"
            yield ("budgets", "fillers", language), what
        for at, phrase in enumerate(phrases):
            splitter = SentenceSplitter()
            whole = splitter.feed(f"{phrase} ") and splitter.flush() is None
            if not whole:
                what = f"{phrase!r} is no whole sentence; it needs words, and . ! ? or … at its end"
                yield ("budgets", "fillers", language, at), what
