"""The JSON file of a run: everything that was measured, for machines and for `parley bench compare`.

JSON has no NaN or infinity: both become null. `null` in `recovery_s` of an event that was followed by seconds
means that callers had no good second again before the next one, or that nobody asked: `story` tells which.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from agent.errors import ConfigError
from loadtest.scenarios.result import FORMAT, Result
from loadtest.scenarios.trouble import story

MAX_BYTES = 256 * 1024 * 1024
"""A file that is larger was not written by us."""


class _Scenario(BaseModel):
    name: str
    providers: dict[str, Any]


class _Step(BaseModel):
    name: str
    calls: int
    valid: bool
    callers: dict[str, Any]
    samples: dict[str, list[float]]


class _Report(BaseModel):
    """What a comparison needs of a file: it may be from another build, cut short, or edited."""

    scenario: _Scenario
    machine: dict[str, Any]
    steps: list[_Step]
    ended: str = ""


def as_json(result: Result) -> dict[str, Any]:
    """Plain data."""
    found = _finite(dataclasses.asdict(result))
    assert isinstance(found, dict)
    for step, measured in zip(found["steps"], result.steps, strict=True):
        step["valid"] = measured.valid
        step["failures"] = measured.failures
    for event, happened in zip(found["events"], result.events, strict=True):
        event["story"] = story(happened)
    return {"format": FORMAT, "valid": result.valid, **found}


def write_json(path: Path, result: Result) -> None:
    """Raises `ConfigError` if it cannot be written."""
    _write(path, orjson.dumps(as_json(result), option=orjson.OPT_INDENT_2))


def write_page(path: Path, page: str) -> None:
    """Raises `ConfigError` if it cannot be written."""
    _write(path, page.encode())


def read_json(path: Path) -> dict[str, Any]:
    """A file of `write_json`. Raises `ConfigError`, one line."""
    try:
        with path.open("rb") as file:
            found = orjson.loads(file.read(MAX_BYTES))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{path}: is not JSON: {error}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ConfigError(f"{path}: is no report of `parley bench --json` (format {FORMAT})")
    try:
        _Report.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path}: is no whole report: {field}: {first['msg'].lower()}") from None
    return found


def _write(path: Path, content: bytes) -> None:
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return value
