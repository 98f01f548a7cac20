"""Finds and reads scenarios. Every mistake is one line: file, line, field, what is allowed."""

import difflib
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agent.agentfile.reader import Place, Reader, shown
from agent.errors import AgentFileError, ConfigError
from loadtest.scenarios import schema
from loadtest.scenarios.schema import Scenario

_FILES = "loadtest.scenarios.files"
_SUFFIX = ".yaml"
MAX_BYTES = 100_000
"""Bigger than any scenario."""
_SECTIONS: dict[str, type[schema.Model]] = {
    "callers": schema.Callers,
    "providers": schema.Providers,
    "steps": schema.Step,
    "search": schema.Search,
    "events": schema.Event,
}


class ScenarioError(ConfigError):
    """A scenario has mistakes: one line each."""


def names() -> list[str]:
    """The scenarios that ship with Parley, sorted."""
    folder = resources.files(_FILES)
    return sorted(each.name.removesuffix(_SUFFIX) for each in folder.iterdir() if each.name.endswith(_SUFFIX))


def load_scenario(name: str) -> Scenario:
    """One that ships, by its name, or a file, by its path. Raises `ScenarioError`."""
    known = names()
    if name in known:
        text = resources.files(_FILES).joinpath(name + _SUFFIX).read_text("utf-8")
        return parse_scenario(text, name + _SUFFIX)
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        close = difflib.get_close_matches(name, known, 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise ScenarioError(f"no scenario {name!r}{hint}: use one of {', '.join(known)}, or a file.yaml")
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ScenarioError(f"{path}:1: is larger than {MAX_BYTES} bytes, the most that is read")
        return parse_scenario(raw.decode(), str(path))
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ScenarioError(f"{path}: is not UTF-8 text; save the file as UTF-8") from None


def parse_scenario(text: str, name: str) -> Scenario:
    """The scenario written in `text`; `name` begins each line of a mistake. Raises `ScenarioError`."""
    reader = Reader(name)
    try:
        data = reader.read(text)
    except AgentFileError as error:
        raise ScenarioError(str(error).replace("languages, greeting", "summary, steps")) from None
    problems = list(reader.problems)
    scenario: Scenario | None = None
    try:
        scenario = Scenario.model_validate(data)
    except ValidationError as error:
        for each in error.errors(include_url=False):
            place, what = _explained(each)
            problems.append((reader.place_line(place), f"{shown(place)}: {what}" if place else what))
    if problems or scenario is None:
        problems.sort(key=lambda problem: problem[0])
        raise ScenarioError("\n".join(reader.found(line, what) for line, what in problems))
    return scenario


def _explained(error: ErrorDetails) -> tuple[Place, str]:
    kind, place, given = error["type"], tuple(error["loc"]), error["input"]
    context = error.get("ctx") or {}
    if kind == "extra_forbidden":
        allowed = sorted(_section(place[:-1]).model_fields)
        close = difflib.get_close_matches(str(place[-1]), allowed, 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        return place, f"is not a key here{hint}; allowed: {', '.join(allowed)}"
    if kind == "missing":
        return place, "is missing"
    if kind == "value_error":
        # Our own checks of several fields begin with the name of the field that is to be changed.
        field, _, what = str(context["error"]).partition(": ")
        return (*place, field), what
    if kind in ("literal_error", "enum"):
        return (
            place,
            f"{_short(given)} is not allowed; allowed: {str(context['expected']).replace(chr(39), '')}",
        )
    return place, f"{error['msg'][0].lower()}{error['msg'][1:]}, not {_short(given)}"


def _section(place: Place) -> type[schema.Model]:
    return _SECTIONS.get(str(place[0]), Scenario) if place else Scenario


def _short(given: Any) -> str:
    return (
        "a group of keys" if isinstance(given, dict) else "a list" if isinstance(given, list) else repr(given)
    )
