"""Data-channel messages: JSON text, version 1. Events of the call out, the page's wishes in. Pure.

docs/webrtc.md is the schema. Unknown types and fields are ignored by both sides, so that either may be newer.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import orjson

from agent.errors import WireError
from agent.events import (
    AgentHeard,
    AgentWords,
    CallerWords,
    CallEvent,
    Problem,
    StateChanged,
    ToolRun,
    TurnLatency,
)
from transports.webrtc.limits import MAX_MESSAGE_BYTES

VERSION = 1
CHANNEL = "parley"
"""Label of the data channel."""
MAX_TEXT_CHARS = 2_000
"""Of typed input."""
MAX_METRICS = 32
"""Figures in one report of the page."""
_DIGITS = frozenset("0123456789*#ABCD")


@dataclass(frozen=True, slots=True)
class Typed:
    """Text input."""

    text: str


@dataclass(frozen=True, slots=True)
class SwitchLanguage:
    """The caller picked another language."""

    language: str


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the dial pad."""

    digit: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """The caller hung up."""


@dataclass(frozen=True, slots=True)
class Ping:
    """To be answered at once."""

    id: int


@dataclass(frozen=True, slots=True)
class ClientMetrics:
    """The page's own measurements, by name."""

    metrics: dict[str, float] = field(default_factory=dict)
    turn: int | None = None


PageMessage = Typed | SwitchLanguage | Key | HangUp | Ping | ClientMetrics


def read_message(data: str | bytes) -> PageMessage | None:
    """None for a type that is not known. Raises `WireError` for what no page of ours sends."""
    message = _read(data)
    match message.get("type"):
        case "text":
            return Typed(_string(message, "text", MAX_TEXT_CHARS))
        case "language":
            return SwitchLanguage(_string(message, "language", 35))
        case "dtmf":
            digit = _string(message, "digit", 1)
            if digit not in _DIGITS:
                raise WireError("field", "digit is one of 0-9 * # A-D")
            return Key(digit)
        case "hangup":
            return HangUp()
        case "ping":
            return Ping(_integer(message, "id"))
        case "client":
            return _metrics(message)
    return None


def write_event(event: CallEvent) -> str:
    """An event of the call."""
    match event:
        case StateChanged(state):
            fields: dict[str, Any] = {"type": "state", "state": state}
        case CallerWords(text, final):
            fields = {"type": "caller", "text": text, "final": final}
        case AgentWords(turn, text, kind):
            fields = {"type": "agent", "turn": turn, "text": text, "kind": kind}
        case AgentHeard(turn, text, done, interrupted):
            fields = {"type": "heard", "turn": turn, "text": text, "done": done, "interrupted": interrupted}
        case ToolRun(turn, name):
            fields = {"type": "tool", "turn": turn, "name": name}
        case TurnLatency(turn, stages_ms, providers):
            stages = {str(stage): round(ms, 1) for stage, ms in stages_ms.items()}
            fields = {"type": "latency", "turn": turn, "stages_ms": stages, "providers": dict(providers)}
        case Problem(text):
            fields = {"type": "error", "text": text}
    return _write(fields)


def write_hello(call_id: str, language: str, agent: str) -> str:
    """The first message on the channel."""
    return _write({"type": "hello", "call": call_id, "language": language, "agent": agent})


def write_pong(ping: Ping, now_ms: float) -> str:
    """The answer to a ping."""
    return _write({"type": "pong", "id": ping.id, "t_ms": round(now_ms, 1)})


def write_bye(cause: str) -> str:
    """The last message before the server closes."""
    return _write({"type": "bye", "cause": cause})


def _read(data: str | bytes) -> dict[str, Any]:
    if isinstance(data, bytes):
        raise WireError("binary", "data-channel messages are text")
    encoded = data.encode(errors="replace")
    if len(encoded) > MAX_MESSAGE_BYTES:
        raise WireError("too_long", f"a message of {len(encoded)} bytes")
    try:
        message = orjson.loads(encoded)
    except orjson.JSONDecodeError:
        raise WireError("json", "not JSON") from None
    if not isinstance(message, dict):
        raise WireError("json", "not an object")
    if message.get("v") != VERSION:
        raise WireError("version", f"version {str(message.get('v'))[:20]}, expected {VERSION}")
    return message


def _write(fields: dict[str, Any]) -> str:
    return orjson.dumps({"v": VERSION, **fields}, option=orjson.OPT_NON_STR_KEYS).decode()


def _string(message: dict[str, Any], name: str, limit: int) -> str:
    value = message.get(name)
    if not isinstance(value, str) or not value.strip() or len(value) > limit:
        raise WireError("field", f"{name} is text of 1 to {limit} characters")
    return value


def _integer(message: dict[str, Any], name: str) -> int:
    value = message.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**53) < value < 2**53:
        raise WireError("field", f"{name} is a whole number")
    return value


def _metrics(message: dict[str, Any]) -> ClientMetrics:
    metrics = message.get("metrics")
    if not isinstance(metrics, dict):
        raise WireError("field", "metrics is an object of numbers")
    kept = {
        name[:40]: float(value)
        for name, value in list(metrics.items())[:MAX_METRICS]
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
    return ClientMetrics(kept, _integer(message, "turn") if "turn" in message else None)
