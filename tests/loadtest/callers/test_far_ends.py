"""The platform's side of the two media protocols, against the sheets' example frames."""

import json
from typing import Any

import pytest

from agent.audio.formats import G722_16K
from agent.errors import WireError
from loadtest.callers.identity import CallIdentity
from loadtest.callers.messages import ClearAudio, FarEnd, PlaceMark, PlayAudio
from loadtest.callers.telnyx_media import TelnyxMediaFarEnd
from loadtest.callers.twilio_media import TwilioMediaFarEnd
from tests.virtual import run_virtually, virtual_clock

CALL, ACCOUNT, STREAM = "CA" + "0" * 31 + "1", "AC" + "0" * 31 + "1", "MZ" + "0" * 31 + "1"
TELNYX = CallIdentity(
    call_id="v3:exampleControlId",
    account_id="00000000-0000-4000-8000-0000000000d1",
    stream_id="00000000-0000-4000-8000-0000000000c1",
    session_id="00000000-0000-4000-8000-0000000000b1",
)
SILENCE = b"\xff" * 11


def twilio() -> TwilioMediaFarEnd:
    return TwilioMediaFarEnd(CallIdentity(CALL, ACCOUNT, STREAM, ""), {"ticket": "one-time-secret"})


def telnyx(**formats: Any) -> TelnyxMediaFarEnd:
    async def build() -> TelnyxMediaFarEnd:
        return TelnyxMediaFarEnd(virtual_clock(), TELNYX, {"ticket": "one-time-secret"}, **formats)

    return run_virtually(build)


def test_twilio_says_what_the_sheet_shows() -> None:
    far_end = twilio()
    connected, start = map(json.loads, far_end.opening())
    assert connected == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert start == {
        "event": "start",
        "sequenceNumber": "1",
        "start": {
            "accountSid": ACCOUNT,
            "streamSid": STREAM,
            "callSid": CALL,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"ticket": "one-time-secret"},
        },
        "streamSid": STREAM,
    }
    assert json.loads(far_end.media(SILENCE)) == {
        "event": "media",
        "sequenceNumber": "2",
        "media": {"track": "inbound", "chunk": "1", "timestamp": "20", "payload": "//////////////8="},
        "streamSid": STREAM,
    }
    second = json.loads(far_end.media(SILENCE))
    assert (second["media"]["chunk"], second["media"]["timestamp"]) == ("2", "40")
    assert json.loads(far_end.dtmf("1"))["dtmf"] == {"track": "inbound_track", "digit": "1"}
    assert json.loads(far_end.mark("turn-4"))["mark"] == {"name": "turn-4"}
    stop = json.loads(far_end.stop())
    assert stop["stop"] == {"accountSid": ACCOUNT, "callSid": CALL}
    assert stop["sequenceNumber"] == "6"


def test_telnyx_says_what_the_sheet_shows() -> None:
    far_end = telnyx()
    connected, start = map(json.loads, far_end.opening())
    assert connected == {"event": "connected", "version": "1.0.0"}
    assert start == {
        "event": "start",
        "sequence_number": "1",
        "start": {
            "user_id": TELNYX.account_id,
            "call_control_id": TELNYX.call_id,
            "call_session_id": TELNYX.session_id,
            "from": "+15005550001",
            "to": "+15005550006",
            "tags": [],
            "client_state": None,
            "custom_parameters": {"ticket": "one-time-secret"},
            "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1},
        },
        "stream_id": TELNYX.stream_id,
    }
    media = json.loads(far_end.media(SILENCE))
    assert media["media"]["payload"] == "//////////////8="
    digit = json.loads(far_end.dtmf("5"))
    assert digit["dtmf"] == {"digit": "5"}
    assert digit["occurred_at"].endswith("Z")
    assert json.loads(far_end.stop())["stop"] == {
        "user_id": TELNYX.account_id,
        "call_control_id": TELNYX.call_id,
    }


def test_telnyx_lists_g722_with_its_rtp_clock() -> None:
    start = json.loads(telnyx(to_server=G722_16K).opening()[1])
    assert start["start"]["media_format"] == {"encoding": "G722", "sample_rate": 8000, "channels": 1}


@pytest.mark.parametrize(("far_end", "extra"), [(twilio(), {"streamSid": STREAM}), (telnyx(), {})])
def test_what_a_server_may_send_is_understood(far_end: FarEnd, extra: dict[str, str]) -> None:
    payload = "/" * 213 + "8A="  # 161 bytes: 20 ms and a sample
    media = far_end.read(json.dumps({"event": "media", **extra, "media": {"payload": payload}}))
    assert isinstance(media, PlayAudio)
    assert media == PlayAudio(b"\xff" * 159 + media.payload[159:])
    assert far_end.read(json.dumps({"event": "mark", **extra, "mark": {"name": "a"}})) == PlaceMark("a")
    assert far_end.read(json.dumps({"event": "clear", **extra})) == ClearAudio()


BAD_FOR_TWILIO = (
    ("[]", "malformed"),
    ("nonsense", "malformed"),
    ({"event": "start", "streamSid": STREAM}, "unknown"),
    ({"event": "clear"}, "schema"),
    ({"event": "clear", "streamSid": STREAM, "extra": 1}, "schema"),
    ({"event": "clear", "streamSid": "MZ2"}, "stream"),
    ({"event": "media", "streamSid": STREAM, "media": {}}, "malformed"),
    ({"event": "media", "streamSid": STREAM, "media": {"payload": "?"}}, "payload"),
    ({"event": "media", "streamSid": STREAM, "media": {"payload": ""}}, "payload"),
    ({"event": "mark", "streamSid": STREAM, "mark": "turn"}, "malformed"),
)


@pytest.mark.parametrize(("message", "kind"), BAD_FOR_TWILIO)
def test_what_twilio_warns_about_is_a_problem(message: Any, kind: str) -> None:
    far_end = twilio()
    with pytest.raises(WireError) as caught:
        far_end.read(message if isinstance(message, str) else json.dumps(message))
    assert caught.value.kind == kind
    assert far_end.complaint(caught.value) is None


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"event": "hello"}, 100003),
        ({"event": "media", "media": {"payload": "?"}}, 100004),
        ({"event": "media", "media": {"payload": "////"}}, 100004),  # less than 20 ms
    ],
)
def test_telnyx_answers_a_bad_message_with_an_error_frame(message: dict[str, Any], code: int) -> None:
    far_end = telnyx()
    with pytest.raises(WireError) as caught:
        far_end.read(json.dumps(message))
    complaint = far_end.complaint(caught.value)
    assert complaint is not None
    assert json.loads(complaint)["payload"]["code"] == code
