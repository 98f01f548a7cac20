"""Media Streams' messages: bytes to events, actions to bytes. No socket, task or clock.

Wire: Twilio protocol sheet 2.3 (from Twilio) and 2.4 (to Twilio). 50 `media` messages a second and call make
this the hottest JSON of the server: they are read without intermediate objects and written from a prefix
that is built once per stream (`bench/twilio_media.py`).
"""

from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from agent.audio.formats import PCMU_8K
from agent.errors import WireError
from transports.event_json import read_event
from transports.twilio.relay_codec import key, text_map

_MAX_TIMESTAMP_MS = 1 << 40
"""34 years: anything beyond is no stream time, and would lose its milliseconds as a float."""


class Media(NamedTuple):
    """Some of the caller's audio: G.711 mu-law, 8 kHz, any length. A tuple, since it is made per frame."""

    payload: bytes
    timestamp_ms: int
    """Stream time of its first sample."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The socket is open; carries no call id."""

    protocol: str
    version: str


@dataclass(frozen=True, slots=True)
class Start:
    """The stream begins. Its format is mu-law, 8 kHz, mono: anything else raises."""

    stream_sid: str
    account_sid: str
    call_sid: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dtmf:
    """One key."""

    digit: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What was sent before this mark has been played, or cleared."""

    name: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The stream has ended."""


MediaEvent = Media | Connected | Start | Dtmf | Mark | Stop


class MediaDecoder:
    """Reads one socket's messages. Set `stream_sid` when a `Start` was accepted."""

    __slots__ = ("_next_ms", "stream_sid")

    def __init__(self) -> None:
        self.stream_sid: str | None = None
        """Messages of other streams are refused once this is set; a message without one is taken."""
        self._next_ms = 0

    def decode(self, data: bytes) -> MediaEvent:
        """One message from Twilio. Raises `WireError`."""
        message, event = read_event(data)
        if event == "media":
            return self._media(message)
        reader = _READERS.get(event) if isinstance(event, str) else None
        if reader is None:
            raise WireError("unknown_event", repr(event)[:60])
        if event not in ("connected", "start"):
            self._check_stream(message)
        return reader(message)

    def _media(self, message: dict[str, Any]) -> Media:
        if message.get("streamSid") != self.stream_sid:
            self._check_stream(message)
        try:
            media = message["media"]
            if media.get("track", "inbound") != "inbound":
                raise WireError("track", "audio that is not the caller's")
            # Strict, since the lenient mode silently skips what is no base64 and gives noise.
            payload = a2b_base64(media["payload"], strict_mode=True)
        except (KeyError, AttributeError):
            raise WireError("missing_field", "media without a payload") from None
        except (ValueError, TypeError) as error:
            raise WireError("wrong_base64", str(error)) from None
        if not payload:
            raise WireError("empty_payload", "media without audio")
        try:
            timestamp_ms = int(media["timestamp"])
            if not 0 <= timestamp_ms < _MAX_TIMESTAMP_MS:
                timestamp_ms = self._next_ms
        except (KeyError, ValueError, TypeError, OverflowError):
            # The audio is good: go on counting instead of losing it.
            timestamp_ms = self._next_ms
        self._next_ms = timestamp_ms + len(payload) // 8
        return Media(payload, timestamp_ms)

    def _check_stream(self, message: dict[str, Any]) -> None:
        named = message.get("streamSid")
        if self.stream_sid is not None and named is not None and named != self.stream_sid:
            raise WireError("wrong_stream", "a message of another stream")


def _connected(message: dict[str, Any]) -> Connected:
    return Connected(str(message.get("protocol", "")), str(message.get("version", "")))


def _start(message: dict[str, Any]) -> Start:
    start = _part(message, "start")
    stream_sid = start.get("streamSid") or message.get("streamSid")
    call_sid = start.get("callSid")
    if not isinstance(stream_sid, str) or not isinstance(call_sid, str) or not call_sid:
        raise WireError("missing_field", "start without streamSid or callSid")
    media_format = start.get("mediaFormat")
    if isinstance(media_format, dict):
        encoding = str(media_format.get("encoding", "audio/x-mulaw"))
        rate = str(media_format.get("sampleRate", PCMU_8K.rate_hz))
        channels = str(media_format.get("channels", 1))
        if (encoding, rate, channels) != ("audio/x-mulaw", str(PCMU_8K.rate_hz), "1"):
            raise WireError("media_format", f"{encoding[:40]} at {rate[:10]} Hz, {channels[:10]} channels")
    parameters = text_map(start.get("customParameters"))
    return Start(stream_sid, str(start.get("accountSid", "")), call_sid, parameters)


def _dtmf(message: dict[str, Any]) -> Dtmf:
    return Dtmf(key(str(_part(message, "dtmf").get("digit", ""))))


def _mark(message: dict[str, Any]) -> Mark:
    name = _part(message, "mark").get("name")
    if not isinstance(name, str):
        raise WireError("missing_field", "mark without a name")
    return Mark(name)


def _stop(_message: dict[str, Any]) -> Stop:
    return Stop()


_READERS: dict[str, Callable[[dict[str, Any]], MediaEvent]] = {
    "connected": _connected,
    "start": _start,
    "dtmf": _dtmf,
    "mark": _mark,
    "stop": _stop,
}


def _part(message: dict[str, Any], name: str) -> dict[str, Any]:
    part = message.get(name)
    if not isinstance(part, dict):
        raise WireError("missing_field", name)
    return part


class MediaEncoder:
    """Writes one stream's messages."""

    __slots__ = ("_clear", "_mark_prefix", "_media_prefix")

    def __init__(self, stream_sid: str) -> None:
        sid = orjson.dumps(stream_sid)
        self._media_prefix = b'{"event":"media","streamSid":%b,"media":{"payload":"' % sid
        self._mark_prefix = b'{"event":"mark","streamSid":%b,"mark":{"name":' % sid
        self._clear = b'{"event":"clear","streamSid":%b}' % sid

    def media(self, audio: bytes) -> bytes:
        """Mu-law audio of any length, played in order."""
        return self._media_prefix + b2a_base64(audio, newline=False) + b'"}}'

    def mark(self, name: str) -> bytes:
        """Ask for `name` back when all audio before it was played or cleared."""
        return self._mark_prefix + orjson.dumps(name) + b"}}"

    def clear(self) -> bytes:
        """Empty Twilio's play buffer; pending marks come back."""
        return self._clear
