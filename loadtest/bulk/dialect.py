"""The two media platforms' messages, prepared so that per frame only the numbers and the audio change.

Shapes are those of `loadtest.callers.twilio_media` and `.telnyx_media`, which read and write them with care;
tests hold the two against each other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import orjson

from agent.audio.formats import PCMU_8K, AudioFormat
from agent.clock import Clock
from loadtest.bulk.frames import client_frame
from loadtest.callers.identity import CallIdentity, telnyx_identity, twilio_identity
from loadtest.callers.telnyx_media import TelnyxMediaFarEnd
from loadtest.callers.twilio_media import TwilioMediaFarEnd

FIRST_SEQUENCE = 2
"""The `start` message is number 1."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One media stream's frames, ready to be sent."""

    call_id: str
    opening: tuple[bytes, ...]
    _media: bytes
    """With place-holders for sequence number, chunk, milliseconds and base64 audio."""
    _mark: bytes
    _key: Callable[[int, str], bytes]
    _stop: bytes

    def media(self, sequence: int, chunk: int, time_ms: int, payload: bytes) -> bytes:
        """20 ms of audio. `payload` is base64."""
        return client_frame(self._media % (sequence, chunk, time_ms, payload))

    def mark(self, sequence: int, name: str) -> bytes:
        """A mark was reached, or cleared."""
        return client_frame(self._mark % (sequence, orjson.dumps(name)))

    def key(self, sequence: int, digit: str) -> bytes:
        """The caller pressed a key: `0-9 * #`."""
        return client_frame(self._key(sequence, digit))

    def stop(self, sequence: int) -> bytes:
        """The caller hung up."""
        return client_frame(self._stop % sequence)


Open = Callable[[Clock, Mapping[str, str], "Dialect"], Stream]


@dataclass(frozen=True, slots=True)
class Dialect:
    """A platform, and the audio that it carries."""

    name: str
    """The server's label of it."""
    path: str
    _open: Open
    to_server: AudioFormat = PCMU_8K
    from_server: AudioFormat = PCMU_8K
    """What the server sends: `PARLEY_TELNYX_CODEC` decides, the same for all calls of a server."""

    def open(self, clock: Clock, parameters: Mapping[str, str]) -> Stream:
        """A new call's stream, with ids of its own."""
        return self._open(clock, parameters, self)

    def speaking(self, to_server: AudioFormat, from_server: AudioFormat) -> "Dialect":
        """The same platform with other audio. Twilio has PCMU only: `ValueError`."""
        if self.name == TWILIO.name and (to_server, from_server) != (PCMU_8K, PCMU_8K):
            raise ValueError("Twilio media streams carry PCMU at 8 kHz only")
        return replace(self, to_server=to_server, from_server=from_server)


def _twilio(_clock: Clock, parameters: Mapping[str, str], _dialect: Dialect) -> Stream:
    who = twilio_identity()
    sid = orjson.dumps(who.stream_id)

    def key(sequence: int, digit: str) -> bytes:
        return (
            b'{"event":"dtmf","sequenceNumber":"%d","dtmf":{"track":"inbound_track","digit":%b},"streamSid":'
            % (sequence, orjson.dumps(digit))
        ) + sid + b"}"  # fmt: skip

    return Stream(
        who.call_id,
        tuple(client_frame(text.encode()) for text in TwilioMediaFarEnd(who, parameters).opening()),
        b'{"event":"media","sequenceNumber":"%d","media":{"track":"inbound","chunk":"%d","timestamp":"%d",'
        b'"payload":"%b"},"streamSid":' + sid + b"}",
        b'{"event":"mark","sequenceNumber":"%d","mark":{"name":%b},"streamSid":' + sid + b"}",
        key,
        b'{"event":"stop","sequenceNumber":"%d","stop":' + _stop(who, "accountSid", "callSid")
        + b',"streamSid":' + sid + b"}",
    )  # fmt: skip


def _telnyx(clock: Clock, parameters: Mapping[str, str], dialect: Dialect) -> Stream:
    who = telnyx_identity()
    stream_id = orjson.dumps(who.stream_id)
    far_end = TelnyxMediaFarEnd(
        clock, who, parameters, to_server=dialect.to_server, from_server=dialect.from_server
    )

    def key(sequence: int, digit: str) -> bytes:
        now = datetime.fromtimestamp(clock.unix_s(), UTC).isoformat(timespec="microseconds")
        return (
            b'{"event":"dtmf","sequence_number":"%d","dtmf":{"digit":%b},"stream_id":%b,"occurred_at":%b}'
            % (sequence, orjson.dumps(digit), stream_id, orjson.dumps(now.replace("+00:00", "Z")))
        )

    return Stream(
        who.call_id,
        tuple(client_frame(text.encode()) for text in far_end.opening()),
        b'{"event":"media","sequence_number":"%d","media":{"track":"inbound","chunk":"%d","timestamp":"%d",'
        b'"payload":"%b"},"stream_id":' + stream_id + b"}",
        b'{"event":"mark","sequence_number":"%d","mark":{"name":%b},"stream_id":' + stream_id + b"}",
        key,
        b'{"event":"stop","sequence_number":"%d","stop":' + _stop(who, "user_id", "call_control_id")
        + b',"stream_id":' + stream_id + b"}",
    )  # fmt: skip


def _stop(who: CallIdentity, account: str, call: str) -> bytes:
    return orjson.dumps({account: who.account_id, call: who.call_id})


TWILIO = Dialect("twilio-media", "/twilio/media", _twilio)
TELNYX = Dialect("telnyx-media", "/telnyx/media", _telnyx)
