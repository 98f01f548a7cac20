"""STUN and TURN for browsers."""

import hashlib
import hmac
from base64 import b64encode

from transports.webrtc.turn import IceServers

URLS = ("stun:stun.example.test", "turn:turn.example.test?transport=udp")


def test_credentials_are_those_of_coturns_rest_scheme() -> None:
    servers = IceServers(URLS, secret="north", ttl_s=600).for_browser("webrtc", 1_000_000.0)
    user = "1000600:webrtc"
    password = b64encode(hmac.new(b"north", user.encode(), hashlib.sha1).digest()).decode()
    assert servers == [
        {"urls": ["stun:stun.example.test"]},
        {"urls": ["turn:turn.example.test?transport=udp"], "username": user, "credential": password},
    ]


def test_link_headers_name_each_server() -> None:
    headers = IceServers(URLS, user="ada", password="pw").link_headers("webrtc", 0)
    assert headers == [
        '<stun:stun.example.test>; rel="ice-server"',
        (
            '<turn:turn.example.test?transport=udp>; rel="ice-server"; username="ada"; credential="pw"; '
            'credential-type="password"'
        ),
    ]


def test_without_servers_there_is_nothing_to_tell() -> None:
    assert IceServers().for_browser("webrtc", 0) == []
    assert IceServers().link_headers("webrtc", 0) == []
