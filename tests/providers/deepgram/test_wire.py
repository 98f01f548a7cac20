"""Deepgram's addresses and messages."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.audio.formats import PCMA_8K, PCMU_8K, AudioFormat, linear
from agent.errors import ProviderError, ProviderRejected, ProviderUnavailable, WireError
from providers.deepgram.options import Options
from providers.deepgram.wire import (
    MAX_KEYTERMS,
    MAX_PHRASE_KEYTERMS,
    Failure,
    Results,
    close_problem,
    key_terms,
    language_code,
    listen_path,
    parse,
)


def query_of(options: Options, audio: AudioFormat = PCMU_8K, *phrases: str) -> list[tuple[str, str]]:
    path = urlsplit(listen_path(options, audio, ("en-US",), phrases))
    assert path.path == "/v1/listen"
    return parse_qsl(path.query)


def test_a_telephone_call_s_address() -> None:
    query = dict(query_of(Options()))
    assert query["model"] == "nova-3"
    assert query["language"] == "en-US"
    assert (query["encoding"], query["sample_rate"], query["channels"]) == ("mulaw", "8000", "1")
    assert query["interim_results"] == "true"
    assert query["endpointing"] == "false", "our endpoint decides"
    assert query["no_delay"] == "true", "numbers are not held back"
    assert query["smart_format"] == "true"


@pytest.mark.parametrize(
    ("audio", "encoding", "rate"),
    [(PCMA_8K, "alaw", "8000"), (linear(16000), "linear16", "16000"), (PCMU_8K, "mulaw", "8000")],
)
def test_formats(audio: AudioFormat, encoding: str, rate: str) -> None:
    query = dict(query_of(Options(), audio))
    assert (query["encoding"], query["sample_rate"]) == (encoding, rate)


def test_key_terms_are_few_and_only_for_the_models_that_take_them() -> None:
    own = tuple(f"term {number}" for number in range(MAX_KEYTERMS + 50))
    sent = [value for name, value in query_of(Options(keyterms=own)) if name == "keyterm"]
    assert sent == list(own[:MAX_KEYTERMS])
    assert "keyterm" not in dict(query_of(Options(model="nova-2", keyterms=own)))
    assert "keyterm" not in dict(query_of(Options(phrase_keyterms=False), PCMU_8K, "an appointment please"))


def test_rare_long_words_make_key_terms() -> None:
    phrases = ("an appointment please", "book an appointment", "where is the physiotherapist")
    assert key_terms(phrases) == ("physiotherapist", "appointment")
    many = [f"{'x' * 7}{chr(97 + one)}{chr(97 + two)}" for one in range(10) for two in range(10)]
    assert len(key_terms(many)) == MAX_PHRASE_KEYTERMS


@pytest.mark.parametrize(
    ("languages", "code"),
    [
        (("en-US",), "en-US"),
        (("en-ZA",), "en"),
        (("zh-HK",), "zh-HK"),
        (("yue",), "zh-HK"),
        (("es-MX", "en-US"), "multi"),
        (("pl-PL", "en-US"), "pl"),
        (("en-US", "en-GB"), "en-US"),
        ((), "en"),
    ],
)
def test_languages(languages: tuple[str, ...], code: str) -> None:
    assert language_code(languages) == code


def results(**fields: Any) -> bytes:
    message: dict[str, Any] = {
        "type": "Results",
        "start": 1.02,
        "duration": 1.38,
        "is_final": True,
        "speech_final": True,
        "from_finalize": False,
        "channel": {
            "alternatives": [
                {
                    "transcript": "I'd like",
                    "confidence": 0.99,
                    "words": [{"word": "i'd", "start": 1.1, "confidence": 0.98, "punctuated_word": "I'd"}],
                    "languages": ["en"],
                }
            ]
        },
    }
    return orjson.dumps(message | fields)


def test_results_are_read() -> None:
    found = parse(results())
    assert isinstance(found, Results)
    assert (found.text, found.start_s, found.is_final, found.from_finalize) == ("I'd like", 1.02, True, False)
    assert found.end_s == pytest.approx(2.4)
    assert found.confidence == 0.99
    assert found.words[0].text == "I'd"
    assert found.language == "en"


def test_unknown_types_are_nothing_and_errors_are_failures() -> None:
    assert parse(b'{"type":"Metadata","request_id":"x"}') is None
    assert parse(b'{"type":"SpeechStarted"}') is None
    assert parse(b'{"type":"Error","description":"oh no"}') == Failure("oh no")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"<html>", "bad_json"),
        (b"7", "bad_json"),
        (b'{"type":"Results"}', "bad_results"),
        (results(channel={"alternatives": []}), "bad_results"),
        (results(channel=None), "bad_results"),
        (results(start="soon"), "bad_results"),
        (results(channel={"alternatives": [{"transcript": "a", "words": [{}]}]}), "bad_results"),
    ],
)
def test_garbage_has_a_kind(data: bytes, kind: str) -> None:
    with pytest.raises(WireError) as caught:
        parse(data)
    assert caught.value.kind == kind


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(("channel", "alternatives", "words", "start", "transcript")), inner
            )
        ),
    )
)
def test_nothing_that_comes_raises_anything_else(value: Any) -> None:
    kind = "bad_results"
    try:
        parse(results(channel=value))
    except WireError as error:
        kind = error.kind
    assert kind == "bad_results"


@pytest.mark.parametrize(
    ("code", "reason", "kind", "says"),
    [
        (None, "", ProviderUnavailable, "connection was lost"),
        (None, "keepalive ping timeout", ProviderUnavailable, "lost: keepalive ping timeout"),
        (1011, "NET-0001: timeout", ProviderUnavailable, "NET-0001: it heard nothing from us"),
        (1008, "DATA-0000: cannot decode", ProviderRejected, "not in the format announced"),
        (1003, "MESSAGE-0000", ProviderRejected, "1003"),
        (1011, "NET-0002", ProviderUnavailable, "1011 NET-0002"),
        (1000, "", ProviderUnavailable, "closed with 1000"),
    ],
)
def test_why_a_socket_was_closed(code: int | None, reason: str, kind: type[ProviderError], says: str) -> None:
    problem = close_problem("deepgram", code, reason)
    assert type(problem) is kind
    assert says in str(problem)
