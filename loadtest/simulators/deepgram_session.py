"""Deepgram's live recognition without socket and clock: audio in, messages out. Sheet 2.

Its time is the audio received. Results come as partials at a fixed rhythm, as finals where a stretch of
speech grows long, where its own endpointing fires, and where the client asks.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from agent.audio.formats import AudioFormat, Encoding
from loadtest.simulators.audio_fingerprint import HeardWord, Hearing

INTERIM_MS = 1_000.0
"""Audio between interim results. Measured by no sheet; what clients see is about one a second."""
LONG_MS = 5_000.0
"""A stretch this long is closed with a final though nobody paused: "a long utterance yields several"."""
_CONFIDENCE = 0.98
_ENCODINGS = {"mulaw": Encoding.PCMU, "alaw": Encoding.PCMA, "linear16": Encoding.L16}
_MODELS = ("nova-3", "nova-2", "nova", "enhanced", "base")
_SWITCHES = frozenset(
    ("interim_results", "punctuate", "smart_format", "no_delay", "vad_events", "numerals", "profanity_filter",
     "filler_words", "mip_opt_out", "dictation", "diarize", "multichannel")
)  # fmt: skip
_OTHERS = frozenset(
    ("model", "language", "encoding", "sample_rate", "channels", "endpointing", "utterance_end_ms", "keyterm",
     "keywords", "version", "callback", "tag", "extra", "redact", "replace", "search")
)  # fmt: skip


class QueryMistake(Exception):
    """The query is wrong: what Deepgram would say with its 400."""


@dataclass(frozen=True, slots=True)
class ListenQuery:
    """What a socket asked for."""

    model: str
    language: str
    audio: AudioFormat
    interim_results: bool
    punctuate: bool
    vad_events: bool
    endpointing_ms: float | None
    utterance_end_ms: float | None
    keyterms: tuple[str, ...]


def read_query(items: Iterable[tuple[str, str]]) -> ListenQuery:
    """Raises `QueryMistake`."""
    query: dict[str, str] = {}
    keyterms: list[str] = []
    for name, value in items:
        if name not in _OTHERS | _SWITCHES:
            raise QueryMistake(f"Unknown query parameter: {name}")
        if name in _SWITCHES and value not in ("true", "false"):
            raise QueryMistake(f"{name} is true or false")
        if name == "keyterm":
            keyterms.append(value)
        query[name] = value
    model = query.get("model", "base")
    if not model.startswith(_MODELS):
        raise QueryMistake(f"No such model/language combination found: {model}")
    if keyterms and not model.startswith("nova-3"):
        raise QueryMistake("keyterm is only supported for nova-3")
    interim = query.get("interim_results") == "true"
    if "utterance_end_ms" in query and not interim:
        raise QueryMistake("utterance_end_ms requires interim_results=true")
    endpointing = query.get("endpointing", "10")
    return ListenQuery(
        model,
        query.get("language", "en"),
        _audio(query),
        interim,
        "true" in (query.get("punctuate"), query.get("smart_format")),
        query.get("vad_events") == "true",
        None if endpointing == "false" else _number("endpointing", endpointing),
        _number("utterance_end_ms", query["utterance_end_ms"]) if "utterance_end_ms" in query else None,
        tuple(keyterms),
    )


def _audio(query: dict[str, str]) -> AudioFormat:
    encoding = _ENCODINGS.get(query.get("encoding", ""))
    if encoding is None:
        raise QueryMistake(f"encoding: the simulator takes {', '.join(_ENCODINGS)}")
    rate_hz = int(_number("sample_rate", query.get("sample_rate", "")))
    if not 8_000 <= rate_hz <= 48_000:
        raise QueryMistake("sample_rate is 8000 to 48000")
    return AudioFormat(encoding, rate_hz)


def _number(name: str, text: str) -> float:
    if not text.isdigit():
        raise QueryMistake(f"{name} is a whole number")
    return float(text)


class LiveSession:
    """One socket's recognition."""

    def __init__(self, hearing: Hearing, query: ListenQuery, finalize_needs_ms: float = 0.0) -> None:
        self._hearing = hearing
        self._query = query
        self._finalize_needs_ms = finalize_needs_ms
        self._start_ms = 0.0
        self._interim_ms = INTERIM_MS
        self._speaking = self._open_utterance = False
        self._last_word_ms = 0.0

    @property
    def position_ms(self) -> float:
        """Audio received."""
        return self._hearing.position_ms

    def audio(self, data: bytes) -> list[bytes]:
        """What is to be said after this audio."""
        hearing, query = self._hearing, self._query
        hearing.feed(data)
        messages: list[bytes] = []
        if hearing.silent_ms == 0 and hearing.position_ms > 0:
            if not self._speaking and query.vad_events:
                messages.append(_dumps("SpeechStarted", channel=[0, 1], timestamp=hearing.position_ms / 1000))
            self._speaking = True
        elif (
            self._speaking and query.endpointing_ms is not None and hearing.silent_ms >= query.endpointing_ms
        ):
            self._speaking = False
            messages.append(self._final(speech_final=True))
        elif hearing.silent_ms > 0 and query.endpointing_ms is None:
            self._speaking = False
        if hearing.position_ms >= self._interim_ms:
            self._interim_ms = hearing.position_ms + INTERIM_MS
            if hearing.position_ms - self._start_ms >= LONG_MS:
                messages.append(self._final())
            elif query.interim_results:
                messages.append(self._results(hearing.words()))
        wait_ms = query.utterance_end_ms
        if self._open_utterance and wait_ms is not None and hearing.silent_ms >= wait_ms:
            self._open_utterance = False
            messages.append(_dumps("UtteranceEnd", channel=[0, 1], last_word_end=self._last_word_ms / 1000))
        return messages

    def finalize(self) -> list[bytes]:
        """The client asks for what there is."""
        if self.position_ms - self._start_ms < self._finalize_needs_ms:
            return []
        return [self._final(from_finalize=True)]

    def close(self) -> list[bytes]:
        """The client has no more audio."""
        return [self._final()] if self.position_ms > self._start_ms else []

    def final_text(self, message: bytes) -> str:
        """The text of a final result; empty for anything else."""
        if b'"is_final":true' not in message:
            return ""
        text: str = orjson.loads(message)["channel"]["alternatives"][0]["transcript"]
        return text

    def _final(self, *, speech_final: bool = False, from_finalize: bool = False) -> bytes:
        message = self._results(
            self._hearing.take(), is_final=True, speech_final=speech_final, from_finalize=from_finalize
        )
        self._start_ms = self.position_ms
        return message

    def _results(
        self,
        words: list[HeardWord],
        *,
        is_final: bool = False,
        speech_final: bool = False,
        from_finalize: bool = False,
    ) -> bytes:
        if words:
            self._open_utterance = True
            self._last_word_ms = words[-1].end_ms
        shown = [word.text if self._query.punctuate else _plain(word.text) for word in words]
        alternative = {
            "transcript": " ".join(shown),
            "confidence": _CONFIDENCE if words else 0.0,
            "words": [
                {
                    "word": _plain(word.text),
                    "start": word.start_ms / 1000,
                    "end": word.end_ms / 1000,
                    "confidence": _CONFIDENCE,
                    "punctuated_word": text,
                }
                for word, text in zip(words, shown, strict=True)
            ],
        }
        return _dumps(
            "Results",
            channel_index=[0, 1],
            start=self._start_ms / 1000,
            duration=(self.position_ms - self._start_ms) / 1000,
            is_final=is_final,
            speech_final=speech_final,
            from_finalize=from_finalize,
            channel={"alternatives": [alternative]},
            metadata={"request_id": "simulated", "model_info": {"name": self._query.model}},
        )


def metadata(position_ms: float) -> bytes:
    """The last message of a socket."""
    return _dumps("Metadata", request_id="simulated", duration=position_ms / 1000, channels=1)


def _plain(word: str) -> str:
    return word.strip(".,;:!?").lower()


def _dumps(kind: str, **fields: object) -> bytes:
    return orjson.dumps({"type": kind, **fields})
