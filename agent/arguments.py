"""Do a model's arguments fit a tool's JSON schema? Pure.

The part of JSON Schema (2020-12) that tool definitions use; other keywords are ignored, as the standard
says of unknown ones. Models get arguments wrong often enough that an owner's endpoint should not have to
find out, and a model that is told what is wrong mends it in the next round.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    # 3.0 is an integer to JSON Schema.
    "integer": lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool) and value % 1 == 0
    ),
}


def misfit(schema: Mapping[str, Any], value: Any, where: str = "") -> str | None:
    """The first thing in `value` that `schema` does not allow, as a sentence for the model; None: it fits."""
    name = where or "the arguments"
    types = schema.get("type")
    if types is not None:
        allowed = [types] if isinstance(types, str) else list(types)
        if not any(_TYPES.get(each, lambda _: True)(value) for each in allowed):
            return f"{name} must be {' or '.join(map(str, allowed))}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{name} must be one of {', '.join(map(str, schema['enum']))}"
    if "const" in schema and value != schema["const"]:
        return f"{name} must be {schema['const']}"
    if isinstance(value, dict):
        return _object(schema, value, where)
    if isinstance(value, list):
        return _array(schema, value, where, name)
    if isinstance(value, str):
        return _text(schema, value, name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(schema, value, name)
    return None


def _object(schema: Mapping[str, Any], value: dict[str, Any], where: str) -> str | None:
    properties = schema.get("properties") or {}
    for required in schema.get("required") or ():
        if required not in value:
            return f"{_inside(where, required)} is missing"
    others = schema.get("additionalProperties", True)
    for key, inner in value.items():
        if key in properties:
            wanted = properties[key]
        elif others is False:
            return f"{_inside(where, key)} is not known; allowed: {', '.join(properties) or 'nothing'}"
        else:
            wanted = others
        if isinstance(wanted, Mapping) and (found := misfit(wanted, inner, _inside(where, key))):
            return found
    return None


def _array(schema: Mapping[str, Any], value: list[Any], where: str, name: str) -> str | None:
    if len(value) < schema.get("minItems", 0):
        return f"{name} must have {schema['minItems']} or more items"
    if len(value) > schema.get("maxItems", len(value)):
        return f"{name} must have {schema['maxItems']} items or less"
    items = schema.get("items")
    if isinstance(items, Mapping):
        for index, inner in enumerate(value):
            if found := misfit(items, inner, f"{where}[{index}]"):
                return found
    return None


def _text(schema: Mapping[str, Any], value: str, name: str) -> str | None:
    if len(value) < schema.get("minLength", 0):
        return f"{name} must have {schema['minLength']} or more characters"
    if len(value) > schema.get("maxLength", len(value)):
        return f"{name} must have {schema['maxLength']} characters or less"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return f"{name} must match {schema['pattern']}"
    return None


def _number(schema: Mapping[str, Any], value: float, name: str) -> str | None:
    if value < schema.get("minimum", value):
        return f"{name} must be {schema['minimum']} or more"
    if value > schema.get("maximum", value):
        return f"{name} must be {schema['maximum']} or less"
    if value <= schema.get("exclusiveMinimum", value - 1):
        return f"{name} must be more than {schema['exclusiveMinimum']}"
    if value >= schema.get("exclusiveMaximum", value + 1):
        return f"{name} must be less than {schema['exclusiveMaximum']}"
    return None


def _inside(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
