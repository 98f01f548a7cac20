"""Reads an agent file. Every mistake becomes one line: file, line, what is wrong, what is allowed."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agent.agentfile.checks import cross_checks
from agent.agentfile.defaults import FILLERS, PHRASES, UNKNOWN, default_text
from agent.agentfile.mistakes import explained
from agent.agentfile.reader import Place, Reader, shown
from agent.agentfile.schema import AgentFile
from agent.errors import AgentFileError

MAX_BYTES = 1_000_000
"""Bigger than any persona; YAML parsing is not cheap."""
_LOCALIZED = {"greeting", "unknown", "answer", "ask", "confirm", "done", "cancelled"}
_LISTS = {"start", "choices", "ask"}
_OPAQUE = {"parameters", "headers", "targets"}
"""Below these the author chooses the keys, so `done` or `ask` mean nothing there."""


def load_agent(path: Path | None = None) -> AgentFile:
    """The agent of `path`, or the example that ships with Parley. Raises `AgentFileError`."""
    if path is None:
        text = resources.files("agent.examples").joinpath("clinic.yaml").read_text("utf-8")
        return parse_agent(text, "clinic.yaml")
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise AgentFileError([f"{path}: cannot be read: {error.strerror}"]) from None
    if len(raw) > MAX_BYTES:
        raise _too_large(str(path))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise AgentFileError([f"{path}:{line}: is not UTF-8 text; save the file as UTF-8"]) from None
    return parse_agent(text, str(path))


def parse_agent(text: str, name: str) -> AgentFile:
    """The agent written in `text`; `name` begins each line of a mistake. Raises `AgentFileError`.

    Mistakes come in the order of the file. Those that need the whole to be well-formed (a missing
    language, a name that stands nowhere) are looked for once everything else is right.
    """
    if len(text.encode()) > MAX_BYTES:
        raise _too_large(name)
    reader = Reader(name)
    data = _normalised(reader.read(text))
    found: list[tuple[Place, str]] = []
    try:
        agent = AgentFile.model_validate(data)
    except ValidationError as error:
        found = explained(error.errors(include_url=False))
    else:
        found = cross_checks(agent)
    problems = [*reader.problems]
    problems += [(reader.place_line(place), f"{shown(place)}: {what}") for place, what in found]
    if problems:
        # Stable: several on one line stay in the order they were found in.
        problems.sort(key=lambda problem: problem[0])
        raise AgentFileError([reader.found(line, what) for line, what in problems])
    return agent


def _too_large(name: str) -> AgentFileError:
    return AgentFileError([f"{name}:1: is larger than {MAX_BYTES} bytes, the most that is read"])


def _normalised(data: dict[str, Any]) -> dict[str, Any]:
    """Short forms written out, defaults of the agent's languages filled in."""
    languages = data.get("languages")
    known = [each for each in languages if isinstance(each, str)] if isinstance(languages, list) else []
    first = known[0] if known else "en"
    data = {key: _long(key, value, first) for key, value in data.items()}
    phrases = data.get("phrases")
    phrases = {} if phrases is None else phrases
    if isinstance(phrases, dict):
        data["phrases"] = {
            **{key: value for key, value in phrases.items() if key not in PHRASES},
            **{
                key: _with_defaults(phrases.get(key), defaults, known, first)
                for key, defaults in PHRASES.items()
            },
        }
    budgets = data.get("budgets")
    if isinstance(budgets, dict):
        data["budgets"] = _long_budgets(budgets, known, first)
    data["unknown"] = _with_defaults(data.get("unknown"), UNKNOWN, known, first)
    return data


def _long_budgets(budgets: dict[str, Any], languages: list[str], first: str) -> dict[str, Any]:
    found = {key: _long_budget(key, value) for key, value in budgets.items()}
    fillers = found.get("fillers")
    fillers = {first: fillers} if isinstance(fillers, list) else fillers
    found["fillers"] = _with_defaults(fillers, FILLERS, languages, first)
    return found


def _long_budget(key: str, value: Any) -> Any:
    if key == "smaller_model":
        return {"provider": value} if isinstance(value, str) else value
    return {"ms": value} if isinstance(value, int) and not isinstance(value, bool) else value


def _with_defaults(given: Any, defaults: Mapping[str, Any], languages: list[str], first: str) -> Any:
    if isinstance(given, str):
        given = {first: given}
    if given is not None and not isinstance(given, dict):
        return given
    found = {language: default_text(defaults, language) for language in languages}
    return {**{key: text for key, text in found.items() if text is not None}, **(given or {})}


def _long(key: str, value: Any, first: str) -> Any:
    if key in _OPAQUE:
        return value
    if key in _LOCALIZED and isinstance(value, str):
        return {first: value}
    if key in _LISTS and isinstance(value, list):
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
