"""Reading TwiML and TeXML."""

import pytest

from agent.errors import WireError
from loadtest.callers.markup import Connect, Rejection, read_markup

RELAY = b"""<?xml version="1.0" encoding="UTF-8"?>
<Response>
  <Connect action="https://voice.example.test/twilio/action">
    <ConversationRelay url="wss://voice.example.test/twilio/relay" welcomeGreeting="Hello, how can I help?"
        dtmfDetection="true" events="speaker-events tokens-played">
      <Language code="en-US" ttsProvider="Google" voice="en-US-Journey-O"/>
      <Language code="es-ES"/>
      <Parameter name="ticket" value="a&amp;b"/>
    </ConversationRelay>
  </Connect>
  <Hangup/>
</Response>"""


def test_a_relay_connection_with_all_its_parts() -> None:
    connect = read_markup(RELAY)
    assert isinstance(connect, Connect)
    assert connect.noun == "ConversationRelay"
    assert connect.url == "wss://voice.example.test/twilio/relay"
    assert connect.parameters == {"ticket": "a&b"}
    assert connect.languages == ("en-US", "es-ES")
    assert connect.action == "https://voice.example.test/twilio/action"
    assert connect.attributes["dtmfDetection"] == "true"


def test_a_stream_without_an_action() -> None:
    connect = read_markup(b'<Response><Connect><Stream url="ws://127.0.0.1:1/m"/></Connect></Response>')
    assert connect == Connect("Stream", {"url": "ws://127.0.0.1:1/m"})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'<Response><Reject reason="busy"/></Response>', "busy"),
        (b"<Response><Reject/></Response>", "rejected"),
        (
            b"<Response><Say>Sorry</Say><Hangup/></Response>",
            "answered with <Say>, <Hangup> instead of <Connect>",
        ),
        (b"<Response/>", "answered with nothing instead of <Connect>"),
        # Listen-only: no answer could be heard.
        (b'<Response><Start><Stream url="wss://a/b"/></Start></Response>', "answered with <Start> instead"),
    ],
)
def test_a_refusal_says_why(body: bytes, reason: str) -> None:
    answer = read_markup(body)
    assert isinstance(answer, Rejection)
    assert answer.reason.startswith(reason)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"busy", "not XML"),
        (b"", "not XML"),
        (b"<Response><Connect>", "not XML"),
        (b"<html></html>", "the root element is <html>"),
        (b'<Response><Connect><Stream url="https://a/b"/></Connect></Response>', "needs a ws:// or wss://"),
        (b"<Response><Connect><Stream/></Connect></Response>", "needs a ws:// or wss://"),
        (b'<!DOCTYPE r [<!ENTITY a "b">]><Response>&a;</Response>', "document type"),
    ],
)
def test_what_a_platform_could_not_use_is_an_error(body: bytes, complaint: str) -> None:
    with pytest.raises(WireError, match=complaint):
        read_markup(body)
