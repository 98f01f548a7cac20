"""Cartesia's speech socket on the wire: requests and messages. Pure.

Sheet: `protocols/providers/cartesia.md`, 1 and 2.
"""

from binascii import Error as Base64Error
from binascii import a2b_base64
from dataclasses import dataclass
from typing import Any

import orjson

from agent.audio.formats import AudioFormat, Encoding, linear
from agent.errors import WireError
from providers.messages import read_object

PATH = "/tts/websocket"
LANGUAGES = frozenset(
    "ar bg bn cs da de el en es fi fr gu he hi hr hu id it ja ka kn ko ml mr ms nl no or pa pl pt ro ru sk "
    "sv ta te th tl tr uk ur vi zh".split()
)
"""What sonic-3 speaks (sheet 8). `zh` is Mandarin: there is no Cantonese."""
_CANTONESE = ("yue", "zh-hk", "zh-yue")
_ENCODINGS = {Encoding.PCMU: "pcm_mulaw", Encoding.PCMA: "pcm_alaw", Encoding.L16: "pcm_s16le"}
_RATES_HZ = (8000, 16000, 22050, 24000, 44100, 48000)
_SPEEDS = (0.6, 1.5)
"""What `generation_config` takes; the agent file allows 0.5 to 2."""


@dataclass(frozen=True, slots=True)
class Speech:
    """What must stay the same in all messages of a context."""

    model: str
    language: str
    """Two letters, as `language_code` gives them."""
    voice: str
    audio: AudioFormat
    speed: float = 1.0


def output_format(line: AudioFormat) -> AudioFormat:
    """The line's own where Cartesia makes it, else PCM16 at the nearest rate that is not below."""
    if line.encoding in _ENCODINGS and line.rate_hz in _RATES_HZ:
        return line
    return linear(min((rate for rate in _RATES_HZ if rate >= line.rate_hz), default=_RATES_HZ[-1]))


def language_code(language: str) -> str | None:
    """Cartesia's code for a BCP 47 tag; None if it does not speak it."""
    tag = language.casefold()
    base = tag.split("-", maxsplit=1)[0]
    base = "no" if base == "nb" else base
    return base if base in LANGUAGES and not tag.startswith(_CANTONESE) else None


def generation(context: str, speech: Speech, transcript: str, *, more: bool, flush: bool = False) -> bytes:
    """Text to speak. Transcripts of a context are joined verbatim: the spaces are ours to send."""
    request: dict[str, Any] = {
        "context_id": context,
        "model_id": speech.model,
        "language": speech.language,
        "voice": {"mode": "id", "id": speech.voice},
        "output_format": {
            "container": "raw",
            "encoding": _ENCODINGS[speech.audio.encoding],
            "sample_rate": speech.audio.rate_hz,
        },
        "transcript": transcript,
        "continue": more,
        "add_timestamps": True,
        "use_normalized_timestamps": False,
        # Whole sentences come from us: holding them back would only cost time.
        "max_buffer_delay_ms": 0,
    }
    if flush:
        request["flush"] = True
    if speech.speed != 1.0:
        request["generation_config"] = {"speed": min(max(speech.speed, _SPEEDS[0]), _SPEEDS[1])}
    return orjson.dumps(request)


def cancellation(context: str) -> bytes:
    """Stop what has not begun; what is under way still comes and is dropped by its context."""
    return orjson.dumps({"context_id": context, "cancel": True})


@dataclass(frozen=True, slots=True)
class Chunk:
    """Audio; may split a sample."""

    audio: bytes


@dataclass(frozen=True, slots=True)
class Words:
    """Words and when they start, in milliseconds from the start of the context's audio."""

    words: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Done:
    """The context is over."""


@dataclass(frozen=True, slots=True)
class FlushDone:
    """Everything up to a flush has been sent."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error. Ends its context."""

    status: int
    detail: str


Message = Chunk | Words | Done | FlushDone | Failure


def parse(data: bytes) -> tuple[str, Message | None]:
    """A message and its context (empty: it is about the socket). None for types that need no answer.

    Raises `WireError` for what is not Cartesia's.
    """
    message = read_object(data)
    context = message.get("context_id")
    try:
        return context if isinstance(context, str) else "", _message(message)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WireError("bad_message", f"{type(error).__name__}: {error}") from None


def _message(message: dict[str, Any]) -> Message | None:
    match message.get("type"):
        case "chunk":
            try:
                return Chunk(a2b_base64(message["data"], strict_mode=True))
            except Base64Error as error:
                raise WireError("bad_base64", str(error)) from None
        case "timestamps":
            found = message["word_timestamps"]
            pairs = zip(found["words"], found["start"], strict=True)
            return Words(tuple((str(word), float(start) * 1000) for word, start in pairs))
        case "done":
            return Done()
        case "flush_done":
            return FlushDone()
        case "error":
            status = message.get("status_code")
            said = [message.get(name) for name in ("title", "error_code", "message", "error")]
            detail = ": ".join(str(text) for text in said if text) or "no reason given"
            return Failure(status if isinstance(status, int) else 0, detail)
    return None
