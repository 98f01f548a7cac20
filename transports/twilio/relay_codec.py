"""ConversationRelay's messages: bytes to events, actions to bytes. No socket, task or clock.

Wire: Twilio protocol sheet 2.1 (from Twilio) and 2.2 (to Twilio). Reading is lenient: numbers may come as
text and the other way round, unknown fields are ignored. What cannot be understood raises `WireError` with
a fixed word for the counter; the message is dropped and the session goes on.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from agent.errors import WireError

DTMF_DIGITS = frozenset("0123456789*#ABCD")
SEND_DIGITS = frozenset("0123456789w#*")
"""What `sendDigits` takes; `w` pauses half a second."""


@dataclass(frozen=True, slots=True)
class Setup:
    """First frame of a session. `session_id` is new on each `<Connect>`, `call_sid` is not."""

    session_id: str
    account_sid: str
    call_sid: str
    caller: str
    called: str
    direction: str
    call_status: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the caller said: cumulative until `last`."""

    text: str
    language: str | None
    last: bool


@dataclass(frozen=True, slots=True)
class Dtmf:
    """One key."""

    digit: str


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The caller cut the agent off. `heard` is the spoken part of the current piece only."""

    heard: str
    heard_ms: float


@dataclass(frozen=True, slots=True)
class AgentSpeaking:
    """Twilio began or finished speaking."""

    speaking: bool


@dataclass(frozen=True, slots=True)
class CallerSpeaking:
    """Twilio hears the caller begin or stop."""

    speaking: bool


@dataclass(frozen=True, slots=True)
class TokensPlayed:
    """Text that has just been played."""

    text: str


@dataclass(frozen=True, slots=True)
class PlatformError:
    """Twilio did not understand a frame of ours (64107); ten in a row end the session."""

    description: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A message that needs nothing from us: `configUpdated`, an `info` of another name."""

    name: str


RelayEvent = (
    Setup | Prompt | Dtmf | Interrupt | AgentSpeaking | CallerSpeaking | TokensPlayed | PlatformError | Notice
)


def decode(data: bytes) -> RelayEvent:
    """One message from Twilio. Raises `WireError`."""
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise WireError("malformed_json", str(error)) from None
    if not isinstance(message, dict):
        raise WireError("not_an_object", f"a JSON {type(message).__name__}")
    kind = message.get("type")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise WireError("unknown_type", repr(kind)[:60])
    return reader(message)


def _setup(message: dict[str, Any]) -> Setup:
    call_sid = _text(message, "callSid")
    if not call_sid:
        raise WireError("missing_field", "setup without callSid")
    return Setup(
        session_id=_text(message, "sessionId", ""),
        account_sid=_text(message, "accountSid", ""),
        call_sid=call_sid,
        caller=_text(message, "from", ""),
        called=_text(message, "to", ""),
        direction=_text(message, "direction", ""),
        call_status=_text(message, "callStatus", ""),
        parameters=text_map(message.get("customParameters")),
    )


def _prompt(message: dict[str, Any]) -> Prompt:
    # A prompt that does not say whether it is the last has to be answered: silence would be worse.
    last = _flag(message, "last", default=True)
    return Prompt(_text(message, "voicePrompt"), _text(message, "lang", "") or None, last)


def _dtmf(message: dict[str, Any]) -> Dtmf:
    return Dtmf(key(_text(message, "digit")))


def _interrupt(message: dict[str, Any]) -> Interrupt:
    heard_ms = number(message.get("durationUntilInterruptMs", 0))
    return Interrupt(_text(message, "utteranceUntilInterrupt", ""), heard_ms)


def _info(message: dict[str, Any]) -> RelayEvent:
    name = _text(message, "name", "")
    if name == "agentSpeaking":
        return AgentSpeaking(_switched(message))
    if name == "clientSpeaking":
        return CallerSpeaking(_switched(message))
    if name == "tokensPlayed":
        return TokensPlayed(_text(message, "value"))
    return Notice(name)


def _error(message: dict[str, Any]) -> PlatformError:
    return PlatformError(_text(message, "description", ""))


def _config_updated(_message: dict[str, Any]) -> Notice:
    return Notice("configUpdated")


_READERS: dict[str, Callable[[dict[str, Any]], RelayEvent]] = {
    "setup": _setup,
    "prompt": _prompt,
    "dtmf": _dtmf,
    "interrupt": _interrupt,
    "info": _info,
    "error": _error,
    "configUpdated": _config_updated,
}


def key(text: str) -> str:
    """One DTMF key in upper case. Raises `WireError`."""
    digit = text.strip().upper()
    if digit not in DTMF_DIGITS:
        raise WireError("digit", repr(text)[:20])
    return digit


def number(value: object) -> float:
    """A finite number of 0 or more, from a number or its text. Raises `WireError`."""
    if isinstance(value, (int, float, str)):
        try:
            found = float(value)
        except (ValueError, OverflowError):
            found = math.nan
        if math.isfinite(found) and found >= 0:
            return found
    raise WireError("wrong_type", f"not a number: {value!r:.40}")


def text_map(value: object) -> dict[str, str]:
    """An object of texts; entries of other kinds become text or are left out. Nothing gives an empty one."""
    if not isinstance(value, dict):
        return {}
    return {
        name: item if isinstance(item, str) else str(item)
        for name, item in value.items()
        if isinstance(item, (str, int, float))
    }


def _text(message: dict[str, Any], name: str, default: str | None = None) -> str:
    value = message.get(name)
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if value is None:
        if default is not None:
            return default
        raise WireError("missing_field", name)
    raise WireError("wrong_type", f"{name} is a {type(value).__name__}")


def _flag(message: dict[str, Any], name: str, *, default: bool) -> bool:
    value = message.get(name, default)
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise WireError("wrong_type", f"{name} is {value!r:.40}")


def _switched(message: dict[str, Any]) -> bool:
    value = message.get("value")
    if value in ("on", "off"):
        return bool(value == "on")
    return _flag(message, "value", default=False)


# --- to Twilio -----------------------------------------------------------------------------------------


def text(
    token: str,
    *,
    last: bool,
    language: str | None = None,
    interruptible: bool | None = None,
    preemptible: bool | None = None,
) -> bytes:
    """Speak `token`, joined to what came before as it is. `language` must be declared in the TwiML.

    `interruptible` and `preemptible` are left to the session's attributes where they are None.
    """
    message: dict[str, Any] = {"type": "text", "token": token, "last": last}
    if language is not None:
        message["lang"] = language
    return _dump(_flagged(message, interruptible, preemptible))


def play(
    source: str, *, loop: int = 1, interruptible: bool | None = None, preemptible: bool | None = None
) -> bytes:
    """Play an audio file that Twilio fetches from `source`. `loop` 0 means 1,000 times."""
    return _dump(_flagged({"type": "play", "source": source, "loop": loop}, interruptible, preemptible))


def send_digits(digits: str) -> bytes:
    """Send DTMF into the call, behind what is queued. Raises `ValueError` outside `0-9 w # *`."""
    if not digits or not set(digits) <= SEND_DIGITS:
        raise ValueError(f"sendDigits takes 0-9 w # *, not {digits!r}")
    return _dump({"type": "sendDigits", "digits": digits})


def switch_language(speak: str | None = None, listen: str | None = None) -> bytes:
    """Change the session's languages. Raises `ValueError` if neither is given."""
    if speak is None and listen is None:
        raise ValueError("name the language to speak, to listen in, or both")
    message = {"type": "language"}
    if speak is not None:
        message["ttsLanguage"] = speak
    if listen is not None:
        message["transcriptionLanguage"] = listen
    return _dump(message)


def end(handoff: Mapping[str, str] | None = None) -> bytes:
    """End the session; `handoff` comes back to the action webhook as `HandoffData`, JSON in a string."""
    if handoff is None:
        return _dump({"type": "end"})
    return _dump({"type": "end", "handoffData": orjson.dumps(dict(handoff)).decode()})


def _flagged(message: dict[str, Any], interruptible: bool | None, preemptible: bool | None) -> dict[str, Any]:
    if interruptible is not None:
        message["interruptible"] = interruptible
    if preemptible is not None:
        message["preemptible"] = preemptible
    return message


def _dump(message: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(message)
    except orjson.JSONEncodeError:
        # Half of a surrogate pair, from a model whose tokens cut through a character.
        whole = {
            name: value.encode(errors="replace").decode() if isinstance(value, str) else value
            for name, value in message.items()
        }
        return orjson.dumps(whole)
