"""Call Control webhooks: bytes to events (sheet 2.1). No IO.

Every payload field is optional in Telnyx's own types; only the ids that an event needs are asked for.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from agent.errors import WireError

_MAX_ID_CHARS = 512


class Kind(StrEnum):
    """The events that mean something here, by their `event_type`."""

    INITIATED = "call.initiated"
    ANSWERED = "call.answered"
    BRIDGED = "call.bridged"
    HANGUP = "call.hangup"
    DTMF = "call.dtmf.received"
    SPEAK_ENDED = "call.speak.ended"
    STREAMING_STARTED = "streaming.started"
    STREAMING_STOPPED = "streaming.stopped"
    STREAMING_FAILED = "streaming.failed"


@dataclass(frozen=True, slots=True)
class Webhook:
    """One event. Fields that its kind does not have are empty."""

    kind: Kind | None
    """None for the many kinds that are only acknowledged."""
    event_id: str
    """Unique per event, the same when it is sent again; may be empty."""
    call_control_id: str
    """Empty only where `kind` is None."""
    session_id: str = ""
    """Shared by the legs of one call."""
    incoming: bool = False
    caller: str = ""
    called: str = ""
    digit: str = ""
    occurred_at: str = ""
    cause: str = ""
    """`hangup_cause`, or `failure_reason`."""


def read_webhook(body: bytes) -> Webhook:
    """Raises `WireError` where it is no Telnyx event."""
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise WireError("malformed_body", str(error)) from None
    data = message.get("data") if isinstance(message, dict) else None
    if not isinstance(data, dict) or not isinstance(data.get("event_type"), str):
        raise WireError("malformed_body", "no data.event_type")
    told = data.get("payload")
    payload: dict[str, Any] = told if isinstance(told, dict) else {}
    try:
        kind = Kind(data["event_type"])
    except ValueError:
        kind = None
    call_control_id = _text(payload, "call_control_id")
    if kind is not None and not 0 < len(call_control_id) <= _MAX_ID_CHARS:
        raise WireError("no_call_id", f"{kind} without a call_control_id")
    return Webhook(
        kind=kind,
        event_id=_text(data, "id")[:_MAX_ID_CHARS],
        call_control_id=call_control_id,
        session_id=_text(payload, "call_session_id")[:_MAX_ID_CHARS],
        incoming=payload.get("direction") in ("incoming", "inbound"),
        caller=_text(payload, "from"),
        called=_text(payload, "to"),
        digit=_text(payload, "digit"),
        occurred_at=_text(data, "occurred_at"),
        cause=(_text(payload, "hangup_cause") or _text(payload, "failure_reason"))[:80],
    )


def _text(values: dict[str, Any], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""
