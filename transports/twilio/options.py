"""What the operator can set for Twilio, from the environment. Every name and value is checked at start.

| variable | values | default |
|---|---|---|
| `TWILIO_ACCOUNT_SID` | `AC…`; with the token: hang-up and transfer over REST | none |
| `TWILIO_AUTH_TOKEN` | the token; during a rotation `new,old` | none: loopback only |
| `PARLEY_TWILIO_MODE` | `relay` (ConversationRelay), `media` (Media Streams) | `relay` |
| `PARLEY_TWILIO_SHARED_KEYS` | `id=secret,…` of SharedKey signing (beta) | none |
| `PARLEY_TWILIO_API_URL` | another base URL of the REST API | Twilio's |
| `PARLEY_TWILIO_TTS_PROVIDER` | `Google`, `Amazon`, `ElevenLabs` | Twilio's |
| `PARLEY_TWILIO_VOICES` | `en-US=voice,es-ES=voice`, or one voice for the first language | Twilio's |
| `PARLEY_TWILIO_TRANSCRIPTION_PROVIDER` | `Deepgram`, `Google` | Twilio's |
| `PARLEY_TWILIO_SPEECH_MODEL` | the transcription provider's model, such as `flux` | Twilio's |
| `PARLEY_TWILIO_INTERRUPT_SENSITIVITY` | `low`, `medium`, `high` | Twilio's |
| `PARLEY_TWILIO_IGNORE_BACKCHANNEL` | `true`, `false` | Twilio's |
| `PARLEY_TWILIO_SPEECH_TIMEOUT` | `auto`, 600 to 5000 (ms) | Twilio's |
| `PARLEY_TWILIO_EOT_THRESHOLD` | 0.5 to 0.9 (Deepgram Flux only) | Twilio's |
| `PARLEY_TWILIO_EVENTS` | `speaker-events`, `tokens-played`, both, `none` | both |
| `PARLEY_TWILIO_PARTIAL_PROMPTS` | `true`, `false` | `true` |

A number's webhook address may name the other mode: `/twilio/voice?mode=media`. Ranges: protocol sheet 4.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from agent.settings import Settings
from agent.variables import Variables, one_of

_PREFIX = "PARLEY_TWILIO_"
_EVENTS = ("speaker-events", "tokens-played")


class Mode(StrEnum):
    """Which of Twilio's two products answers a call."""

    RELAY = "relay"
    MEDIA = "media"


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """Attributes of `<ConversationRelay>`; None leaves one to Twilio's default."""

    tts_provider: str | None = None
    voices: Mapping[str, str] = field(default_factory=dict)
    """By language; the key `""` stands for the first language."""
    transcription_provider: str | None = None
    speech_model: str | None = None
    interrupt_sensitivity: str | None = None
    ignore_backchannel: str | None = None
    speech_timeout: str | None = None
    eot_threshold: str | None = None
    events: str | None = " ".join(_EVENTS)
    partial_prompts: bool = True


@dataclass(frozen=True, slots=True)
class TwilioOptions:
    """All of it."""

    mode: Mode = Mode.RELAY
    account_sid: str | None = None
    auth_tokens: tuple[str, ...] = field(default=(), repr=False)
    """The first is the primary one: it also opens the REST API."""
    shared_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    api_url: str | None = None
    relay: RelayOptions = RelayOptions()

    @classmethod
    def from_settings(cls, settings: Settings) -> "TwilioOptions":
        """Read and check. Raises `ConfigError` naming the variable and what is allowed."""
        values = Variables(settings.environ, _PREFIX)
        events = values.read("EVENTS", _events)
        relay = RelayOptions(
            tts_provider=values.read("TTS_PROVIDER", one_of("Google", "Amazon", "ElevenLabs")),
            voices=values.read("VOICES", _voices) or {},
            transcription_provider=values.read("TRANSCRIPTION_PROVIDER", one_of("Deepgram", "Google")),
            speech_model=values.read("SPEECH_MODEL", str),
            interrupt_sensitivity=values.read("INTERRUPT_SENSITIVITY", one_of("low", "medium", "high")),
            ignore_backchannel=values.read("IGNORE_BACKCHANNEL", one_of("true", "false")),
            speech_timeout=values.read("SPEECH_TIMEOUT", _speech_timeout),
            eot_threshold=values.read("EOT_THRESHOLD", _eot_threshold),
            events=" ".join(_EVENTS) if events is None else events or None,
            partial_prompts=values.read("PARTIAL_PROMPTS", one_of("true", "false")) != "false",
        )
        options = cls(
            mode=Mode(values.read("MODE", one_of(*Mode)) or Mode.RELAY),
            account_sid=settings.secret("TWILIO_ACCOUNT_SID"),
            auth_tokens=_list(settings.secret("TWILIO_AUTH_TOKEN") or ""),
            shared_keys=values.read("SHARED_KEYS", _pairs) or {},
            api_url=values.read("API_URL", _url),
            relay=relay,
        )
        values.check_names()
        return options


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _pairs(text: str) -> dict[str, str]:
    pairs = dict(part.partition("=")[::2] for part in _list(text))
    if not all(pairs) or not all(pairs.values()):
        # The text may hold secrets: it is not repeated here.
        raise ValueError("expected name=value,name=value")
    return pairs


def _voices(text: str) -> dict[str, str]:
    return _pairs(text) if "=" in text else {"": text}


def _speech_timeout(text: str) -> str:
    if text != "auto" and not (text.isascii() and text.isdigit() and 600 <= int(text) <= 5000):
        raise ValueError(f"{text!r} is neither auto nor 600 to 5000 (ms)")
    return text


def _eot_threshold(text: str) -> str:
    if not 0.5 <= float(text) <= 0.9:
        raise ValueError(f"{text!r} is not 0.5 to 0.9")
    return text


def _events(text: str) -> str:
    if text == "none":
        return ""
    names = text.replace(",", " ").split()
    if not names or not set(names) <= set(_EVENTS):
        raise ValueError(f"{text!r} is not some of {', '.join(_EVENTS)}, or none")
    return " ".join(names)


def _url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.netloc:
        raise ValueError(f"{text!r} is not http(s)://host")
    return text.rstrip("/")
