"""Media Streams' messages, by the protocol sheet's own examples."""

import base64
import contextlib

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import WireError
from transports.twilio import media_codec as codec

START = (
    b'{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC00000000000000000000000000000001",'
    b'"streamSid":"MZ00000000000000000000000000000001","callSid":"CA00000000000000000000000000000001",'
    b'"tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},'
    b'"customParameters":{"ticket":"one-time-secret"}},"streamSid":"MZ00000000000000000000000000000001"}'
)
MEDIA = (
    b'{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1","timestamp":"20",'
    b'"payload":"//////////8="},"streamSid":"MZ00000000000000000000000000000001"}'
)
SID = "MZ00000000000000000000000000000001"


def decoder(stream_sid: str | None = SID) -> codec.MediaDecoder:
    made = codec.MediaDecoder()
    made.stream_sid = stream_sid
    return made


def media(**fields: object) -> bytes:
    return orjson.dumps({"event": "media", "streamSid": SID, "media": fields})


def start(**media_format: object) -> bytes:
    message = orjson.loads(START)
    message["start"]["mediaFormat"] = media_format
    return orjson.dumps(message)


def kind_of(data: bytes, stream_sid: str | None = SID) -> str:
    with pytest.raises(WireError) as caught:
        decoder(stream_sid).decode(data)
    return caught.value.kind


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (b'{"event":"connected","protocol":"Call","version":"1.0.0"}', codec.Connected("Call", "1.0.0")),
        (
            START,
            codec.Start(
                SID,
                "AC00000000000000000000000000000001",
                "CA00000000000000000000000000000001",
                {"ticket": "one-time-secret"},
            ),
        ),
        (MEDIA, codec.Media(b"\xff" * 8, 20)),
        (
            (
                b'{"event":"dtmf","sequenceNumber":"90","dtmf":{"track":"inbound_track","digit":"1"},'
                b'"streamSid":"MZ00000000000000000000000000000001"}'
            ),
            codec.Dtmf("1"),
        ),
        (
            (
                b'{"event":"mark","sequenceNumber":"91","mark":{"name":"turn-4"},'
                b'"streamSid":"MZ00000000000000000000000000000001"}'
            ),
            codec.Mark("turn-4"),
        ),
        (
            (
                b'{"event":"stop","sequenceNumber":"400","stop":{"accountSid":"AC00000000000000000000000000000001",'
                b'"callSid":"CA00000000000000000000000000000001"},'
                b'"streamSid":"MZ00000000000000000000000000000001"}'
            ),
            codec.Stop(),
        ),
        (b'{"event":"dtmf","dtmf":{"digit":7}}', codec.Dtmf("7")),
    ],
)
def test_what_twilio_sends(message: bytes, event: codec.MediaEvent) -> None:
    assert decoder().decode(message) == event


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (b"nonsense", "malformed_json"),
        (b"[]", "not_an_object"),
        (b'"media"', "not_an_object"),
        (b"{}", "unknown_event"),
        (b'{"event":"type"}', "unknown_event"),
        (b'{"event":{}}', "unknown_event"),
        (b'{"event":"start"}', "missing_field"),
        (b'{"event":"start","start":{"callSid":"CA1"}}', "missing_field"),
        (b'{"event":"start","start":{"streamSid":"MZ1"}}', "missing_field"),
        (start(encoding="audio/x-alaw", sampleRate=8000, channels=1), "media_format"),
        (start(encoding="audio/x-mulaw", sampleRate=16000, channels=1), "media_format"),
        (start(encoding="audio/x-mulaw", sampleRate=8000, channels=2), "media_format"),
        (b'{"event":"media"}', "missing_field"),
        (b'{"event":"media","media":[]}', "missing_field"),
        (media(), "missing_field"),
        (media(payload="####"), "wrong_base64"),
        (media(payload="//////////8"), "wrong_base64"),
        (media(payload="//8=//8="), "wrong_base64"),
        (media(payload="ÿÿÿÿ"), "wrong_base64"),
        (media(payload=17), "wrong_base64"),
        (media(payload=None), "wrong_base64"),
        (media(payload=""), "empty_payload"),
        (media(payload="/w==", track="outbound"), "track"),
        (MEDIA.replace(b'"MZ0', b'"MZ9'), "wrong_stream"),
        (b'{"event":"mark","mark":{"name":"a"},"streamSid":"other"}', "wrong_stream"),
        (b'{"event":"mark","mark":{}}', "missing_field"),
        (b'{"event":"mark"}', "missing_field"),
        (b'{"event":"dtmf","dtmf":{"digit":"12"}}', "digit"),
        (b'{"event":"dtmf","dtmf":{}}', "digit"),
    ],
)
def test_what_cannot_be_understood_is_named(message: bytes, kind: str) -> None:
    assert kind_of(message) == kind


def test_the_format_may_come_as_text() -> None:
    found = decoder(None).decode(start(encoding="audio/x-mulaw", sampleRate="8000", channels="1"))
    assert found == decoder(None).decode(START)


def test_any_number_of_bytes_is_mu_law() -> None:
    for size in (1, 159, 161, 4_000):
        payload = bytes(size)
        found = decoder().decode(media(payload=base64.b64encode(payload).decode(), timestamp="0"))
        assert found == codec.Media(payload, 0)


def test_times_may_be_numbers_and_are_counted_on_where_they_are_missing() -> None:
    reading = decoder()
    frame = base64.b64encode(bytes(160)).decode()
    times = [
        reading.decode(message)
        for message in (
            media(payload=frame, timestamp=100),
            media(payload=frame),
            media(payload=frame, timestamp="soon"),
            media(payload=frame, timestamp="-5"),
            media(payload=frame, timestamp=1e300),
            media(payload=frame, timestamp="9" * 5000),
            media(payload=frame, timestamp="400"),
        )
    ]
    assert [found.timestamp_ms for found in times if isinstance(found, codec.Media)] == [
        100, 120, 140, 160, 180, 200, 400,
    ]  # fmt: skip


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
EVENTS = st.sampled_from(["connected", "start", "media", "dtmf", "mark", "stop", "x"])
FIELDS = st.sampled_from(
    [
        "track",
        "timestamp",
        "payload",
        "digit",
        "name",
        "streamSid",
        "callSid",
        "mediaFormat",
        "customParameters",
    ]
)


@settings(max_examples=300)
@given(event=EVENTS, inner=st.dictionaries(FIELDS, VALUES, max_size=5) | VALUES, sid=VALUES)
def test_no_message_raises_anything_else(event: str, inner: object, sid: object) -> None:
    try:
        data = orjson.dumps({"event": event, event: inner, "streamSid": sid})
    except orjson.JSONEncodeError:
        return
    with contextlib.suppress(WireError):
        decoder().decode(data)


def test_what_twilio_is_sent() -> None:
    write = codec.MediaEncoder(SID)
    assert write.media(b"\xff" * 8) == (
        b'{"event":"media","streamSid":"MZ00000000000000000000000000000001",'
        b'"media":{"payload":"//////////8="}}'
    )
    assert write.mark("turn-4") == (
        b'{"event":"mark","streamSid":"MZ00000000000000000000000000000001","mark":{"name":"turn-4"}}'
    )
    assert write.clear() == b'{"event":"clear","streamSid":"MZ00000000000000000000000000000001"}'


def test_names_are_escaped() -> None:
    write = codec.MediaEncoder('MZ"1\\')
    for message in (write.media(b"\x00"), write.mark('say "hi"'), write.clear()):
        assert orjson.loads(message)["streamSid"] == 'MZ"1\\'
    assert orjson.loads(write.mark('say "hi"'))["mark"] == {"name": 'say "hi"'}
