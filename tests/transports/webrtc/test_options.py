"""Settings: what is right, and one line for what is wrong."""

import pytest

from agent.errors import ConfigError
from agent.settings import Settings
from transports.webrtc.codecs import CodecName
from transports.webrtc.options import WebRtcOptions


def read(**values: str) -> WebRtcOptions:
    environ = {f"PARLEY_WEBRTC_{name}": value for name, value in values.items()}
    return WebRtcOptions.from_settings(Settings(environ=environ))


def test_defaults_are_closed_to_others() -> None:
    options = read()
    assert options.secret is None
    assert options.page
    assert not options.origins
    assert options.ice.ports == range(1)


def test_all_of_it() -> None:
    options = read(
        SECRET="s" * 32, PAGE="off", ORIGINS="https://A.example, http://b.example:8080/",
        RATE="120", BURST="5",
        MAX_SESSIONS="7", HOSTS="127.0.0.1,::1", PORTS="50000-50003", PUBLIC_ADDRESS="203.0.113.9",
        ICE_SERVERS="stun:s.example,turn:t.example:3478?transport=udp", TURN_SECRET="north", TURN_TTL_S="600",
        CODECS="pcmu,opus", BITRATE="24000", COMPLEXITY="0", VOICES="en-GB=amy, brian; es-ES=ines",
    )  # fmt: skip
    assert options.origins == {"https://a.example", "http://b.example:8080"}
    assert (options.rate_per_s, options.burst, options.max_sessions) == (2, 5, 7)
    assert options.ice.ports == range(50_000, 50_004)
    assert options.servers.has_credentials
    assert options.codecs == (CodecName.PCMU, CodecName.OPUS)
    assert (options.bitrate, options.complexity, options.page) == (24_000, 0, False)
    assert options.voices == {"en-GB": ("amy", "brian"), "es-ES": ("ines",)}
    assert "north" not in repr(options)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET", "short"), ("PAGE", "maybe"), ("ORIGINS", "a.example"), ("ORIGINS", "https://a.example/path"),
        ("RATE", "0"), ("BURST", "many"), ("PORTS", "50000"), ("PORTS", "6-5"), ("HOSTS", "localhost"),
        ("PUBLIC_ADDRESS", "example.test"), ("ICE_SERVERS", "http://x"), ("ICE_SERVERS", "turn:t.example"),
        ("CODECS", "opus,speex"), ("BITRATE", "1"), ("COMPLEXITY", "11"), ("VOICES", "amy"), ("SECERT", "x"),
    ],
)  # fmt: skip
def test_mistakes_name_the_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"PARLEY_WEBRTC_{name}"):
        read(**{name: value})
