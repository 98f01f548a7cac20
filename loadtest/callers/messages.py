"""What a media platform reads out of a server's message, and what a far end can do.

`FarEnd` is the platform's side of one media socket, without IO: it builds the platform's messages and reads
the server's, and is as strict about those as the platform is.
"""

import binascii
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from agent.audio.formats import AudioFormat
from agent.errors import WireError


@dataclass(frozen=True, slots=True)
class PlayAudio:
    """Payload in the line's outbound format, to be queued."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class PlaceMark:
    """Return this mark when everything queued before it has been played."""

    name: str


@dataclass(frozen=True, slots=True)
class ClearAudio:
    """Empty the play buffer."""


ServerMessage = PlayAudio | PlaceMark | ClearAudio


class FarEnd(Protocol):
    """The platform's side of one media stream."""

    @property
    def call_id(self) -> str:
        """CallSid or call_control_id: the id of the call on the platform."""

    @property
    def to_server(self) -> AudioFormat:
        """Format of the caller's audio on the wire."""

    @property
    def from_server(self) -> AudioFormat:
        """Format of the server's audio on the wire."""

    def opening(self) -> list[str]:
        """The messages that open the stream."""

    def media(self, payload: bytes) -> str:
        """20 ms of the caller's audio."""

    def dtmf(self, digit: str) -> str:
        """A key was pressed."""

    def mark(self, name: str) -> str:
        """A mark was reached, or cleared."""

    def stop(self) -> str:
        """The stream is over."""

    def read(self, text: str) -> ServerMessage:
        """Understand a server's message. Raises `WireError` as the platform would report it."""

    def complaint(self, error: WireError) -> str | None:
        """What the platform sends back for a bad message, if anything."""


def dump(message: dict[str, Any]) -> str:
    """A message as compact JSON text."""
    return orjson.dumps(message).decode()


def parse_object(text: str) -> dict[str, Any]:
    """The JSON object in a text frame. Raises `WireError`."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise WireError("malformed", f"not JSON ({error}): {text[:80]!r}") from None
    if not isinstance(message, dict):
        raise WireError("malformed", f"not a JSON object: {text[:80]!r}")
    return message


def part(message: dict[str, Any], name: str, key: str) -> str:
    """Text at `message[name][key]`. Raises `WireError`."""
    inner = message.get(name)
    value = inner.get(key) if isinstance(inner, dict) else None
    if not isinstance(value, str):
        raise WireError("malformed", f"{name}.{key} is missing or not text")
    return value


def payload_of(message: dict[str, Any]) -> bytes:
    """Decoded `media.payload`, strict base64. Raises `WireError`."""
    try:
        payload = binascii.a2b_base64(part(message, "media", "payload"), strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise WireError("payload", f"media.payload is not base64: {error}") from None
    if not payload:
        raise WireError("payload", "media.payload is empty")
    return payload


def to_base64(payload: bytes) -> str:
    """Standard base64 with padding, as every platform here uses."""
    return binascii.b2a_base64(payload, newline=False).decode()
