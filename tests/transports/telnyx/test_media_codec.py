"""Media streaming's messages, as the protocol sheet has them."""

import base64
from typing import Any

import orjson
import pytest

from agent.audio.codec import make_decoder
from agent.audio.formats import G722_16K, PCMA_8K, PCMU_8K, AudioFormat, linear
from agent.errors import WireError
from transports.telnyx.byte_order import ByteOrder
from transports.telnyx.media_codec import (
    NO_CHUNK,
    Complaint,
    Connected,
    Dtmf,
    Mark,
    Media,
    MediaDecoder,
    MediaEncoder,
    Start,
    Stop,
    inbound_format,
)
from transports.telnyx.options import ByteOrderChoice

STREAM = "00000000-0000-4000-8000-0000000000c1"
START = (
    b'{"event":"start","sequence_number":"1","start":{"user_id":"00000000-0000-4000-8000-0000000000d1",'
    b'"call_control_id":"v3:exampleControlId","call_session_id":"00000000-0000-4000-8000-0000000000b1",'
    b'"from":"+15005550001","to":"+15005550006","tags":[],"client_state":null,'
    b'"custom_parameters":{"ticket":"one-time-secret"},'
    b'"media_format":{"encoding":"PCMU","sample_rate":8000,"channels":1}},'
    b'"stream_id":"00000000-0000-4000-8000-0000000000c1"}'
)
MEDIA = (
    b'{"event":"media","sequence_number":"2","media":{"track":"inbound","chunk":"1","timestamp":"20",'
    b'"payload":"//////////8="},"stream_id":"00000000-0000-4000-8000-0000000000c1"}'
)


def begun(audio: AudioFormat = PCMU_8K, order: ByteOrderChoice = ByteOrderChoice.LITTLE) -> MediaDecoder:
    decoder = MediaDecoder()
    decoder.begin(STREAM, audio, ByteOrder(order, audio.rate_hz))
    return decoder


def media(payload: bytes = b"\xff" * 8, **more: Any) -> bytes:
    body = {"payload": base64.b64encode(payload).decode(), **more}
    return orjson.dumps({"event": "media", "media": body, "stream_id": STREAM})


def start(encoding: Any, rate: Any, channels: Any = 1) -> Start:
    message = orjson.loads(START)
    message["start"]["media_format"] = {"encoding": encoding, "sample_rate": rate, "channels": channels}
    event = MediaDecoder().decode(orjson.dumps(message))
    assert isinstance(event, Start)
    return event


def refused(data: bytes, decoder: MediaDecoder | None = None) -> str:
    with pytest.raises(WireError) as caught:
        (decoder or begun()).decode(data)
    return caught.value.kind


def test_the_sheets_start() -> None:
    assert MediaDecoder().decode(START) == Start(
        call_control_id="v3:exampleControlId",
        stream_id=STREAM,
        caller="+15005550001",
        called="+15005550006",
        parameters={"ticket": "one-time-secret"},
        encoding="PCMU",
        rate_hz=8000,
        channels=1,
    )


def test_the_sheets_media() -> None:
    assert begun().decode(MEDIA) == Media(b"\xff" * 8, 20, 1)


def test_the_sheets_other_messages() -> None:
    decoder = begun()
    stream = b'"stream_id":"00000000-0000-4000-8000-0000000000c1"'
    assert decoder.decode(
        b'{"event":"dtmf",%b,"occurred_at":"2026-11-20T10:00:20.000000Z","sequence_number":"90",'
        b'"dtmf":{"digit":"5"}}' % stream
    ) == Dtmf("5", "2026-11-20T10:00:20.000000Z")
    assert decoder.decode(
        b'{"event":"mark",%b,"sequence_number":"91","mark":{"name":"turn-4"}}' % stream
    ) == Mark("turn-4")
    assert decoder.decode(
        b'{"event":"error","payload":'
        b'{"code":100004,"title":"invalid_media","detail":"payload is not base64"},'
        b"%b}" % stream
    ) == Complaint("platform_invalid_media", "100004 invalid_media: payload is not base64")
    assert (
        decoder.decode(
            b'{"event":"stop","sequence_number":"400","stop":{"user_id":"u","call_control_id":"v3:e"},%b}'
            % stream
        )
        == Stop()
    )


@pytest.mark.parametrize(
    "message",
    [
        {"connected": {"x-telnyx-streaming-auth-token": "one-time-secret"}, "protocol": "Call"},
        {"x-telnyx-streaming-auth-token": "one-time-secret"},
    ],
)
def test_the_auth_token_is_found_nested_and_at_the_top(message: dict[str, Any]) -> None:
    data = orjson.dumps({"event": "connected", "version": "1.0.0", **message})
    assert MediaDecoder().decode(data) == Connected("one-time-secret")


def test_connected_without_a_token() -> None:
    assert MediaDecoder().decode(b'{"event":"connected","version":"1.0.0"}') == Connected(None)


@pytest.mark.parametrize(
    "told",
    [
        {"ticket": "t", "number": 5},
        [{"name": "ticket", "value": "t"}, {"name": "number", "value": 5}, {"name": ["odd"]}, "odd"],
    ],
)
def test_parameters_come_as_object_or_list(told: Any) -> None:
    message = orjson.loads(START)
    message["start"]["custom_parameters"] = told
    event = MediaDecoder().decode(orjson.dumps(message))
    assert isinstance(event, Start)
    assert event.parameters == {"ticket": "t"}


def test_a_start_with_as_little_as_possible() -> None:
    event = MediaDecoder().decode(b'{"event":"start","start":{"call_control_id":"v3:x","from":null}}')
    assert event == Start("v3:x", "", "", "", {}, "PCMU", None, 1)


@pytest.mark.parametrize(
    ("encoding", "rate", "expected"),
    [
        ("PCMU", 8000, PCMU_8K),
        ("pcma", "8000", PCMA_8K),
        ("G722", 8000, G722_16K),
        ("G722", 16000, G722_16K),
        ("L16", 8000, linear(8000)),
        ("L16", 16000, linear(16000)),
        ("L16", None, linear(16000)),
    ],
)
def test_formats_that_can_be_heard(encoding: str, rate: Any, expected: AudioFormat) -> None:
    assert inbound_format(start(encoding, rate)) == expected


@pytest.mark.parametrize(
    ("encoding", "rate", "channels"),
    [("OPUS", 16000, 1), ("AMR-WB", 16000, 1), ("L16", 22050, 1), ("PCMU", 8000, 2), ("\u2603", 8000, 1)],
)
def test_formats_that_cannot(encoding: str, rate: int, channels: int) -> None:
    with pytest.raises(WireError, match="cannot be heard: use PCMU") as caught:
        inbound_format(start(encoding, rate, channels))
    assert caught.value.kind == "media_format"


def test_only_the_callers_track_is_heard() -> None:
    assert begun().decode(media(track="outbound")) is None
    assert begun().decode(media(track="inbound")) is not None
    assert begun().decode(media()) is not None


def test_a_missing_or_mad_timestamp_goes_on_counting() -> None:
    decoder = begun()
    assert decoder.decode(media(b"\xff" * 160, timestamp="100", chunk="5")) == Media(b"\xff" * 160, 100, 5)
    times = []
    for told in ({}, {"timestamp": "soon"}, {"timestamp": -4}, {"timestamp": "9" * 30}):
        decoded = decoder.decode(media(b"\xff" * 160, **told))
        assert isinstance(decoded, Media)
        assert decoded.chunk == NO_CHUNK
        times.append(decoded.timestamp_ms)
    assert times == [120, 140, 160, 180]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b"\xff\xfe", "malformed_json"),
        (b"[]", "not_an_object"),
        (b'"media"', "not_an_object"),
        (b"null", "not_an_object"),
        (b"{}", "unknown_event"),
        (b'{"event":"tea"}', "unknown_event"),
        (b'{"event":["media"]}', "unknown_event"),
        (b'{"event":"media"}', "missing_field"),
        (b'{"event":"media","media":[]}', "missing_field"),
        (b'{"event":"media","media":{}}', "missing_field"),
        (b'{"event":"media","media":{"payload":5}}', "wrong_base64"),
        (b'{"event":"media","media":{"payload":"/////"}}', "wrong_base64"),
        (b'{"event":"media","media":{"payload":"//\\n//"}}', "wrong_base64"),
        ('{"event":"media","media":{"payload":"\u00e4\u00e4\u00e4\u00e4"}}'.encode(), "wrong_base64"),
        (b'{"event":"media","media":{"payload":""}}', "empty_payload"),
        (b'{"event":"start"}', "missing_field"),
        (b'{"event":"start","start":{"call_control_id":""}}', "missing_field"),
        (b'{"event":"dtmf","dtmf":{"digit":"55"}}', "bad_digit"),
        (b'{"event":"dtmf","dtmf":{}}', "bad_digit"),
        (b'{"event":"mark","mark":{"name":5}}', "missing_field"),
        (b'{"event":"error"}', "missing_field"),
        (b'{"event":"mark","stream_id":"other","mark":{"name":"m"}}', "wrong_stream"),
        (b'{"event":"media","stream_id":"other","media":{"payload":"//////////8="}}', "wrong_stream"),
    ],
)
def test_nonsense_is_named(data: bytes, kind: str) -> None:
    assert refused(data) == kind


def test_half_a_sample_is_refused_only_where_samples_have_two_bytes() -> None:
    assert refused(media(b"abc"), begun(linear(16000))) == "odd_length"
    assert begun(PCMA_8K).decode(media(b"abc")) is not None


def test_big_endian_samples_are_turned_at_the_border() -> None:
    decoded = begun(linear(16000), ByteOrderChoice.BIG).decode(media(b"\x01\x02\x03\x04"))
    assert isinstance(decoded, Media)
    assert decoded.payload == b"\x02\x01\x04\x03"
    encoder = MediaEncoder(linear(16000), ByteOrder(ByteOrderChoice.BIG, 16000))
    assert payload(encoder.media(b"\x01\x02" * 320)) == b"\x02\x01" * 320


def payload(message: bytes) -> bytes:
    return base64.b64decode(orjson.loads(message)["media"]["payload"], validate=True)


def test_what_is_sent_is_as_in_the_sheet() -> None:
    encoder = MediaEncoder(PCMU_8K)
    body = base64.b64encode(b"\x7e" * 160).decode()
    assert orjson.loads(encoder.media(b"\x7e" * 160)) == {"event": "media", "media": {"payload": body}}
    assert encoder.mark("turn-4") == b'{"event":"mark","mark":{"name":"turn-4"}}'
    assert orjson.loads(encoder.mark('a"b'))["mark"]["name"] == 'a"b'
    assert encoder.clear() == b'{"event":"clear"}'


@pytest.mark.parametrize(
    ("audio", "silence"), [(PCMU_8K, b"\xff"), (PCMA_8K, b"\xd5"), (linear(16000), b"\0"), (G722_16K, None)]
)
def test_no_message_holds_a_piece_of_a_frame(audio: AudioFormat, silence: bytes | None) -> None:
    encoder = MediaEncoder(audio)
    size = audio.frame_bytes
    for given in (0, 2, size - 2, size + 2):
        sent = payload(encoder.media(b"\x55" * given))
        assert len(sent) == max(size, -(-given // size) * size)
        assert sent[:given] == b"\x55" * given
        if silence is not None:
            assert set(sent[given:]) <= set(silence)
    assert payload(encoder.media(b"\x55" * size)) == b"\x55" * size


@pytest.mark.parametrize("audio", [PCMU_8K, PCMA_8K, G722_16K, linear(8000)])
def test_a_frame_of_silence_is_silent(audio: AudioFormat) -> None:
    sent = payload(MediaEncoder(audio).silence())
    assert len(sent) == audio.frame_bytes
    heard = make_decoder(audio).decode(sent)
    samples = memoryview(heard).cast("h")
    assert max(abs(sample) for sample in samples) <= 8
