"""Deepgram's live recognition on the wire: addresses, messages, close codes. Pure.

Sheet: `protocols/providers/deepgram.md`, 1 and 2.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from agent.audio.formats import AudioFormat, Encoding, linear
from agent.errors import ProviderError, ProviderRejected, ProviderUnavailable, WireError
from providers.deepgram.options import Options
from providers.messages import read_object

KEEP_ALIVE = b'{"type":"KeepAlive"}'
FINALIZE = b'{"type":"Finalize"}'
CLOSE_STREAM = b'{"type":"CloseStream"}'

MAX_KEYTERMS = 100
MAX_PHRASE_KEYTERMS = 30
"""Key terms in all, and those of them taken from what callers are likely to say. The sheet gives no limit;
Cartesia's, of the same kind, is 100 terms, and a query of 30 words stays below a kilobyte."""
_MIN_HINT_CHARS = 7

_ENCODINGS = {Encoding.PCMU: "mulaw", Encoding.PCMA: "alaw", Encoding.L16: "linear16"}
_CODE_SWITCHING = frozenset(("en", "es", "fr", "de", "hi", "ru", "pt", "ja", "it", "nl"))
"""What nova-3 hears with `language=multi` (sheet 8 and 3: ten languages)."""
_REGIONS = frozenset(("en-us", "en-au", "en-gb", "en-in", "en-nz", "zh-hk", "zh-cn", "zh-tw"))
"""Tags that keep their region (sheet 8). Others are cut down to the language: there is no `en-ZA`."""


def input_format(line: AudioFormat) -> AudioFormat:
    """Telephone audio goes straight through. G.722 is not among Deepgram's encodings: PCM16 instead."""
    return line if line.encoding in _ENCODINGS else linear(line.rate_hz)


def listen_path(
    options: Options, audio: AudioFormat, languages: tuple[str, ...], phrases: tuple[str, ...] = ()
) -> str:
    """Path and query of the socket for such a call. `phrases` are what its callers are likely to say."""
    query: list[tuple[str, str]] = [
        ("model", options.model),
        ("language", options.language or language_code(languages)),
        ("encoding", _ENCODINGS[audio.encoding]),
        ("sample_rate", str(audio.rate_hz)),
        ("channels", "1"),
        ("interim_results", "true"),
        ("endpointing", "false" if options.endpointing_ms is None else str(options.endpointing_ms)),
        ("no_delay", "true"),  # else smart_format holds numbers back (sheet 9)
    ]
    query += [(name, str(on).lower()) for name, on in options.switches]
    if options.takes_keyterms:
        hints = key_terms(phrases) if options.phrase_keyterms else ()
        terms = dict.fromkeys((*options.keyterms, *hints))
        query += [("keyterm", term) for term in tuple(terms)[:MAX_KEYTERMS]]
    query += [("tag", tag) for tag in options.tags]
    return f"/v1/listen?{urlencode(query)}"


def key_terms(phrases: Iterable[str]) -> tuple[str, ...]:
    """The words of likely sentences that are worth a hint: long ones, the rarest first.

    Common words are recognised anyway, and hints for them make a recogniser hear them everywhere.
    """
    counts = Counter(
        word
        for phrase in phrases
        for word in re.findall(r"[^\W\d_]+", phrase)
        if len(word) >= _MIN_HINT_CHARS
    )
    rarest_first = sorted(counts, key=lambda word: (counts[word], -len(word), word))
    return tuple(rarest_first[:MAX_PHRASE_KEYTERMS])


def language_code(languages: tuple[str, ...]) -> str:
    """Deepgram's code for a call's languages: `multi` where the call may switch and nova-3 can follow."""
    codes = list(dict.fromkeys(_code(language) for language in languages)) or ["en"]
    bases = {code.split("-")[0] for code in codes}
    if len(bases) > 1 and bases <= _CODE_SWITCHING:
        return "multi"
    return codes[0]


def _code(language: str) -> str:
    tag = language.casefold()
    base, _, region = tag.partition("-")
    if base == "yue":
        return "zh-HK"
    return f"{base}-{region.upper()}" if tag in _REGIONS else base


@dataclass(frozen=True, slots=True)
class Word:
    """A recognised word; times in seconds of audio received on this socket."""

    text: str
    start_s: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Results:
    """What was recognised in a stretch of audio; empty text is normal."""

    text: str
    start_s: float
    end_s: float
    is_final: bool
    from_finalize: bool
    confidence: float | None
    words: tuple[Word, ...]
    language: str | None


@dataclass(frozen=True, slots=True)
class Failure:
    """An error message inside the stream."""

    detail: str


def parse(data: bytes) -> Results | Failure | None:
    """One message. None for those that need no answer (Metadata, SpeechStarted, types yet to come).

    Raises `WireError` for what is not Deepgram's.
    """
    message = read_object(data)
    kind = message.get("type")
    if kind == "Results":
        try:
            return _results(message)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise WireError("bad_results", f"{type(error).__name__}: {error}") from None
    if kind == "Error":
        said = (
            message.get("description")
            or message.get("message")
            or message.get("variant")
            or "no reason given"
        )
        return Failure(str(said))
    return None


def _results(message: dict[str, Any]) -> Results:
    best = message["channel"]["alternatives"][0]
    words = tuple(
        Word(
            str(word.get("punctuated_word") or word["word"]),
            float(word["start"]),
            float(word.get("confidence", 1.0)),
        )
        for word in best.get("words", ())
    )
    start_s = float(message["start"])
    languages = best.get("languages") or ()
    confidence = best.get("confidence")
    if confidence is None and words:
        confidence = sum(word.confidence for word in words) / len(words)
    return Results(
        str(best["transcript"]),
        start_s,
        start_s + float(message["duration"]),
        bool(message.get("is_final", False)),
        bool(message.get("from_finalize", False)),
        None if confidence is None else float(confidence),
        words,
        str(languages[0]) if languages else None,
    )


def close_problem(provider: str, code: int | None, reason: str) -> ProviderError:
    """The error for a socket that was closed on us (sheet 1, close frames)."""
    tag = reason.split(":", maxsplit=1)[0].split(maxsplit=1)[0] if reason.strip() else ""
    if code is None:
        return ProviderUnavailable(provider, f"the connection was lost{f': {reason}' if reason else ''}")
    if tag == "NET-0001":
        return ProviderUnavailable(
            provider, "NET-0001: it heard nothing from us for 10 s, neither audio nor KeepAlive"
        )
    if tag == "DATA-0000":
        return ProviderRejected(
            provider, "DATA-0000: the audio cannot be decoded: it is not in the format announced"
        )
    if code in (1003, 1008, 1009):
        return ProviderRejected(provider, f"closed with {code} {reason}".rstrip())
    return ProviderUnavailable(provider, f"closed with {code} {reason}".rstrip())
