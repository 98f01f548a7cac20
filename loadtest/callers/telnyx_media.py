"""Telnyx media streaming, the platform's side of a two-way `rtp` stream (Telnyx sheet 2.2, 2.3, 3.2)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from agent.audio.formats import FRAME_MS, PCMU_8K, AudioFormat, Encoding
from agent.clock import Clock
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

_ERRORS = {
    "malformed": (100003, "malformed_frame"),
    "payload": (100004, "invalid_media"),
}
_UNKNOWN_ERROR = (100002, "unknown_error")
_LONGEST_MEDIA_MS = 30_000


class TelnyxMediaFarEnd:
    """One stream. Sequence numbers, chunks and timestamps are JSON strings, `media_format` has numbers."""

    def __init__(
        self,
        clock: Clock,
        identity: CallIdentity,
        parameters: Mapping[str, str],
        *,
        to_server: AudioFormat = PCMU_8K,
        from_server: AudioFormat = PCMU_8K,
    ) -> None:
        self.call_id = identity.call_id
        self.to_server = to_server
        self.from_server = from_server
        self._clock = clock
        self._stream_id = identity.stream_id
        self._user_id = identity.account_id
        self._start: dict[str, Any] = {
            "user_id": identity.account_id,
            "call_control_id": identity.call_id,
            "call_session_id": identity.session_id,
            "from": identity.caller,
            "to": identity.called,
            "tags": [],
            "client_state": None,
            "custom_parameters": dict(parameters),
            "media_format": {
                "encoding": to_server.encoding.value,
                # The sheet's table lists G.722 with its RTP clock, 8,000, though the audio is 16 kHz.
                "sample_rate": 8000 if to_server.encoding is Encoding.G722 else to_server.rate_hz,
                "channels": 1,
            },
        }
        self._sequence = 0
        self._chunk = 0

    def opening(self) -> list[str]:
        return [dump({"event": "connected", "version": "1.0.0"}), self._numbered("start", self._start)]

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
        now = datetime.fromtimestamp(self._clock.unix_s(), UTC).isoformat(timespec="microseconds")
        return self._numbered("dtmf", {"digit": digit}, occurred_at=now.replace("+00:00", "Z"))

    def mark(self, name: str) -> str:
        return self._numbered("mark", {"name": name})

    def stop(self) -> str:
        return self._numbered("stop", {"user_id": self._user_id, "call_control_id": self.call_id})

    def read(self, text: str) -> ServerMessage:
        message = parse_object(text)
        event = str(message.get("event"))
        if event == "media":
            payload = payload_of(message)
            self._check_duration(payload)
            return PlayAudio(payload)
        if event == "mark":
            return PlaceMark(part(message, "mark", "name"))
        if event == "clear":
            return ClearAudio()
        raise WireError("malformed", f"unknown event {event[:40]!r}")

    def complaint(self, error: WireError) -> str | None:
        """An `error` frame; the stream goes on."""
        code, title = _ERRORS.get(error.kind, _UNKNOWN_ERROR)
        return dump(
            {
                "event": "error",
                "payload": {"code": code, "title": title, "detail": str(error)},
                "stream_id": self._stream_id,
            }
        )

    def _check_duration(self, payload: bytes) -> None:
        duration_ms = self.from_server.duration_ms(len(payload))
        if not FRAME_MS <= duration_ms <= _LONGEST_MEDIA_MS:
            raise WireError("payload", f"{duration_ms:g} ms of audio in a message: 20 ms to 30 s is allowed")

    def _numbered(self, event: str, body: dict[str, Any], **more: str) -> str:
        self._sequence += 1
        return dump(
            {
                "event": event,
                "sequence_number": str(self._sequence),
                event: body,
                "stream_id": self._stream_id,
                **more,
            }
        )
