"""What media streams' messages have in common on every platform: JSON objects that name their event. Pure."""

from typing import Any

import orjson

from agent.errors import WireError


def read_event(data: bytes) -> tuple[dict[str, Any], Any]:
    """A message and what it names as its event, which may be of any type. Raises `WireError`."""
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise WireError("malformed_json", str(error)) from None
    try:
        return message, message["event"]
    except (KeyError, TypeError):
        kind = "unknown_event" if isinstance(message, dict) else "not_an_object"
        raise WireError(kind, f"no event in {message!r:.60}") from None
