"""Every setting's name and value is checked at start."""

import pytest

from agent.errors import ConfigError
from agent.settings import Settings
from transports.twilio.options import Mode, RelayOptions, TwilioOptions


def read(**environ: str) -> TwilioOptions:
    return TwilioOptions.from_settings(Settings(environ=environ))


def test_nothing_set() -> None:
    options = read(PATH="/bin", PARLEY_PORT="1")
    assert options == TwilioOptions()
    assert options.mode is Mode.RELAY
    assert options.relay.events == "speaker-events tokens-played"


def test_everything_set() -> None:
    options = read(
        TWILIO_ACCOUNT_SID="AC1",
        TWILIO_AUTH_TOKEN="new, old",
        PARLEY_TWILIO_MODE="Media",
        PARLEY_TWILIO_SHARED_KEYS="k1=s1,k2=s2=",
        PARLEY_TWILIO_API_URL="http://127.0.0.1:9000/",
        PARLEY_TWILIO_TTS_PROVIDER="elevenlabs",
        PARLEY_TWILIO_VOICES="en-US=a,es-ES=b",
        PARLEY_TWILIO_TRANSCRIPTION_PROVIDER="google",
        PARLEY_TWILIO_SPEECH_MODEL="telephony",
        PARLEY_TWILIO_INTERRUPT_SENSITIVITY="low",
        PARLEY_TWILIO_IGNORE_BACKCHANNEL="true",
        PARLEY_TWILIO_SPEECH_TIMEOUT="800",
        PARLEY_TWILIO_EOT_THRESHOLD="0.7",
        PARLEY_TWILIO_EVENTS="tokens-played",
        PARLEY_TWILIO_PARTIAL_PROMPTS="false",
    )
    assert options == TwilioOptions(
        mode=Mode.MEDIA,
        account_sid="AC1",
        auth_tokens=("new", "old"),
        shared_keys={"k1": "s1", "k2": "s2="},
        api_url="http://127.0.0.1:9000",
        relay=RelayOptions(
            tts_provider="ElevenLabs",
            voices={"en-US": "a", "es-ES": "b"},
            transcription_provider="Google",
            speech_model="telephony",
            interrupt_sensitivity="low",
            ignore_backchannel="true",
            speech_timeout="800",
            eot_threshold="0.7",
            events="tokens-played",
            partial_prompts=False,
        ),
    )


def test_secrets_are_not_shown() -> None:
    assert "s3cret" not in repr(read(TWILIO_AUTH_TOKEN="s3cret", PARLEY_TWILIO_SHARED_KEYS="k=s3cret"))


def test_one_voice_and_no_events() -> None:
    relay = read(PARLEY_TWILIO_VOICES="Joanna-Neural", PARLEY_TWILIO_EVENTS="none").relay
    assert relay.voices == {"": "Joanna-Neural"}
    assert relay.events is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODE", "fax"),
        ("SHARED_KEYS", "hunter2"),
        ("SHARED_KEYS", "id="),
        ("API_URL", "api.twilio.com"),
        ("TTS_PROVIDER", "espeak"),
        ("TRANSCRIPTION_PROVIDER", "whisper"),
        ("INTERRUPT_SENSITIVITY", "some"),
        ("IGNORE_BACKCHANNEL", "1"),
        ("SPEECH_TIMEOUT", "599"),
        ("SPEECH_TIMEOUT", "soon"),
        ("EOT_THRESHOLD", "0.95"),
        ("EVENTS", "all"),
        ("PARTIAL_PROMPTS", "yes"),
    ],
)
def test_a_wrong_value_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"PARLEY_TWILIO_{name}") as caught:
        read(**{f"PARLEY_TWILIO_{name}": value})
    assert "hunter2" not in str(caught.value)


def test_a_misspelt_name_is_no_silent_default() -> None:
    with pytest.raises(ConfigError, match=r"PARLEY_TWILIO_VOICE;.*PARLEY_TWILIO_VOICES"):
        read(PARLEY_TWILIO_VOICE="Joanna-Neural")
