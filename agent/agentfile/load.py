"""Reads an agent file. Every mistake becomes one line: file, line, what is wrong, what is allowed."""

import difflib
import re
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from agent.agentfile import schema
from agent.agentfile.defaults import PHRASES, UNKNOWN, default_text
from agent.agentfile.schema import AgentFile, TransferCallTool, WebhookTool
from agent.errors import AgentFileError

MAX_BYTES = 1_000_000
"""Bigger than any persona; YAML parsing is not cheap."""
_MAX_NODES = 50_000
"""Nodes after aliases are followed: stops a file that multiplies itself."""
_LOCALIZED = {"greeting", "unknown", "answer", "ask", "confirm", "done", "cancelled"}
_LISTS = {"start", "choices"}
_TARGET = re.compile(r"^(\+[1-9]\d{5,14}|sips?:[^\s@]+@[^\s@]+)$")
_PLACE_HOLDER = re.compile(r"\{([^{}]*)\}")
_TAG = re.compile(r"^[a-zA-Z]{2,3}(-[A-Za-z0-9]{2,8})*$")

Path_ = tuple[str | int, ...]


def load_agent(path: Path | None = None) -> AgentFile:
    """The agent of `path`, or the example that ships with Parley. Raises `AgentFileError`."""
    if path is None:
        text = resources.files("agent.examples").joinpath("clinic.yaml").read_text("utf-8")
        return parse_agent(text, "clinic.yaml")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise AgentFileError([f"{path}: cannot be read: {error.strerror}"]) from None
    try:
        text = raw[: MAX_BYTES + 1].decode("utf-8")
    except UnicodeDecodeError:
        raise AgentFileError([f"{path}: is not UTF-8 text"]) from None
    return parse_agent(text, str(path))


def parse_agent(text: str, name: str) -> AgentFile:
    """The agent written in `text`; `name` begins each line of a mistake. Raises `AgentFileError`."""
    if len(text) > MAX_BYTES:
        raise AgentFileError([f"{name}: is larger than {MAX_BYTES} bytes"])
    reader = _Reader(name)
    data = reader.read(text)
    normal = _normalised(data)
    try:
        agent = AgentFile.model_validate(normal)
    except ValidationError as error:
        problems = reader.problems + [
            reader.line(tuple(problem["loc"]), _said(dict(problem), tuple(problem["loc"])))
            for problem in error.errors()
        ]
        raise AgentFileError(problems) from None
    problems = reader.problems + [reader.line(where, what) for where, what in _cross_checks(agent)]
    if problems:
        raise AgentFileError(problems)
    return agent


class _Reader:
    """YAML to plain data, remembering where each thing stands."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[str] = []
        self._lines: dict[Path_, int] = {}
        self._nodes = 0

    def read(self, text: str) -> dict[str, Any]:
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            raise AgentFileError([f"{self.name}:{line}: is not YAML: {error.problem}"]) from None
        except yaml.YAMLError as error:
            raise AgentFileError([f"{self.name}: is not YAML: {error}".replace("\n", " ")]) from None
        if not isinstance(node, yaml.MappingNode):
            what = "is empty" if node is None else "begins with something else"
            raise AgentFileError([f"{self.name}:1: {what}; expected keys such as name, languages, greeting"])
        data = self._value(node, ())
        assert isinstance(data, dict)
        return data

    def line(self, where: Path_, what: str) -> str:
        """One line of a mistake, at the nearest place that the file has."""
        found = where
        while found and found not in self._lines:
            found = found[:-1]
        shown = ".".join(str(part) for part in where)
        return f"{self.name}:{self._lines.get(found, 1)}: {shown}: {what}"

    def _value(self, node: yaml.Node, where: Path_) -> Any:
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise AgentFileError([f"{self.name}: has too many values (aliases that multiply?)"])
        self._lines.setdefault(where, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*where, index)) for index, item in enumerate(node.value)]
        value = yaml.SafeLoader("").construct_object(node)
        # Texts in YAML 1.1 clothes: a language `no`, a phrase `yes`, a date.
        return (
            node.value if isinstance(value, bool) and node.value.lower() not in ("true", "false") else value
        )

    def _mapping(self, node: yaml.MappingNode, where: Path_) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in found:
                line = key_node.start_mark.line + 1
                self.problems.append(f"{self.name}:{line}: {'.'.join(map(str, (*where, key)))}: stands twice")
            self._lines[(*where, key)] = key_node.start_mark.line + 1
            found[key] = self._value(value_node, (*where, key))
        return found


def _normalised(data: dict[str, Any]) -> dict[str, Any]:
    """Short forms written out, defaults of the agent's languages filled in."""
    languages = data.get("languages")
    first = (
        languages[0] if isinstance(languages, list) and languages and isinstance(languages[0], str) else "en"
    )
    data = {key: _long(key, value, first) for key, value in data.items()}
    known = [language for language in languages or [] if isinstance(language, str)]
    phrases = data.get("phrases") or {}
    if isinstance(phrases, dict):
        data["phrases"] = {
            **{key: value for key, value in phrases.items() if key not in PHRASES},
            **{
                key: _with_defaults(phrases.get(key), defaults, known, first)
                for key, defaults in PHRASES.items()
            },
        }
    data["unknown"] = _with_defaults(data.get("unknown"), UNKNOWN, known, first)
    return data


def _with_defaults(given: Any, defaults: dict[str, str], languages: list[str], first: str) -> Any:
    if isinstance(given, str):
        given = {first: given}
    if given is not None and not isinstance(given, dict):
        return given
    found = {language: default_text(defaults, language) for language in languages}
    return {**{key: text for key, text in found.items() if text is not None}, **(given or {})}


def _long(key: str, value: Any, first: str) -> Any:
    if key in _LOCALIZED and isinstance(value, str):
        return {first: value}
    if key in _LISTS | {"ask"} and isinstance(value, list):
        return {first: value}
    if key == "voices" and isinstance(value, dict):
        return {name: {"name": voice} if isinstance(voice, str) else voice for name, voice in value.items()}
    if key in ("stt", "llm", "tts"):
        chain = value if isinstance(value, list) else [value]
        return [{"provider": choice} if isinstance(choice, str) else choice for choice in chain]
    if isinstance(value, dict):
        return {name: _long(name, inner, first) for name, inner in value.items()}
    if isinstance(value, list):
        return [_long("", item, first) for item in value]
    return value


def _said(problem: dict[str, Any], where: Path_) -> str:
    """pydantic's finding in our words, with what is allowed."""
    kind = problem["type"]
    context = problem.get("ctx") or {}
    if kind == "extra_forbidden":
        allowed = _allowed_keys(where[:-1])
        close = difflib.get_close_matches(str(where[-1]), allowed, 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        return f"is not a key here{hint}; allowed: {', '.join(allowed)}"
    if kind == "missing":
        return "is missing"
    if kind in ("literal_error", "enum"):
        return f"{problem['input']!r} is not allowed; allowed: {context.get('expected')}"
    if kind.startswith("union_tag"):
        return "needs kind: end_call, transfer_call or webhook"
    message = str(problem["msg"])
    return f"{message[0].lower()}{message[1:]}, not {str(problem.get('input'))[:60]!r}"


def _allowed_keys(where: Path_) -> list[str]:
    model: Any = AgentFile
    for part in where:
        if isinstance(part, int):
            continue
        fields = getattr(model, "model_fields", {})
        tools: dict[str, type[BaseModel]] = {
            "end_call": schema.EndCallTool, "transfer_call": TransferCallTool, "webhook": WebhookTool,
        }  # fmt: skip
        if part in fields:
            model = _inner_model(fields[part].annotation) or model
        elif part in tools:
            model = tools[part]
    return sorted(getattr(model, "model_fields", {}))


def _inner_model(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _inner_model(argument)) is not None:
            return found
    return None


def _cross_checks(agent: AgentFile) -> list[tuple[Path_, str]]:
    """What the schema cannot see: places that must agree with each other."""
    found: list[tuple[Path_, str]] = []
    for index, language in enumerate(agent.languages):
        if not _TAG.match(language):
            found.append(
                (("languages", index), f"{language!r} is no language tag; allowed: en, en-GB, es-419")
            )
        if agent.languages.index(language) != index:
            found.append((("languages", index), f"{language} stands twice"))
    found += _language_checks(agent)
    found += _name_checks(agent)
    turns = agent.turns
    if not turns.min_silence_ms <= turns.silence_ms <= turns.max_silence_ms:
        found.append((("turns",), "must have min_silence_ms <= silence_ms <= max_silence_ms"))
    return found


def _language_checks(agent: AgentFile) -> list[tuple[Path_, str]]:
    found: list[tuple[Path_, str]] = []
    required: list[tuple[Path_, dict[str, Any]]] = [
        (("greeting",), agent.greeting),
        (("unknown",), agent.unknown),
        *((("phrases", name), getattr(agent.phrases, name)) for name in PHRASES),
    ]
    for index, entry in enumerate(agent.knowledge):
        where: Path_ = ("knowledge", index)
        required += [((*where, "ask"), entry.ask), ((*where, "answer"), entry.answer)]
    for index, dialogue in enumerate(agent.dialogues):
        where = ("dialogues", index)
        required += [
            ((*where, key), getattr(dialogue, key)) for key in ("start", "confirm", "done", "cancelled")
        ]
        required += [((*where, "slots", at, "ask"), slot.ask) for at, slot in enumerate(dialogue.slots)]
    for where, texts in required:
        missing = [language for language in agent.languages if not texts.get(language)]
        if missing:
            found.append((where, f"has no text in {', '.join(missing)}; every declared language needs one"))
    optional: list[tuple[Path_, dict[str, Any]]] = [(("voices",), dict(agent.voices))]
    for where, texts in required + optional:
        for language in texts:
            if language not in agent.languages:
                allowed = ", ".join(agent.languages)
                found.append(((*where, language), f"is not among languages; allowed: {allowed}"))
    return found


def _name_checks(agent: AgentFile) -> list[tuple[Path_, str]]:
    found: list[tuple[Path_, str]] = []
    webhooks = {tool.name for tool in agent.tools if isinstance(tool, WebhookTool)}
    seen: set[str] = set()
    for index, tool in enumerate(agent.tools):
        if tool.name in seen:
            found.append((("tools", index, "name"), f"{tool.name} stands twice"))
        seen.add(tool.name)
        if isinstance(tool, TransferCallTool):
            for name, target in tool.targets.items():
                if not _TARGET.match(target):
                    what = f"{target!r} is no target; allowed: +15005550006 or sip:name@host"
                    found.append((("tools", index, "targets", name), what))
    ids: set[str] = set()
    for kind in ("knowledge", "dialogues"):
        for index, entry in enumerate(getattr(agent, kind)):
            if entry.id in ids:
                found.append(((kind, index, "id"), f"{entry.id} stands twice"))
            ids.add(entry.id)
    for index, dialogue in enumerate(agent.dialogues):
        where: Path_ = ("dialogues", index)
        names = {slot.name for slot in dialogue.slots}
        for key in ("confirm", "done"):
            for language, text in getattr(dialogue, key).items():
                for holder in set(_PLACE_HOLDER.findall(text)) - names:
                    what = f"{{{holder}}} is no slot; allowed: {', '.join(sorted(names))}"
                    found.append(((*where, key, language), what))
        if dialogue.tool is not None and dialogue.tool not in webhooks:
            what = f"{dialogue.tool} is no webhook tool; allowed: {', '.join(sorted(webhooks)) or 'none yet'}"
            found.append(((*where, "tool"), what))
        for at, slot in enumerate(dialogue.slots):
            if slot.kind == "choice" and not (slot.choices and slot.choices.get(agent.language)):
                found.append(((*where, "slots", at), "a choice needs choices"))
    return found
