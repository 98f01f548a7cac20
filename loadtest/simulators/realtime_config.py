"""A Realtime session's configuration, with the mistakes that OpenAI answers. Pure.

Sheet: `protocols/providers/openai.md`, 4 and 7.2.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from agent.audio.formats import PCMA_8K, PCMU_8K, AudioFormat, linear

VOICES = frozenset(("alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse"))
"""Without fable, onyx and nova, which speak on the speech endpoint only (openai.md 12)."""
FORMATS: Mapping[str, AudioFormat] = {
    "audio/pcm": linear(24_000),
    "audio/pcmu": PCMU_8K,
    "audio/pcma": PCMA_8K,
}
_TURN_DETECTION: dict[str, dict[str, Any]] = {
    # 200 ms is what a new session said, though the schema's text has 500 (openai.md 7.2).
    "server_vad": {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 200,
        "create_response": True,
        "interrupt_response": True,
        "idle_timeout_ms": None,
    },
    "semantic_vad": {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    },
}
_FIELDS = frozenset(
    (
        "type", "model", "output_modalities", "instructions", "audio", "tools", "tool_choice",
        "max_output_tokens", "truncation", "reasoning", "parallel_tool_calls", "tracing", "include", "prompt",
    )
)  # fmt: skip


class EventMistake(Exception):
    """A client's event is refused: the fields of the `error` event."""

    def __init__(
        self, code: str | None, message: str, param: str | None = None, kind: str = "invalid_request_error"
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.param, self.kind = code, message, param, kind


class SessionConfig:
    """What is in force, as `session.created` and `session.updated` show it."""

    def __init__(self, model: str) -> None:
        self._shown: dict[str, Any] = {
            "type": "realtime",
            "model": model,
            "output_modalities": ["audio"],
            "instructions": "",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24_000},
                    "transcription": None,
                    "noise_reduction": None,
                    "turn_detection": dict(_TURN_DETECTION["server_vad"]),
                },
                "output": {"format": {"type": "audio/pcm", "rate": 24_000}, "voice": "alloy", "speed": 1.0},
            },
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "truncation": "auto",
        }

    def shown(self) -> dict[str, Any]:
        """A copy to be sent."""
        return deepcopy(self._shown)

    @property
    def input_format(self) -> AudioFormat:
        return FORMATS[self._shown["audio"]["input"]["format"]["type"]]

    @property
    def output_format(self) -> AudioFormat:
        return FORMATS[self._shown["audio"]["output"]["format"]["type"]]

    @property
    def turn_detection(self) -> Mapping[str, Any] | None:
        """None: the client commits by itself."""
        found: Mapping[str, Any] | None = self._shown["audio"]["input"]["turn_detection"]
        return found

    @property
    def silence_ms(self) -> float:
        """Silence that ends a turn. Semantic detection is stood in for by a fixed silence."""
        return float((self.turn_detection or {}).get("silence_duration_ms", 500))

    @property
    def transcribes(self) -> bool:
        """The caller's words are wanted too."""
        return self._shown["audio"]["input"]["transcription"] is not None

    @property
    def text_only(self) -> bool:
        return bool(self._shown["output_modalities"] == ["text"])

    @property
    def speed(self) -> float:
        return float(self._shown["audio"]["output"]["speed"])

    def update(self, wanted: Any, *, has_spoken: bool) -> None:
        """Apply a `session.update`: fields that are left out keep their value. Raises `EventMistake`."""
        if not isinstance(wanted, dict) or wanted.get("type") != "realtime":
            raise EventMistake(
                "missing_required_parameter", "Missing required parameter: 'session.type'.", "session.type"
            )
        if unknown := sorted(wanted.keys() - _FIELDS):
            raise EventMistake(
                "unknown_parameter", f"Unknown parameter: 'session.{unknown[0]}'.", f"session.{unknown[0]}"
            )
        if wanted.get("model", self._shown["model"]) != self._shown["model"]:
            raise _invalid("session.model", "The model cannot be changed in a session")
        if wanted.get("output_modalities", ["audio"]) not in (["audio"], ["text"]):
            raise _invalid("session.output_modalities", "Expected ['audio'] or ['text']")
        changed = self.shown()
        audio = wanted.get("audio") or {}
        _update_input(changed["audio"]["input"], audio.get("input") or {})
        _update_output(changed["audio"]["output"], audio.get("output") or {}, has_spoken=has_spoken)
        changed.update({name: value for name, value in wanted.items() if name != "audio"})
        self._shown = changed


def _update_input(current: dict[str, Any], wanted: dict[str, Any]) -> None:
    if "format" in wanted:
        current["format"] = _format(wanted["format"], "session.audio.input.format")
    for name in ("transcription", "noise_reduction"):
        if name in wanted:
            current[name] = wanted[name]
    if "turn_detection" in wanted:
        detection = wanted["turn_detection"]
        if detection is not None:
            kind = detection.get("type") if isinstance(detection, dict) else None
            if kind not in _TURN_DETECTION:
                raise _invalid(
                    "session.audio.input.turn_detection.type", "Expected server_vad or semantic_vad"
                )
            detection = {**_TURN_DETECTION[kind], **detection}
        current["turn_detection"] = detection


def _update_output(current: dict[str, Any], wanted: dict[str, Any], *, has_spoken: bool) -> None:
    if "format" in wanted:
        current["format"] = _format(wanted["format"], "session.audio.output.format")
    voice = wanted.get("voice", current["voice"])
    if voice not in VOICES:
        raise _invalid("session.audio.output.voice", f"Invalid value: '{voice}'")
    if voice != current["voice"] and has_spoken:
        raise EventMistake(
            "cannot_update_voice",
            "Cannot update a conversation's voice if assistant audio is present.",
            "session.audio.output.voice",
        )
    current["voice"] = voice
    speed = wanted.get("speed", current["speed"])
    if not isinstance(speed, int | float) or not 0.25 <= speed <= 1.5:
        raise _invalid("session.audio.output.speed", "Expected 0.25 to 1.5")
    current["speed"] = speed


def _format(wanted: Any, param: str) -> dict[str, Any]:
    kind = str(wanted.get("type")) if isinstance(wanted, dict) else ""
    if kind not in FORMATS or wanted.get("rate", FORMATS[kind].rate_hz) != FORMATS[kind].rate_hz:
        raise _invalid(
            param, f"Invalid value: {wanted!r}. Supported: audio/pcm at 24000, audio/pcmu, audio/pcma"
        )
    return {"type": kind, "rate": FORMATS[kind].rate_hz}


def _invalid(param: str, message: str) -> EventMistake:
    return EventMistake("invalid_value", message, param)
