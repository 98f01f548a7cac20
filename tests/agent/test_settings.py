"""Settings from the environment: what is read, and what is said of each mistake."""

import ipaddress
from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.settings import Settings, variables


def mistakes(**environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Settings.from_environ(environ)
    return str(caught.value).splitlines()


def test_nothing_set_is_the_default() -> None:
    settings = Settings.from_environ({})
    assert (settings.host, settings.port) == ("0.0.0.0", 8080)
    assert (settings.side_host, settings.side_port) == ("127.0.0.1", 9464)
    assert settings.transports == ("telnyx", "twilio", "webrtc")
    assert settings.agent_file is None
    assert settings.public_url is None


def test_every_variable_is_read() -> None:
    environ = {
        "PARLEY_AGENT_FILE": "/etc/agent.yaml",
        "PARLEY_HOST": "127.0.0.1",
        "PARLEY_PORT": "0",
        "PARLEY_SIDE_HOST": "::1",
        "PARLEY_SIDE_PORT": " 9000\n",
        "PARLEY_SIDE_TOKEN": "secret\n",
        "PARLEY_PUBLIC_URL": "HTTPS://Voice.Example.COM:8443/Path/",
        "PARLEY_TRUSTED_PROXIES": "10.0.0.0/8, 127.0.0.1,::1",
        "PARLEY_TLS_CERTIFICATE": "cert.pem",
        "PARLEY_TLS_KEY": "key.pem",
        "PARLEY_TRANSPORTS": "twilio, twilio,",
        "PARLEY_MAX_CALLS": "7",
        "PARLEY_MAX_LOOP_LAG_MS": "12.5",
        "PARLEY_MAX_CORE_PERCENT": "85",
        "PARLEY_DRAIN_S": "0",
    }
    settings = Settings.from_environ(environ)
    assert set(environ) == set(variables())
    assert (settings.host, settings.port, settings.side_host, settings.side_port) == (
        "127.0.0.1",
        0,
        "::1",
        9000,
    )
    assert settings.agent_file == Path("/etc/agent.yaml")
    assert settings.side_token == "secret"
    assert settings.public_url == "https://voice.example.com:8443/Path"
    assert settings.trusted_proxies[0] == ipaddress.ip_network("10.0.0.0/8")
    assert len(settings.trusted_proxies) == 3
    assert (settings.tls_certificate, settings.tls_key) == (Path("cert.pem"), Path("key.pem"))
    assert settings.transports == ("twilio",)
    assert (settings.max_calls, settings.max_loop_lag_ms, settings.drain_s) == (7, 12.5, 0.0)


def test_a_flag_beats_the_environment_and_none_is_no_flag() -> None:
    settings = Settings.from_environ({"PARLEY_PORT": "1", "PARLEY_HOST": "a"}, port=2, host=None)
    assert (settings.port, settings.host) == (2, "a")


def test_an_empty_variable_is_not_set() -> None:
    assert Settings.from_environ({"PARLEY_PORT": "", "PARLEY_SIDE_TOKEN": " "}) == Settings(
        environ={"PARLEY_PORT": "", "PARLEY_SIDE_TOKEN": " "}
    )


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("PARLEY_PORT", "http", "expected a whole number"),
        ("PARLEY_MAX_CORE_PERCENT", "9.9", "expected 10 to 100, or off"),
        ("PARLEY_MAX_CORE_PERCENT", "101", "expected 10 to 100, or off"),
        ("PARLEY_MAX_CORE_PERCENT", "nan", "expected 10 to 100, or off"),
        ("PARLEY_MAX_CORE_PERCENT", "most", "expected 10 to 100, or off"),
        ("PARLEY_PORT", "65536", "a port is 0 to 65535 (0 picks a free one)"),
        ("PARLEY_PORT", "tcp://10.0.0.7:8080", "enableServiceLinks: false"),
        ("PARLEY_SIDE_PORT", "-1", "a port is 0 to 65535"),
        ("PARLEY_PUBLIC_URL", "voice.example.com", "expected https://host[:port][/prefix]"),
        ("PARLEY_PUBLIC_URL", "https://voice.example.com/?a=b", "expected https://host"),
        ("PARLEY_PUBLIC_URL", "https://user@voice.example.com", "expected https://host"),
        ("PARLEY_PUBLIC_URL", "https://voice.example.com:99999", "expected https://host"),
        ("PARLEY_PUBLIC_URL", "wss://voice.example.com", "expected https://host"),
        ("PARLEY_TRUSTED_PROXIES", "10.0.0.0/99", "expected networks, such as 127.0.0.1, 10.0.0.0/8"),
        ("PARLEY_TRANSPORTS", ",", "expected names of transports, such as telnyx,twilio"),
        ("PARLEY_MAX_CALLS", "0", "expected 1 or more"),
        ("PARLEY_MAX_CALLS", "many", "expected a whole number"),
        ("PARLEY_MAX_LOOP_LAG_MS", "nan", "expected 0 or more"),
        ("PARLEY_DRAIN_S", "inf", "expected 0 or more"),
        ("PARLEY_DRAIN_S", "soon", "expected a number"),
    ],
)
def test_a_mistake_is_one_line_with_the_variable_and_what_is_allowed(
    variable: str, value: str, allowed: str
) -> None:
    (line,) = mistakes(**{variable: value})
    assert line.startswith(f"{variable}={value!r}: ")
    assert allowed in line


def test_all_mistakes_are_told_at_once() -> None:
    lines = mistakes(
        PARLEY_PORT="x", PARLEY_MAX_CALLS="y", PARLEY_TLS_KEY="key.pem", PARLEY_SIDE_HOST="0.0.0.0"
    )
    assert len(lines) == 4
    assert lines[2] == "set both PARLEY_TLS_CERTIFICATE and PARLEY_TLS_KEY, or neither"
    assert lines[3].endswith("set PARLEY_SIDE_TOKEN, or keep PARLEY_SIDE_HOST=127.0.0.1")


@pytest.mark.parametrize(
    ("given", "share"), [("", 0.92), ("85", 0.85), ("100", 1.0), ("off", None), (" OFF ", None)]
)
def test_the_core_limit_is_a_percentage_or_off(given: str, share: float | None) -> None:
    assert Settings.from_environ({"PARLEY_MAX_CORE_PERCENT": given}).max_core_share == share


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_a_loopback_side_port_needs_no_token(host: str) -> None:
    assert Settings.from_environ({"PARLEY_SIDE_HOST": host}).side_token is None


def test_an_open_side_port_needs_a_token() -> None:
    assert len(mistakes(PARLEY_SIDE_HOST="side.example.com")) == 1
    environ = {"PARLEY_SIDE_HOST": "0.0.0.0", "PARLEY_SIDE_TOKEN": "t"}
    assert Settings.from_environ(environ).side_token == "t"


def test_secrets_are_found_by_any_of_their_names_and_never_shown() -> None:
    settings = Settings.from_environ({"NEW": "", "OLD": "hidden-value"})
    assert settings.secret("NEW", "OLD") == "hidden-value"
    assert settings.secret("NEW") is None
    assert "hidden-value" not in repr(settings)
