"""Deepgram's Aura on the wire, from the server's side: queries, messages, when text becomes speech. Pure.

Sheet: `protocols/providers/deepgram.md`, 1 and 4.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from agent.audio.formats import AudioFormat, Encoding

MAX_CHARACTERS = 2_000
"""In one `Speak`, and in one REST request."""
FLUSHES = 20
FLUSH_WINDOW_MS = 60_000.0
"""20 flushes in 60 s."""
SESSION_MS = 3_600_000.0
"""A socket lives an hour."""

_ENCODINGS = {"linear16": Encoding.L16, "mulaw": Encoding.PCMU, "alaw": Encoding.PCMA}
_RATES = {
    "linear16": (24_000, 8_000, 16_000, 32_000, 48_000),
    "mulaw": (8_000, 16_000),
    "alaw": (8_000, 16_000),
}
"""By encoding, the default first (24 kHz for linear16 is the vendor's usual; the sheet gives none)."""
_NAMES = frozenset(
    ("model", "encoding", "sample_rate", "speed", "mip_opt_out", "container", "bit_rate", "tag")
)
_MODEL = re.compile(r"aura(-2)?-[a-z]+-[a-z]{2}")
_SENTENCE = re.compile(r".*?([.!?…]+(?=\s)|[。！？]+)", re.DOTALL)
"""A full stop counts once white space follows: it may be that of `3.5`."""


class QueryMistake(Exception):
    """The query has something that Deepgram refuses; the text is its `err_msg`."""


@dataclass(frozen=True, slots=True)
class SpeakQuery:
    """How a socket or request wants to be spoken to."""

    model: str
    audio: AudioFormat
    speed: float = 1.0


def read_query(items: Iterable[tuple[str, str]]) -> SpeakQuery:
    """Raises `QueryMistake`."""
    query = dict(items)
    if unknown := sorted(query.keys() - _NAMES):
        raise QueryMistake(f"Unexpected query parameter: {unknown[0]}")
    model = query.get("model", "aura-asteria-en")
    if not _MODEL.fullmatch(model):
        raise QueryMistake(f"No such model/version combination found: {model}")
    encoding = query.get("encoding", "linear16")
    if encoding not in _ENCODINGS:
        raise QueryMistake(f"Unsupported encoding: {encoding}")
    rates = _RATES[encoding]
    text = query.get("sample_rate", str(rates[0]))
    if text not in map(str, rates):
        raise QueryMistake(f"Unsupported sample_rate {text} for encoding {encoding}")
    if query.get("container", "none") != "none":
        raise QueryMistake("Only container=none is simulated")
    try:
        speed = float(query.get("speed", "1"))
    except ValueError:
        speed = 0.0
    if not 0.5 <= speed <= 2.0:
        raise QueryMistake("speed: expected a number from 0.5 to 2")
    return SpeakQuery(model, AudioFormat(_ENCODINGS[encoding], int(text)), speed)


class TextBuffer:
    """Text waits here until a sentence is complete, or for a flush."""

    def __init__(self) -> None:
        self._text = ""

    def add(self, text: str) -> list[str]:
        """The sentences that are now complete."""
        self._text += text
        found: list[str] = []
        while match := _SENTENCE.match(self._text):
            found.append(match[0].strip())
            self._text = self._text[match.end() :]
        return [sentence for sentence in found if sentence]

    def flush(self) -> str:
        """All that is left."""
        text, self._text = self._text.strip(), ""
        return text


class FlushLimit:
    """20 flushes in any 60 s."""

    def __init__(self) -> None:
        self._times_ms: list[float] = []

    def allows(self, now_ms: float) -> bool:
        """Counts the flush if it is allowed."""
        self._times_ms = [time_ms for time_ms in self._times_ms if now_ms - time_ms < FLUSH_WINDOW_MS]
        if len(self._times_ms) >= FLUSHES:
            return False
        self._times_ms.append(now_ms)
        return True


def given_key(headers: Mapping[str, str]) -> str:
    """From the header, or from a browser's subprotocols."""
    header = headers.get("Authorization", "")
    if header:
        return header.partition(" ")[2].strip()
    offered = [part.strip() for part in headers.get("Sec-WebSocket-Protocol", "").split(",")]
    return offered[1] if len(offered) == 2 and offered[0] in ("token", "bearer") else ""


def metadata(query: SpeakQuery, request_id: str) -> str:
    """The first message of a socket."""
    return _dumps(
        "Metadata",
        request_id=request_id,
        model_name=query.model,
        model_version="2025-04-07.0",
        model_uuid="00000000-0000-4000-8000-00000000a02a",
        additional_model_uuids=[],
    )


def flushed(sequence_id: int) -> str:
    """After a flush's last audio."""
    return _dumps("Flushed", sequence_id=sequence_id)


def cleared(sequence_id: int) -> str:
    """After a clear."""
    return _dumps("Cleared", sequence_id=sequence_id)


def warning(code: str, description: str) -> str:
    """Something was not done."""
    return _dumps("Warning", code=code, description=description)


def error_body(code: str, message: str) -> bytes:
    """The body of a refused upgrade or request."""
    return orjson.dumps({"err_code": code, "err_msg": message, "request_id": "simulated"})


def _dumps(kind: str, **fields: Any) -> str:
    return orjson.dumps({"type": kind, **fields}).decode()
