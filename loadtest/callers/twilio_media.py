"""Twilio Media Streams, the platform's side of a bidirectional stream (Twilio sheet 2.3, 2.4, 3.3, 3.4)."""

from collections.abc import Mapping
from typing import Any

from agent.audio.formats import FRAME_MS, PCMU_8K, AudioFormat
from agent.errors import WireError
from loadtest.callers.identity import CallIdentity
from loadtest.callers.messages import (
    ClearAudio,
    PlaceMark,
    PlayAudio,
    ServerMessage,
    dump,
    parse_object,
    part,
    payload_of,
    to_base64,
)

_FIELDS = {
    "media": {"event", "streamSid", "media"},
    "mark": {"event", "streamSid", "mark"},
    "clear": {"event", "streamSid"},
}


class TwilioMediaFarEnd:
    """One stream. All numbers are JSON strings except those of `mediaFormat`, as on the wire."""

    def __init__(self, identity: CallIdentity, parameters: Mapping[str, str]) -> None:
        self.call_id = identity.call_id
        self.to_server: AudioFormat = PCMU_8K
        self.from_server: AudioFormat = PCMU_8K
        self._account_sid = identity.account_id
        self._stream_sid = identity.stream_id
        self._parameters = dict(parameters)
        self._sequence = 0
        self._chunk = 0

    def opening(self) -> list[str]:
        start = {
            "accountSid": self._account_sid,
            "streamSid": self._stream_sid,
            "callSid": self.call_id,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": self._parameters,
        }
        connected = dump({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        return [connected, self._numbered("start", start)]

    def media(self, payload: bytes) -> str:
        self._chunk += 1
        return self._numbered(
            "media",
            {
                "track": "inbound",
                "chunk": str(self._chunk),
                "timestamp": str(self._chunk * FRAME_MS),
                "payload": to_base64(payload),
            },
        )

    def dtmf(self, digit: str) -> str:
        return self._numbered("dtmf", {"track": "inbound_track", "digit": digit})

    def mark(self, name: str) -> str:
        return self._numbered("mark", {"name": name})

    def stop(self) -> str:
        return self._numbered("stop", {"accountSid": self._account_sid, "callSid": self.call_id})

    def read(self, text: str) -> ServerMessage:
        message = parse_object(text)
        event = str(message.get("event"))
        if event not in _FIELDS:
            raise WireError("unknown", f"event {event[:40]!r} (31951)")
        if message.keys() != _FIELDS[event]:
            wrong = sorted(message.keys() ^ _FIELDS[event])
            raise WireError("schema", f"{event} with missing or extra fields {wrong} (31951)")
        if message["streamSid"] != self._stream_sid:
            raise WireError("stream", f"{event} for another streamSid (31951)")
        if event == "media":
            return PlayAudio(payload_of(message))
        if event == "mark":
            return PlaceMark(part(message, "mark", "name"))
        return ClearAudio()

    def complaint(self, error: WireError) -> str | None:
        """Nothing: Twilio only writes a warning into the account's debugger."""
        return None

    def _numbered(self, event: str, body: dict[str, Any]) -> str:
        self._sequence += 1
        return dump(
            {
                "event": event,
                "sequenceNumber": str(self._sequence),
                event: body,
                "streamSid": self._stream_sid,
            }
        )
