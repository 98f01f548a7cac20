"""Queries, text and limits of the Aura simulator, without sockets."""

import pytest

from agent.audio.formats import PCMU_8K, AudioFormat, Encoding, linear
from loadtest.simulators.aura_wire import FLUSHES, FlushLimit, QueryMistake, TextBuffer, given_key, read_query


def test_queries() -> None:
    query = read_query([("model", "aura-2-thalia-en"), ("encoding", "mulaw"), ("sample_rate", "8000")])
    assert (query.model, query.audio) == ("aura-2-thalia-en", PCMU_8K)
    assert read_query([]).audio == linear(24_000)
    assert read_query([("encoding", "alaw")]).audio == AudioFormat(Encoding.PCMA, 8_000)
    assert read_query([("speed", "1.2")]).speed == 1.2


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("model", "flux-haley-en", "No such model"),
        ("encoding", "mp3", "Unsupported encoding: mp3"),
        ("sample_rate", "44100", "Unsupported sample_rate 44100"),
        ("container", "wav", "container"),
        ("speed", "fast", "speed"),
        ("speed", "9", "speed"),
        ("voice", "thalia", "Unexpected query parameter: voice"),
    ],
)
def test_what_deepgram_refuses(name: str, value: str, says: str) -> None:
    with pytest.raises(QueryMistake, match=says):
        read_query([(name, value)])


def test_mulaw_has_telephone_rates_only() -> None:
    with pytest.raises(QueryMistake, match="24000"):
        read_query([("encoding", "mulaw"), ("sample_rate", "24000")])


def test_text_waits_for_the_end_of_its_sentence() -> None:
    text = TextBuffer()
    assert text.add("It costs 3.") == []
    assert text.add("50 dollars. And then") == ["It costs 3.50 dollars."]
    assert text.add(" more! Yes") == ["And then more!"]
    assert text.flush() == "Yes"
    assert text.flush() == ""


def test_chinese_needs_no_white_space() -> None:
    text = TextBuffer()
    assert text.add("早上好。請問") == ["早上好。"]
    assert text.flush() == "請問"


def test_twenty_flushes_a_minute() -> None:
    limit = FlushLimit()
    assert all(limit.allows(1_000.0 * number) for number in range(FLUSHES))
    assert not limit.allows(59_999.0)
    assert limit.allows(60_000.0)
    assert not limit.allows(60_500.0)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Token k"},
        {"Authorization": "Bearer k"},
        {"Sec-WebSocket-Protocol": "token, k"},
        {"Sec-WebSocket-Protocol": "bearer,k"},
    ],
)
def test_the_key_may_come_in_four_ways(headers: dict[str, str]) -> None:
    assert given_key(headers) == "k"
    assert given_key({}) == ""
