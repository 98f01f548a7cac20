"""Where a request came from, and the address that the platform called."""

import ipaddress
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from agent.origin import client_address, is_loopback, public_url, websocket_url
from agent.settings import Settings

PROXY = Settings(trusted_proxies=(ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("127.0.0.1")))
ALONE = Settings()


def asked(
    peer: str | None, path: str = "/twilio/voice?a=%20b", host: str = "localhost:8080", **headers: str
) -> web.Request:
    """A request from `peer`; header names with `_` for `-`."""
    transport = Mock()
    transport.get_extra_info = {"peername": (peer, 5000) if peer else None, "sslcontext": None}.get
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request("POST", path, headers={"Host": host, **named}, transport=transport)


@pytest.mark.parametrize(
    ("settings", "peer", "forwarded", "client"),
    [
        (ALONE, "203.0.113.9", "", "203.0.113.9"),
        (ALONE, "203.0.113.9", "198.51.100.1", "203.0.113.9"),
        (PROXY, "203.0.113.9", "198.51.100.1", "203.0.113.9"),
        (PROXY, "10.0.0.1", "198.51.100.1", "198.51.100.1"),
        (PROXY, "10.0.0.1", "1.2.3.4, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        (PROXY, "10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        (PROXY, "10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        (PROXY, "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        (PROXY, "10.0.0.1", "", "10.0.0.1"),
        (PROXY, "10.0.0.1", "unknown", None),
        (PROXY, "::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        (PROXY, None, "198.51.100.1", None),
    ],
)
def test_the_client_is_the_last_hop_that_is_not_trusted(
    settings: Settings, peer: str | None, forwarded: str, client: str | None
) -> None:
    request = asked(peer, **({"X_Forwarded_For": forwarded} if forwarded else {}))
    found = client_address(request, settings)
    assert (None if found is None else str(found)) == client


@pytest.mark.parametrize(
    ("settings", "peer", "host", "headers", "local"),
    [
        (ALONE, "127.0.0.1", "localhost:8080", {}, True),
        (ALONE, "::1", "[::1]:8080", {}, True),
        (ALONE, "::ffff:127.0.0.1", "127.0.0.1", {}, True),
        (ALONE, "192.0.2.1", "localhost:8080", {}, False),
        (ALONE, "127.0.0.1", "abc.tunnel.example", {}, False),
        (ALONE, "127.0.0.1", "localhost", {"X_Forwarded_For": "127.0.0.1"}, False),
        (ALONE, "127.0.0.1", "localhost", {"CF_Connecting_IP": "198.51.100.1"}, False),
        (PROXY, "127.0.0.1", "localhost", {"X_Forwarded_For": "127.0.0.1"}, True),
        (PROXY, "127.0.0.1", "localhost", {"X_Forwarded_For": "198.51.100.1"}, False),
        (PROXY, "127.0.0.1", "localhost", {"X_Forwarded_For": "198.51.100.1, 127.0.0.1"}, False),
        (PROXY, "127.0.0.1", "localhost", {"X_Forwarded_For": "nonsense"}, False),
        (ALONE, None, "localhost", {}, False),
    ],
)
def test_only_who_is_on_this_machine_and_says_so_is_local(
    settings: Settings, peer: str | None, host: str, headers: dict[str, str], local: bool
) -> None:
    assert is_loopback(asked(peer, host=host, **headers), settings) is local


def test_the_configured_address_is_what_counts() -> None:
    settings = Settings(public_url="https://voice.example.com/parley")
    request = asked("203.0.113.9", host="evil.example", X_Forwarded_Host="evil.example")
    assert public_url(request, settings) == "https://voice.example.com/parley/twilio/voice?a=%20b"
    assert public_url(request, settings, "/twilio/status") == "https://voice.example.com/parley/twilio/status"
    assert websocket_url(request, settings, "/twilio/media") == "wss://voice.example.com/parley/twilio/media"


def test_without_one_it_is_the_host_that_was_called() -> None:
    request = asked(
        "203.0.113.9", host="198.51.100.7:8080", X_Forwarded_Proto="https", X_Forwarded_Host="evil"
    )
    assert public_url(request, ALONE) == "http://198.51.100.7:8080/twilio/voice?a=%20b"
    assert websocket_url(request, ALONE, "/x") == "ws://198.51.100.7:8080/x"


@pytest.mark.parametrize(("proto", "scheme"), [("https", "wss"), ("WSS, http", "wss"), ("ftp", "ws")])
def test_a_trusted_proxy_says_what_was_called(proto: str, scheme: str) -> None:
    request = asked("10.0.0.1", X_Forwarded_Proto=proto, X_Forwarded_Host="voice.example.com, inner")
    assert websocket_url(request, PROXY, "/x") == f"{scheme}://voice.example.com/x"
