"""What the vendors' JSON messages have in common. Pure."""

from typing import Any

import orjson

from agent.errors import WireError


def read_object(data: bytes) -> dict[str, Any]:
    """A message that is a JSON object. Raises `WireError` for any other."""
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise WireError("bad_json", str(error)) from None
    if not isinstance(message, dict):
        raise WireError("bad_json", "expected an object")
    return message
