"""YAML to plain data that remembers on which line everything stands.

YAML 1.1 reads `no` as a truth value, `12:30` as 750 and `2026-01-02` as a date. In an agent file these are
things that people say, so plain scalars follow the core schema of YAML 1.2: only true and false, null, and
decimal numbers are more than text.
"""

import re
from typing import Any

import yaml

from agent.errors import AgentFileError

_MAX_NODES = 50_000
"""Nodes after aliases are followed: stops a file that multiplies itself."""
_MAX_DEPTH = 30
"""A persona needs eight levels; the JSON schema of a tool's arguments may need more."""
_INTEGER = re.compile(r"[-+]?(0|[1-9]\d{0,17})")
_FLOAT = re.compile(r"[-+]?\d{1,17}\.\d{0,17}")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}
_HINTS = {
    "mapping values are not allowed here": "put a text that contains ': ' in quotes",
    "found character '\\t' that cannot start any token": "indent with spaces, not tabs",
}

Place = tuple[str | int, ...]
"""Keys and indexes from the top of the file to a value."""


class Reader:
    """One file. `problems` are (line, text); `place_line` knows where a value stands."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[tuple[int, str]] = []
        self._lines: dict[Place, int] = {}
        self._nodes = 0

    def read(self, text: str) -> dict[str, Any]:
        """The file's data. Raises `AgentFileError` if it is no YAML mapping."""
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            said = str(error.problem)
            hint = f"; {_HINTS[said]}" if said in _HINTS else ""
            raise self._fatal(mark.line + 1 if mark else 1, f"is not YAML: {said}{hint}") from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, int(error.position)) + 1
            what = f"the character U+{ord(text[error.position]):04X} is not allowed in YAML"
            raise self._fatal(line, what) from None
        except RecursionError:
            raise self._fatal(1, "is nested too deeply") from None
        if not isinstance(node, yaml.MappingNode):
            what = "is empty" if node is None or node.value == "" else "begins with something else"
            raise self._fatal(1, f"{what}; expected keys such as name, languages, greeting")
        data = self._value(node, ())
        assert isinstance(data, dict)
        return data

    def place_line(self, where: Place) -> int:
        """Line of a value, or of the nearest thing around it that the file has."""
        while where and where not in self._lines:
            where = where[:-1]
        return self._lines.get(where, 1)

    def found(self, line: int, what: str) -> str:
        """A mistake as it is shown."""
        return f"{self.name}:{line}: {what}"

    def _fatal(self, line: int, what: str) -> AgentFileError:
        return AgentFileError([self.found(line, what)])

    def _value(self, node: yaml.Node, where: Place) -> Any:
        line = node.start_mark.line + 1
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise self._fatal(line, "the file has too many values (aliases that multiply?)")
        if len(where) > _MAX_DEPTH:
            raise self._fatal(line, "is nested too deeply (an alias of itself?)")
        self._lines.setdefault(where, line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*where, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, where: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append((line, f"{shown((*where, '?'))}: a key must be plain text"))
                continue
            key = str(key_node.value)
            if key in found:
                self.problems.append((line, f"{shown((*where, key))}: stands twice"))
                continue
            self._lines[(*where, key)] = line
            found[key] = self._value(value_node, (*where, key))
        return found


def shown(where: Place) -> str:
    """A place as it is shown: `knowledge.0.answer`."""
    return ".".join(str(part) for part in where)


def _scalar(node: yaml.ScalarNode) -> Any:
    text = str(node.value)
    if node.style is not None:
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
