"""What pydantic found, said in our words: what is wrong, and what is allowed."""

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from agent.agentfile.reader import Place
from agent.agentfile.schema import AgentFile, EndCallTool, TransferCallTool, WebhookTool

_TOOLS: dict[str, type[BaseModel]] = {
    "end_call": EndCallTool, "transfer_call": TransferCallTool, "webhook": WebhookTool,
}  # fmt: skip
_EXPECTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "list_type": "a list, such as [one, two]",
    "string_type": "text",
}
_PATTERNS = {
    "url": "an address that begins with http:// or https://",
    "id": "small letters, digits and _, beginning with a letter",
    "name": "letters, digits and _, beginning with a letter (small letters where it names a slot)",
}
_DEFAULTED = ("phrases", "unknown")
"""Filled in before the schema is applied."""
_BOUNDS = {
    "greater_than_equal": ("ge", "or more"),
    "less_than_equal": ("le", "or less"),
}


def explained(errors: Iterable[ErrorDetails]) -> list[tuple[Place, str]]:
    """Place and wording of each finding."""
    return [(_in_the_file(error["loc"]), _said(error)) for error in errors]


def _in_the_file(loc: Place) -> Place:
    """pydantic puts a tool's kind behind its index; the file has no such level."""
    if len(loc) > 2 and loc[0] == "tools" and loc[2] in _TOOLS:
        return (*loc[:2], *loc[3:])
    return loc


def _said(error: ErrorDetails) -> str:
    kind, where, given = error["type"], error["loc"], error["input"]
    context = error.get("ctx") or {}
    if kind == "extra_forbidden":
        allowed = sorted(_fields(where[:-1]))
        close = difflib.get_close_matches(str(where[-1]), allowed, 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        return f"is not a key here{hint}; allowed: {', '.join(allowed)}"
    if kind == "missing":
        needed = [
            name
            for name, field in _fields(where[:-1]).items()
            if field.is_required() and not (len(where) == 1 and name in _DEFAULTED)
        ]
        return f"is missing; needed here: {', '.join(needed)}"
    if kind in ("literal_error", "enum"):
        return f"{_short(given)} is not allowed; allowed: {_listed(str(context.get('expected')))}"
    if kind.startswith("union_tag"):
        tag = f"{context['tag']!r} is no kind of tool; " if "tag" in context else ""
        return f"{tag}needs kind: {_listed(', '.join(_TOOLS))}"
    if kind == "string_pattern_mismatch":
        return f"{_short(given)} is not allowed; allowed: {_PATTERNS.get(str(where[-1]), context['pattern'])}"
    if kind in ("too_short", "string_too_short") and len(given) == 0:
        return "is empty"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"{_short(given)} is not allowed; allowed: {context[name]} {words}"
    return _wrong_type(kind, where, given, str(error["msg"]))


def _wrong_type(kind: str, where: Place, given: Any, message: str) -> str:
    expected = _EXPECTED.get(kind)
    if kind == "dict_type" or kind.startswith("model"):
        fields = sorted(_fields(where))
        expected = f"keys: {', '.join(fields)}" if fields else "keys with values, such as en: Hello"
    if given is None:
        return f"is empty; expected {expected or 'a value'}"
    if expected is None:
        return f"{message[0].lower()}{message[1:]}, not {_short(given)}"
    quotes = "; put it in quotes" if kind == "string_type" and isinstance(given, bool | int | float) else ""
    return f"expected {expected}, not {_short(given)}{quotes}"


def _short(given: Any) -> str:
    """A value as it is shown. Never the whole of a structure: aliases can make it endless."""
    if isinstance(given, dict):
        return "a group of keys"
    if isinstance(given, list):
        return "a list"
    if isinstance(given, bool):
        return str(given).lower()
    return repr(given if len(str(given)) <= 60 else f"{str(given)[:60]}…")


def _listed(text: str) -> str:
    head, _, last = text.replace("'", "").replace(" or ", ", ").rpartition(", ")
    return f"{head} or {last}" if head else last


def _fields(where: Place) -> dict[str, Any]:
    """Fields of the section at `where` by name; none where it is no section of ours."""
    model: Any = AgentFile
    for part in where:
        if isinstance(part, int):
            continue
        fields = getattr(model, "model_fields", {})
        if part in fields:
            model = _inner_model(fields[part].annotation)
        else:
            # Behind an index of `tools` stands the kind; a language or a name of the author's leads nowhere.
            model = _TOOLS.get(str(part)) if where[0] == "tools" else model
    found: dict[str, Any] = getattr(model, "model_fields", {})
    return found


def _inner_model(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _inner_model(argument)) is not None:
            return found
    return None
