"""Cartesia's messages: what we send, what we read, and what is not theirs."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.audio.formats import G722_16K, PCMA_8K, PCMU_8K, AudioFormat, linear
from agent.errors import WireError
from providers.cartesia.wire import (
    Chunk,
    Done,
    Failure,
    FlushDone,
    Speech,
    Words,
    cancellation,
    generation,
    language_code,
    output_format,
    parse,
)

SPEECH = Speech("sonic-3.5", "en", "a-voice", PCMU_8K)


def test_a_request_repeats_all_fields_and_only_the_text_changes() -> None:
    first = orjson.loads(generation("c", SPEECH, "Good morning, ", more=True))
    last = orjson.loads(generation("c", SPEECH, "", more=False))
    for name in ("transcript", "continue"):
        assert first.pop(name) != last.pop(name)
    assert first == last
    assert first["voice"] == {"mode": "id", "id": "a-voice"}
    assert first["add_timestamps"] is True
    assert orjson.loads(generation("c", SPEECH, "", more=True, flush=True))["flush"] is True


@pytest.mark.parametrize(("asked", "sent"), [(0.5, 0.6), (1.2, 1.2), (2.0, 1.5)])
def test_speed_is_kept_within_what_the_service_takes(asked: float, sent: float) -> None:
    request = orjson.loads(generation("c", Speech("m", "en", "v", PCMU_8K, asked), "Hi", more=False))
    assert request["generation_config"] == {"speed": sent}


def test_cancelling() -> None:
    assert orjson.loads(cancellation("c")) == {"context_id": "c", "cancel": True}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"type":"chunk","context_id":"c","data":"AAEC","done":false}', Chunk(b"\x00\x01\x02")),
        (
            (
                b'{"type":"timestamps","context_id":"c","word_timestamps":'
                b'{"words":["Good","day"],"start":[0.02,0.25],"end":[0.2,0.5]}}'
            ),
            Words((("Good", 20.0), ("day", 250.0))),
        ),
        (b'{"type":"done","context_id":"c","done":true}', Done()),
        (b'{"type":"flush_done","context_id":"c","flush_done":true,"flush_id":1,"data":""}', FlushDone()),
        (
            (
                b'{"type":"error","context_id":"c","status_code":400,"error_code":"voice_not_found",'
                b'"title":"Invalid voice","message":"No such voice"}'
            ),
            Failure(400, "Invalid voice: voice_not_found: No such voice"),
        ),
        (b'{"type":"error","context_id":"c"}', Failure(0, "no reason given")),
        (b'{"type":"phoneme_timestamps","context_id":"c"}', None),
        (b'{"type":"yet to come","context_id":"c"}', None),
    ],
)
def test_messages_are_read(data: bytes, message: object) -> None:
    assert parse(data) == ("c", message)


def test_an_error_of_the_socket_has_no_context() -> None:
    assert parse(b'{"type":"error","status_code":500,"message":"oh"}') == ("", Failure(500, "oh"))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'{"type":"chunk","context_id":"c","da', "bad_json"),
        (b"\x00\xff", "bad_json"),
        (b"[1]", "bad_json"),
        (b'{"type":"chunk","context_id":"c"}', "bad_message"),
        (b'{"type":"chunk","context_id":"c","data":7}', "bad_message"),
        (b'{"type":"chunk","context_id":"c","data":"AA%C"}', "bad_base64"),
        (
            b'{"type":"timestamps","context_id":"c","word_timestamps":{"words":["a"],"start":[]}}',
            "bad_message",
        ),
        (b'{"type":"timestamps","context_id":"c","word_timestamps":null}', "bad_message"),
    ],
)
def test_garbage_has_a_kind(data: bytes, kind: str) -> None:
    with pytest.raises(WireError) as caught:
        parse(data)
    assert caught.value.kind == kind


@given(
    st.binary()
    | st.dictionaries(
        st.sampled_from(("context_id", "data", "word_timestamps", "status_code", "title")),
        st.none()
        | st.integers(0, 9)
        | st.text()
        | st.lists(st.text())
        | st.dictionaries(st.text(), st.text()),
    ).flatmap(
        lambda fields: st.sampled_from(("chunk", "timestamps", "done", "error")).map(
            lambda kind: orjson.dumps({**fields, "type": kind}, option=orjson.OPT_NON_STR_KEYS)
        )
    )
)
def test_nothing_that_comes_raises_anything_else(data: bytes) -> None:
    kind = "bad_json"
    try:
        parse(data)
    except WireError as error:
        kind = error.kind
    assert kind in ("bad_json", "bad_message", "bad_base64")


@pytest.mark.parametrize(
    ("line", "made"),
    [
        (PCMU_8K, PCMU_8K),
        (PCMA_8K, PCMA_8K),
        (linear(16000), linear(16000)),
        (linear(32000), linear(44100)),
        (linear(96000), linear(48000)),
        (G722_16K, linear(16000)),
    ],
)
def test_what_is_asked_for_on_a_line(line: AudioFormat, made: AudioFormat) -> None:
    assert output_format(line) == made


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("en-ZA", "en"),
        ("pt-BR", "pt"),
        ("zh-CN", "zh"),
        ("zh", "zh"),
        ("nb-NO", "no"),
        ("zh-HK", None),
        ("yue", None),
        ("af", None),
    ],
)
def test_languages(tag: str, code: str | None) -> None:
    assert language_code(tag) == code
