"""TwiML, read back as XML: every attribute's name is checked, since Twilio drops unknown ones quietly."""

from xml.etree import ElementTree as ET

import pytest

from agent.errors import LineError
from tests.transports.twilio.fakes import agent_file
from transports.twilio import twiml
from transports.twilio.options import RelayOptions

ATTRIBUTES = {
    "url", "welcomeGreeting", "welcomeGreetingInterruptible", "language", "ttsLanguage",
    "transcriptionLanguage", "ttsProvider", "voice", "transcriptionProvider", "speechModel", "interruptible",
    "interruptSensitivity", "reportInputDuringAgentSpeech", "preemptible", "dtmfDetection", "partialPrompts",
    "speechTimeout", "eotThreshold", "ignoreBackchannel", "hints", "events",
}  # fmt: skip
"""Protocol sheet 4.2, those that we may use."""
LANGUAGE_ATTRIBUTES = {"code", "ttsProvider", "voice", "transcriptionProvider", "speechModel", "hints"}
EVERYTHING = RelayOptions(
    tts_provider="Google",
    voices={"en": "en-US-Journey-O", "es": "es-ES-Neural2-A"},
    transcription_provider="Deepgram",
    speech_model="flux",
    interrupt_sensitivity="low",
    ignore_backchannel="true",
    speech_timeout="700",
    eot_threshold="0.7",
)


def parse(text: str) -> ET.Element:
    root = ET.fromstring(text)
    assert root.tag == "Response"
    return root


def relay(options: RelayOptions | None = None, *, greet: bool = True, **agent: object) -> ET.Element:
    answers = twiml.ConnectAnswers(agent_file(**agent), options or RelayOptions())
    text = answers.relay("wss://a.test/relay", "https://a.test/action", {"ticket": "t1"}, greet=greet)
    found = parse(text).find("Connect/ConversationRelay")
    assert found is not None
    return found


def parameters(noun: ET.Element) -> dict[str, str]:
    return {each.attrib["name"]: each.attrib["value"] for each in noun.findall("Parameter")}


def test_relay_asks_for_all_that_the_agent_can_use() -> None:
    noun = relay()
    assert noun.attrib == {
        "url": "wss://a.test/relay",
        "language": "en-US",
        "welcomeGreeting": "Hello, how can I help?",
        "welcomeGreetingInterruptible": "any",
        "interruptible": "any",
        "reportInputDuringAgentSpeech": "any",
        "dtmfDetection": "true",
        "partialPrompts": "true",
        "events": "speaker-events tokens-played",
    }
    assert parameters(noun) == {"ticket": "t1", "greeted": "true"}


def test_relay_has_each_language_with_its_hints() -> None:
    languages = [each.attrib for each in relay().findall("Language")]
    assert languages == [
        {"code": "en-US", "hints": "goodbye,when are you open please,opening hours"},
        {"code": "es-ES", "hints": "horario"},
    ]


def test_the_session_ends_at_the_action() -> None:
    answers = twiml.ConnectAnswers(agent_file(), RelayOptions())
    root = parse(answers.relay("wss://a.test/relay", "https://a.test/action", {}, greet=True))
    assert root.find("Connect[@action='https://a.test/action']") is not None


def test_every_attribute_exists_at_twilio() -> None:
    noun = relay(EVERYTHING)
    assert noun.attrib.keys() <= ATTRIBUTES
    assert {
        "speechTimeout",
        "eotThreshold",
        "interruptSensitivity",
        "ignoreBackchannel",
    } <= noun.attrib.keys()
    english, spanish = noun.findall("Language")
    assert english.attrib.keys() == LANGUAGE_ATTRIBUTES
    assert english.attrib["voice"] == "en-US-Journey-O"
    assert spanish.attrib["voice"] == "es-ES-Neural2-A"


def test_one_voice_is_the_first_languages() -> None:
    english, spanish = relay(RelayOptions(voices={"": "Joanna-Neural"})).findall("Language")
    assert english.attrib["voice"] == "Joanna-Neural"
    assert "voice" not in spanish.attrib


def test_a_reconnected_session_does_not_greet_again() -> None:
    noun = relay(greet=False)
    assert "welcomeGreeting" not in noun.attrib
    assert parameters(noun)["greeted"] == "false"


def test_an_agent_that_is_not_interrupted() -> None:
    noun = relay(turns={"barge_in": False})
    assert noun.attrib["interruptible"] == "none"
    assert noun.attrib["welcomeGreetingInterruptible"] == "none"


def test_without_events() -> None:
    assert "events" not in relay(RelayOptions(events=None)).attrib


def test_hints_are_bounded() -> None:
    ask = [f"this is question number {number} of very many" for number in range(500)]
    knowledge = [{"id": "many", "ask": {"en": [*ask, "x" * 500]}, "answer": {"en": "Yes."}}]
    hints = relay(knowledge=knowledge).findall("Language")[0].attrib["hints"]
    assert 20 < len(hints.split(",")) <= twiml.MAX_HINTS
    assert len(hints) <= twiml.MAX_HINTS_CHARS


def test_text_that_xml_cannot_hold_is_left_out() -> None:
    noun = relay(greeting={"en": "Fish & <chips>\x00 \x1b'now'\ud800"})
    assert noun.attrib["welcomeGreeting"] == "Fish & <chips> 'now'"


def test_media_is_a_stream_and_then_the_end() -> None:
    answers = twiml.ConnectAnswers(agent_file(), RelayOptions())
    root = parse(
        answers.media("wss://a.test/media", "https://a.test/action", {"ticket": "t1", "caller": "x" * 900})
    )
    assert [each.tag for each in root] == ["Connect", "Hangup"]
    stream = root.find("Connect/Stream")
    assert stream is not None
    assert stream.attrib == {"url": "wss://a.test/media"}
    assert parameters(stream)["ticket"] == "t1"
    assert all(len(name + value) < 500 for name, value in parameters(stream).items())


def test_dial_a_number_or_a_sip_address() -> None:
    assert parse(twiml.dial("+15005550009")).findtext("Dial/Number") == "+15005550009"
    assert (
        parse(twiml.dial("sip:desk@a.test;transport=tls")).findtext("Dial/Sip")
        == "sip:desk@a.test;transport=tls"
    )


@pytest.mark.parametrize(
    "target", ["", "reception", "+1 500", "tel:+1500", "sip:a b", "sip:<a>", "+" + "1" * 30]
)
def test_other_targets_are_not_dialled(target: str) -> None:
    with pytest.raises(LineError, match="neither"):
        twiml.dial(target)


def test_refusing_and_ending() -> None:
    assert parse(twiml.reject_busy()).find("Reject[@reason='busy']") is not None
    assert [each.tag for each in parse(twiml.hang_up())] == ["Hangup"]
    assert list(parse(twiml.nothing())) == []


@pytest.mark.parametrize(
    ("language", "tag"),
    [("en", "en-US"), ("en-GB", "en-GB"), ("EN", "en-US"), ("pt", "pt-BR"), ("multi", "multi")],
)
def test_languages_get_a_region(language: str, tag: str) -> None:
    assert twiml.relay_language(language) == tag
