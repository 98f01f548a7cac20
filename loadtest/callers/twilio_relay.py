"""Twilio ConversationRelay, the platform's side (Twilio sheet 2.1, 2.2, 3.1, 3.2, 4.2, 7.1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.errors import WireError
from loadtest.callers.identity import CallIdentity
from loadtest.callers.messages import dump, parse_object

MAX_BAD_IN_A_ROW = 10
"""Then the session is closed with 1007 (sheet 6.1)."""
_DIGITS = set("0123456789w#*")


@dataclass(frozen=True, slots=True)
class SayText:
    """Text to speak; flags are None where the message leaves them to the session's attributes."""

    token: str
    last: bool
    language: str | None
    interruptible: bool | None
    preemptible: bool | None


@dataclass(frozen=True, slots=True)
class PlayFile:
    """An audio file to play."""

    source: str


@dataclass(frozen=True, slots=True)
class SendDigits:
    """DTMF to send into the call."""

    digits: str


@dataclass(frozen=True, slots=True)
class SwitchLanguage:
    """New languages for speaking and listening."""

    speaking: str | None
    listening: str | None


@dataclass(frozen=True, slots=True)
class EndSession:
    """The server ends the session."""

    handoff: str | None


RelayMessage = SayText | PlayFile | SendDigits | SwitchLanguage | EndSession


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """What the TwiML's attributes switch on (sheet 4.2), with the platform's defaults."""

    greeting: str
    language: str
    partial_prompts: bool
    dtmf: bool
    speaker_events: bool
    tokens_played: bool
    interruptible: str
    """`none`, `dtmf`, `speech` or `any`."""
    greeting_interruptible: str
    report_during_speech: str
    preemptible: bool

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, str]) -> "RelayOptions":
        """From `<ConversationRelay …>` as the server wrote it."""
        events = f"{attributes.get('events', '')} {attributes.get('debug', '')}".split()
        language = attributes.get("language", "en-US")
        return cls(
            greeting=attributes.get("welcomeGreeting", ""),
            language=attributes.get("transcriptionLanguage", language),
            partial_prompts=attributes.get("partialPrompts") == "true",
            dtmf=attributes.get("dtmfDetection") == "true",
            speaker_events="speaker-events" in events,
            tokens_played="tokens-played" in events,
            interruptible=_interruptible(attributes.get("interruptible", "any")),
            greeting_interruptible=_interruptible(attributes.get("welcomeGreetingInterruptible", "any")),
            report_during_speech=attributes.get("reportInputDuringAgentSpeech", "none"),
            preemptible=attributes.get("preemptible") == "true",
        )


def _interruptible(value: str) -> str:
    return {"true": "any", "false": "none"}.get(value, value)


class TwilioRelayFarEnd:
    """One session: builds the platform's messages, reads the server's."""

    def __init__(self, identity: CallIdentity, parameters: Mapping[str, str]) -> None:
        self.call_id = identity.call_id
        self.session_id = identity.session_id
        self._identity = identity
        self._parameters = dict(parameters)

    def setup(self) -> str:
        return dump(
            {
                "type": "setup",
                "sessionId": self.session_id,
                "accountSid": self._identity.account_id,
                "parentCallSid": "",
                "callSid": self.call_id,
                "from": self._identity.caller,
                "to": self._identity.called,
                "forwardedFrom": "",
                "callType": "PSTN",
                "callerName": "",
                "direction": "inbound",
                "callStatus": "RINGING",
                "customParameters": self._parameters,
            }
        )

    def prompt(self, text: str, *, language: str, last: bool) -> str:
        return dump({"type": "prompt", "voicePrompt": text, "lang": language, "last": last})

    def dtmf(self, digit: str) -> str:
        return dump({"type": "dtmf", "digit": digit})

    def interrupt(self, heard: str, heard_ms: float) -> str:
        return dump(
            {
                "type": "interrupt",
                "utteranceUntilInterrupt": heard,
                "durationUntilInterruptMs": round(heard_ms),
            }
        )

    def info(self, name: str, value: str) -> str:
        """`agentSpeaking` or `clientSpeaking` with `on`/`off`, `tokensPlayed` with text."""
        return dump({"type": "info", "name": name, "value": value})

    def error(self, text: str) -> str:
        """The answer to a message that cannot be understood."""
        return dump({"type": "error", "description": f"Invalid message received, code: 64107, {text}"})

    def read(self, text: str) -> RelayMessage:
        """Understand a server's message. Raises `WireError` where Twilio answers with 64107."""
        message = parse_object(text)
        kind = str(message.get("type"))
        if kind == "text":
            return SayText(
                token=_text(message, "token", needed=True) or "",
                last=bool(_flag(message, "last")),
                language=_text(message, "lang"),
                interruptible=_flag(message, "interruptible"),
                preemptible=_flag(message, "preemptible"),
            )
        if kind == "play":
            return PlayFile(_text(message, "source", needed=True) or "")
        if kind == "sendDigits":
            digits = _text(message, "digits", needed=True) or ""
            if not digits or not set(digits) <= _DIGITS:
                raise WireError("schema", f"digits {digits[:40]!r} (64107)")
            return SendDigits(digits)
        if kind == "language":
            switch = SwitchLanguage(_text(message, "ttsLanguage"), _text(message, "transcriptionLanguage"))
            if switch.speaking is None and switch.listening is None:
                raise WireError("schema", "language without ttsLanguage or transcriptionLanguage (64107)")
            return switch
        if kind == "end":
            return EndSession(_text(message, "handoffData"))
        raise WireError("unknown", f"type {kind[:40]!r} (64107)")


def _text(message: dict[str, Any], key: str, *, needed: bool = False) -> str | None:
    value = message.get(key)
    if isinstance(value, str) or (key not in message and not needed):
        return value
    raise WireError("schema", f"{key} is missing or not text (64107)")


def _flag(message: dict[str, Any], key: str) -> bool | None:
    value = message.get(key)
    if isinstance(value, bool) or key not in message:
        return value
    raise WireError("schema", f"{key} is not true or false (64107)")
