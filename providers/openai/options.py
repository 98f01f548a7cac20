"""The provider's entry in the agent file: what may stand there, and what follows from the model's name.
Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from agent.errors import ConfigError

NAME = "openai"
"""The provider's, in chains, metrics and logs."""
DEFAULT_BASE = "https://api.openai.com/v1"
DEFAULT_MODEL = "gpt-4.1"
"""The quickest of OpenAI's own to its first token in the sheet's table (openai.md 9): 536 ms at the
median."""
BASE_VARIABLES = ("PARLEY_OPENAI_BASE_URL", "OPENAI_BASE_URL")
MODEL_VARIABLE = "PARLEY_OPENAI_MODEL"
KEY_VARIABLE = "OPENAI_API_KEY"
DEFAULT_TIMEOUT_MS = 10_000.0
"""As the chain's own bound on the wait between two events."""

_REASONING = re.compile(r"o\d|gpt-([5-9]|\d\d)")
_NUMBERS: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "frequency_penalty": (-2.0, 2.0),
    "presence_penalty": (-2.0, 2.0),
}
_TEXTS = ("reasoning_effort", "verbosity", "service_tier", "prompt_cache_key", "tool_choice")
"""Passed on as they are: what is allowed differs by model and by server (openai.md 2)."""
_OWN = (
    "model", "base_url", "api_key_name", "max_tokens", "seed", "stop", "parallel_tool_calls", "knowledge",
    "keep_warm", "timeout_ms", "extra",
)  # fmt: skip
NAMES = frozenset((*_OWN, *_NUMBERS, *_TEXTS))


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for, checked."""

    model: str = DEFAULT_MODEL
    base_url: str = DEFAULT_BASE
    """Without a slash at its end."""
    key_name: str = KEY_VARIABLE
    """The environment variable that holds the key."""
    max_tokens: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Everything else for the request's body."""
    knowledge: bool = True
    """Tell the model what the agent file knows."""
    keep_warm: bool = True
    """Keep a connection open through quiet times."""
    timeout_ms: float = DEFAULT_TIMEOUT_MS
    """Longest silence of the server while a reply is wanted. The chain's own bounds are usually tighter."""

    @property
    def official(self) -> bool:
        """OpenAI itself, also its regional hosts."""
        return (urlsplit(self.base_url).hostname or "").endswith("openai.com")

    @classmethod
    def read(cls, options: Mapping[str, Any], environ: Mapping[str, str]) -> "Options":
        """The agent file's entry first, then the environment.

        Raises `ConfigError` that names the option and what is allowed.
        """
        if unknown := sorted(options.keys() - NAMES):
            raise _wrong(f"no option {unknown[0]!r}: use {', '.join(sorted(NAMES))}")
        base = _text(options, "base_url") or _first(environ, *BASE_VARIABLES) or DEFAULT_BASE
        if urlsplit(base).scheme not in ("http", "https") or not urlsplit(base).hostname:
            raise _wrong(f"base_url {base!r}: expected https://host/v1")
        timeout_ms = _number(options, "timeout_ms", 500.0, 600_000.0)
        return cls(
            _text(options, "model") or _first(environ, MODEL_VARIABLE) or DEFAULT_MODEL,
            base.rstrip("/"),
            _text(options, "api_key_name") or KEY_VARIABLE,
            _whole(options, "max_tokens", 1),
            _parameters(options),
            _switch(options, "knowledge") is not False,
            _switch(options, "keep_warm") is not False,
            DEFAULT_TIMEOUT_MS if timeout_ms is None else timeout_ms,
        )


def default_effort(model: str) -> str | None:
    """The least reasoning that a model takes, since a caller waits; None for models without such a parameter.

    From GPT-5.1 on it is `none`, and the newest take tools here with nothing else (openai.md 2). GPT-5 itself
    begins at `minimal`, the o-series at `low`.
    """
    name = model.rpartition("/")[2]
    if re.match(r"gpt-5(-(mini|nano))?(-\d{4}.*)?$", name):
        return "minimal"
    if re.match(r"o\d", name):
        return "low"
    return "none" if _REASONING.match(name) and "chat" not in name else None


def _parameters(options: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (least, most) in _NUMBERS.items():
        found[name] = _number(options, name, least, most)
    for name in _TEXTS:
        found[name] = _text(options, name)
    found["seed"] = _whole(options, "seed", None)
    found["parallel_tool_calls"] = _switch(options, "parallel_tool_calls")
    stop = options.get("stop")
    if stop is not None and not isinstance(stop, str) and not _are_texts(stop):
        raise _wrong("stop is a text or a list of texts")
    found["stop"] = stop
    extra = options.get("extra", {})
    if not isinstance(extra, dict) or extra.keys() & {"messages", "stream", "tools", "model"}:
        raise _wrong(
            "extra is a mapping of further fields of the request; not messages, model, stream, tools"
        )
    return {name: value for name, value in found.items() if value is not None} | extra


def _wrong(detail: str) -> ConfigError:
    return ConfigError(f"openai: {detail}")


def _first(environ: Mapping[str, str], *names: str) -> str | None:
    return next((value for name in names if (value := environ.get(name, "").strip())), None)


def _text(options: Mapping[str, Any], name: str) -> str | None:
    value = options.get(name)
    if value is not None and (not isinstance(value, str) or not value):
        raise _wrong(f"{name} is text")
    return value


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _switch(options: Mapping[str, Any], name: str) -> bool | None:
    value = options.get(name)
    if value is not None and not isinstance(value, bool):
        raise _wrong(f"{name} is true or false")
    return value


def _whole(options: Mapping[str, Any], name: str, least: int | None) -> int | None:
    value = options.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or (least is not None and value < least):
        raise _wrong(f"{name} is a whole number" + ("" if least is None else f", {least} or more"))
    return value


def _number(options: Mapping[str, Any], name: str, least: float, most: float) -> float | None:
    value = options.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise _wrong(f"{name} is a number from {least:g} to {most:g}")
    return value
