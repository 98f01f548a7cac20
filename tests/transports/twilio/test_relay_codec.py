"""ConversationRelay's messages, by the protocol sheet's own examples."""

import contextlib

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import WireError
from transports.twilio import relay_codec as codec

SETUP = (
    b'{"type":"setup","sessionId":"VX00000000000000000000000000000001",'
    b'"accountSid":"AC00000000000000000000000000000001","parentCallSid":"",'
    b'"callSid":"CA00000000000000000000000000000001","from":"+15005550001","to":"+15005550006",'
    b'"forwardedFrom":"","callType":"PSTN","callerName":"","direction":"inbound",'
    b'"callStatus":"RINGING","customParameters":{"ticket":"one-time-secret"}}'
)


def test_setup() -> None:
    setup = codec.decode(SETUP)
    assert setup == codec.Setup(
        session_id="VX00000000000000000000000000000001",
        account_sid="AC00000000000000000000000000000001",
        call_sid="CA00000000000000000000000000000001",
        caller="+15005550001",
        called="+15005550006",
        direction="inbound",
        call_status="RINGING",
        parameters={"ticket": "one-time-secret"},
    )


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (
            b'{"type":"prompt","voicePrompt":"I would like","lang":"en","last":false}',
            codec.Prompt("I would like", "en", last=False),
        ),
        (
            b'{"type":"prompt","voicePrompt":"I would like a table for two.","lang":"en-US","last":true}',
            codec.Prompt("I would like a table for two.", "en-US", last=True),
        ),
        (b'{"type":"dtmf","digit":"5"}', codec.Dtmf("5")),
        (
            b'{"type":"interrupt","utteranceUntilInterrupt":"Sure, I can","durationUntilInterruptMs":684}',
            codec.Interrupt("Sure, I can", 684),
        ),
        (
            rb'{"type":"error","description":"Invalid message received, code: 64107, {\"type\":\"txet\"}"}',
            codec.PlatformError('Invalid message received, code: 64107, {"type":"txet"}'),
        ),
        (b'{"type":"info","name":"agentSpeaking","value":"on"}', codec.AgentSpeaking(speaking=True)),
        (
            b'{"type":"info","name":"clientSpeaking","value":"off","ts":1793000000123}',
            codec.CallerSpeaking(speaking=False),
        ),
        (
            b'{"type":"info","name":"tokensPlayed","value":"Sure, I can book that."}',
            codec.TokensPlayed("Sure, I can book that."),
        ),
        # Not in the sheet's examples, but within what it allows.
        (b'{"type":"prompt","voicePrompt":"Hi","extra":{"a":1}}', codec.Prompt("Hi", None, last=True)),
        (b'{"type":"prompt","voicePrompt":"Hi","last":"false"}', codec.Prompt("Hi", None, last=False)),
        (b'{"type":"dtmf","digit":5}', codec.Dtmf("5")),
        (b'{"type":"dtmf","digit":"b"}', codec.Dtmf("B")),
        (b'{"type":"interrupt","durationUntilInterruptMs":"684"}', codec.Interrupt("", 684)),
        (b'{"type":"interrupt"}', codec.Interrupt("", 0)),
        (b'{"type":"configUpdated","whatever":[]}', codec.Notice("configUpdated")),
        (b'{"type":"info","name":"roundTripDelayMs","value":"80"}', codec.Notice("roundTripDelayMs")),
    ],
)
def test_what_twilio_sends(message: bytes, event: codec.RelayEvent) -> None:
    assert codec.decode(message) == event


def test_a_setup_of_the_bare_minimum_is_enough() -> None:
    setup = codec.decode(b'{"type":"setup","callSid":"CA1","customParameters":null}')
    assert isinstance(setup, codec.Setup)
    assert (setup.call_sid, setup.caller, setup.parameters) == ("CA1", "", {})


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (b"", "malformed_json"),
        (b'{"type":"prompt"', "malformed_json"),
        (b'\xff{"type":"dtmf"}', "malformed_json"),
        (b"[1]", "not_an_object"),
        (b'"setup"', "not_an_object"),
        (b"{}", "unknown_type"),
        (b'{"type":["setup"]}', "unknown_type"),
        (b'{"type":"media"}', "unknown_type"),
        (b'{"type":"setup"}', "missing_field"),
        (b'{"type":"setup","callSid":""}', "missing_field"),
        (b'{"type":"setup","callSid":{}}', "wrong_type"),
        (b'{"type":"prompt","last":true}', "missing_field"),
        (b'{"type":"prompt","voicePrompt":"Hi","last":"maybe"}', "wrong_type"),
        (b'{"type":"dtmf","digit":"55"}', "digit"),
        (b'{"type":"dtmf","digit":"x"}', "digit"),
        (b'{"type":"dtmf"}', "missing_field"),
        (b'{"type":"interrupt","durationUntilInterruptMs":"soon"}', "wrong_type"),
        (b'{"type":"interrupt","durationUntilInterruptMs":"nan"}', "wrong_type"),
        (b'{"type":"interrupt","durationUntilInterruptMs":-1}', "wrong_type"),
        (b'{"type":"info","name":"agentSpeaking","value":"perhaps"}', "wrong_type"),
        (b'{"type":"info","name":"tokensPlayed"}', "missing_field"),
    ],
)
def test_what_cannot_be_understood_is_named(message: bytes, kind: str) -> None:
    with pytest.raises(WireError) as caught:
        codec.decode(message)
    assert caught.value.kind == kind


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
TYPES = st.sampled_from(["setup", "prompt", "dtmf", "interrupt", "info", "error", "configUpdated", "x"])
FIELDS = st.sampled_from(
    ["callSid", "customParameters", "voicePrompt", "lang", "last", "digit", "name", "value",
     "utteranceUntilInterrupt", "durationUntilInterruptMs", "description"]
)  # fmt: skip


@settings(max_examples=300)
@given(kind=TYPES, rest=st.dictionaries(FIELDS, VALUES, max_size=5))
def test_no_message_raises_anything_else(kind: str, rest: dict[str, object]) -> None:
    try:
        data = orjson.dumps({"type": kind, **rest})
    except orjson.JSONEncodeError:
        return
    with contextlib.suppress(WireError):
        codec.decode(data)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            codec.text("Sure, I can book ", last=False, interruptible=True),
            b'{"type":"text","token":"Sure, I can book ","last":false,"interruptible":true}',
        ),
        (
            codec.text("that for you.", last=True, language="en-US"),
            b'{"type":"text","token":"that for you.","last":true,"lang":"en-US"}',
        ),
        (
            codec.play(
                "https://voice.example.test/audio/hold.mp3", loop=1, preemptible=True, interruptible=True
            ),
            (
                b'{"type":"play","source":"https://voice.example.test/audio/hold.mp3","loop":1,'
                b'"preemptible":true,"interruptible":true}'
            ),
        ),
        (codec.send_digits("1w2#"), b'{"type":"sendDigits","digits":"1w2#"}'),
        (
            codec.switch_language("es-ES", "es-ES"),
            b'{"type":"language","ttsLanguage":"es-ES","transcriptionLanguage":"es-ES"}',
        ),
        (codec.switch_language(speak="es-ES"), b'{"type":"language","ttsLanguage":"es-ES"}'),
        (
            codec.end({"reason": "agent", "queue": "billing"}),
            rb'{"type":"end","handoffData":"{\"reason\":\"agent\",\"queue\":\"billing\"}"}',
        ),
        (codec.end(), b'{"type":"end"}'),
    ],
)
def test_what_twilio_is_sent(message: bytes, expected: bytes) -> None:
    assert orjson.loads(message) == orjson.loads(expected)


def test_half_a_character_does_not_stop_the_speech() -> None:
    message = orjson.loads(codec.text("so \ud83d", last=False))
    assert message["token"] == "so ?"


def test_digits_that_twilio_has_no_key_for_are_refused() -> None:
    for digits in ("", "12A", "1 2"):
        with pytest.raises(ValueError, match="sendDigits"):
            codec.send_digits(digits)


def test_a_language_message_names_a_language() -> None:
    with pytest.raises(ValueError, match="language"):
        codec.switch_language()
