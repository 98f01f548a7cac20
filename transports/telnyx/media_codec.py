"""Media streaming's messages: bytes to events, actions to bytes. No socket, task or clock.

Wire: Telnyx protocol sheet 2.2 (from Telnyx) and 2.3 (to Telnyx). 50 `media` messages a second and call make
this the hottest JSON of the server: they are read without intermediate objects and written around a prefix
that is built once (`bench/telnyx_media.py`). Where the sheet is unsure, both shapes are read.
"""

from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from agent.audio.codec import make_encoder
from agent.audio.formats import G722_16K, PCMA_8K, PCMU_8K, AudioFormat, Encoding, linear
from agent.audio.vad import RATES_HZ
from agent.errors import WireError
from transports.event_json import read_event
from transports.telnyx.byte_order import ByteOrder
from transports.telnyx.options import DEFAULT_L16_HZ, ByteOrderChoice

AUTH_TOKEN_NAME = "x-telnyx-streaming-auth-token"  # noqa: S105  # the name of a header, not a token
"""Header of the upgrade and key in `connected` that carry `stream_auth_token` (sheet 5.3)."""
NO_CHUNK = -1
_MAX_NUMBER = 1 << 40
"""34 years of milliseconds: anything beyond is no stream time."""
_ERROR_KINDS = {
    100002: "platform_unknown_error",
    100003: "platform_malformed_frame",
    100004: "platform_invalid_media",
    100005: "platform_rate_limit",
}


class Media(NamedTuple):
    """Some of the caller's audio in the stream's format. A tuple, since it is made per frame."""

    payload: bytes
    """L16 is little-endian here, whatever the wire has."""
    timestamp_ms: int
    """Stream time."""
    chunk: int
    """Count of the track's messages; `NO_CHUNK` where there is none."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The socket is open; carries no call id."""

    auth_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Start:
    """The stream begins."""

    call_control_id: str
    stream_id: str
    caller: str
    called: str
    parameters: Mapping[str, str]
    encoding: str
    """As told, in capitals; `inbound_format` says what it means."""
    rate_hz: int | None
    channels: int


@dataclass(frozen=True, slots=True)
class Dtmf:
    """One key. ISO 8601 times of one stream sort as text."""

    digit: str
    occurred_at: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What was sent before this mark has been played, or cleared."""

    name: str


@dataclass(frozen=True, slots=True)
class Complaint:
    """Telnyx did not understand something that we sent; the stream goes on."""

    kind: str
    """A fixed word per error code."""
    detail: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The stream has ended."""


Event = Media | Connected | Start | Dtmf | Mark | Complaint | Stop


def inbound_format(start: Start) -> AudioFormat:
    """What the caller's audio comes as. Raises `WireError("media_format")` for what cannot be heard.

    G.711 and G.722 have one rate each, whatever is told: G.722 is listed by its RTP clock, 8,000 (sheet 11).
    """
    fixed = {"PCMU": PCMU_8K, "PCMA": PCMA_8K, "G722": G722_16K}.get(start.encoding)
    rate_hz = start.rate_hz or DEFAULT_L16_HZ
    if start.channels == 1 and fixed is not None:
        return fixed
    if start.channels == 1 and start.encoding == "L16" and rate_hz in RATES_HZ:
        return linear(rate_hz)
    told = f"{start.encoding[:20]!r} at {start.rate_hz} Hz, {start.channels} channels"
    raise WireError(
        "media_format",
        f"{told} cannot be heard: use PCMU, PCMA, G722, or L16 at {', '.join(map(str, RATES_HZ))} Hz, mono",
    )


class MediaDecoder:
    """Reads one socket's messages. Call `begin` when a `Start` was accepted."""

    __slots__ = ("_bytes_per_ms", "_next_ms", "_order", "_stream_id")

    def __init__(self) -> None:
        self._stream_id = ""
        self._bytes_per_ms = PCMU_8K.bytes_per_ms
        self._order: ByteOrder | None = None
        self._next_ms = 0

    def begin(self, stream_id: str, inbound: AudioFormat, order: ByteOrder) -> None:
        """Read `media` as this format; messages that name another stream are refused from here on."""
        self._stream_id = stream_id
        self._bytes_per_ms = inbound.bytes_per_ms
        self._order = order if inbound.encoding is Encoding.L16 else None

    def decode(self, data: bytes) -> Event | None:
        """One message from Telnyx; None for audio that is not the caller's. Raises `WireError`."""
        message, event = read_event(data)
        if event == "media":
            return self._media(message)
        reader = _READERS.get(event) if isinstance(event, str) else None
        if reader is None:
            raise WireError("unknown_event", repr(event)[:60])
        if event not in ("connected", "start"):
            self._check_stream(message)
        return reader(message)

    def _media(self, message: dict[str, Any]) -> Media | None:
        if message.get("stream_id") != self._stream_id:
            self._check_stream(message)
        try:
            media = message["media"]
            if media.get("track", "inbound") != "inbound":
                return None
            # Strict, since the lenient mode silently skips what is no base64 and gives noise.
            payload = a2b_base64(media["payload"], strict_mode=True)
        except (KeyError, AttributeError, IndexError):
            raise WireError("missing_field", "media without a payload") from None
        except (ValueError, TypeError) as error:
            raise WireError("wrong_base64", str(error)) from None
        if not payload:
            raise WireError("empty_payload", "media without audio")
        if self._order is not None:
            if len(payload) % 2:
                raise WireError("odd_length", f"{len(payload)} bytes are no 16-bit samples")
            payload = self._order.read(payload)
        timestamp_ms = _number(media.get("timestamp"))
        if timestamp_ms < 0:
            # The audio is good: go on counting instead of losing it.
            timestamp_ms = self._next_ms
        self._next_ms = timestamp_ms + int(len(payload) / self._bytes_per_ms)
        return Media(payload, timestamp_ms, _number(media.get("chunk")))

    def _check_stream(self, message: dict[str, Any]) -> None:
        named = message.get("stream_id")
        if self._stream_id and named is not None and named != self._stream_id:
            raise WireError("wrong_stream", "a message of another stream")


def _connected(message: dict[str, Any]) -> Connected:
    # Nested or at the top level: the sheet has seen both.
    for place in (message.get("connected"), message):
        if isinstance(place, dict):
            token = place.get(AUTH_TOKEN_NAME)
            if isinstance(token, str):
                return Connected(token)
    return Connected()


def _start(message: dict[str, Any]) -> Start:
    start = _part(message, "start")
    call_control_id = start.get("call_control_id")
    if not isinstance(call_control_id, str) or not 0 < len(call_control_id) <= 512:
        raise WireError("missing_field", "start without call_control_id")
    told = start.get("media_format")
    media_format: dict[str, Any] = told if isinstance(told, dict) else {}
    rate_hz = _number(media_format.get("sample_rate"))
    channels = _number(media_format.get("channels", 1))
    return Start(
        call_control_id=call_control_id,
        stream_id=_text(message.get("stream_id")) or _text(start.get("stream_id")),
        caller=_text(start.get("from")),
        called=_text(start.get("to")),
        parameters=_parameters(start.get("custom_parameters")),
        # Without a format it is the stream's default (sheet 2.5).
        encoding=(_text(media_format.get("encoding")) or "PCMU").upper(),
        rate_hz=rate_hz if rate_hz > 0 else None,
        channels=channels,
    )


def _dtmf(message: dict[str, Any]) -> Dtmf:
    return Dtmf(key(_part(message, "dtmf").get("digit")), _text(message.get("occurred_at")))


def _mark(message: dict[str, Any]) -> Mark:
    name = _part(message, "mark").get("name")
    if not isinstance(name, str):
        raise WireError("missing_field", "mark without a name")
    return Mark(name)


def _stop(_message: dict[str, Any]) -> Stop:
    return Stop()


def _complaint(message: dict[str, Any]) -> Complaint:
    payload = _part(message, "payload")
    kind = _ERROR_KINDS.get(_number(payload.get("code")), "platform_error")
    return Complaint(kind, f"{payload.get('code')} {payload.get('title')}: {payload.get('detail')}"[:200])


_READERS: dict[str, Callable[[dict[str, Any]], Event]] = {
    "connected": _connected,
    "start": _start,
    "dtmf": _dtmf,
    "mark": _mark,
    "stop": _stop,
    "error": _complaint,
}


def key(digit: object) -> str:
    """One key, `0-9 * # A-D`. Raises `WireError`."""
    text = digit.upper() if isinstance(digit, str) else ""
    if len(text) != 1 or text not in "0123456789*#ABCD":
        raise WireError("bad_digit", f"{digit!r:.20} is no key")
    return text


def _part(message: dict[str, Any], name: str) -> dict[str, Any]:
    part = message.get(name)
    if not isinstance(part, dict):
        raise WireError("missing_field", name)
    return part


def _parameters(told: object) -> dict[str, str]:
    """From an object, or from a list of `{name, value}`: the sheet is unsure which it is."""
    if isinstance(told, list):
        told = {item.get("name"): item.get("value") for item in told if isinstance(item, dict)
                and isinstance(item.get("name"), str)}  # fmt: skip
    if not isinstance(told, dict):
        return {}
    return {str(name): value for name, value in told.items() if isinstance(value, str)}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    """Telnyx writes most numbers as strings. -1 for what is no number."""
    try:
        number = int(value)
    except (ValueError, TypeError, OverflowError):
        return -1
    return number if 0 <= number < _MAX_NUMBER else -1


class MediaEncoder:
    """Writes one stream's messages. `stream_id` is not needed in them (sheet 2.3)."""

    __slots__ = ("_frame_bytes", "_order", "_silence")

    def __init__(self, outbound: AudioFormat, order: ByteOrder | None = None) -> None:
        self._frame_bytes = outbound.frame_bytes
        order = order or ByteOrder(ByteOrderChoice.LITTLE, outbound.rate_hz)
        self._order = order if outbound.encoding is Encoding.L16 else None
        # G.722 is stateful; the encoding of 20 ms of zeros by a fresh encoder is close enough for filling.
        self._silence = make_encoder(outbound).encode(bytes(linear(outbound.rate_hz).frame_bytes))

    def media(self, audio: bytes) -> bytes:
        """Audio of any length in the outbound format, played in order.

        Telnyx takes nothing below 20 ms (sheet 8), so a piece of a frame is filled with silence.
        """
        short = -len(audio) % self._frame_bytes
        if short or not audio:
            audio += self._silence[-short:] if audio else self._silence
        if self._order is not None:
            audio = self._order.write(audio)
        return b'{"event":"media","media":{"payload":"' + b2a_base64(audio, newline=False) + b'"}}'

    def silence(self) -> bytes:
        """20 ms of silence."""
        return self.media(self._silence)

    def mark(self, name: str) -> bytes:
        """Ask for `name` back when all audio before it was played or cleared."""
        return b'{"event":"mark","mark":{"name":' + orjson.dumps(name) + b"}}"

    def clear(self) -> bytes:
        """Empty Telnyx's play buffer; pending marks come back."""
        return b'{"event":"clear"}'
