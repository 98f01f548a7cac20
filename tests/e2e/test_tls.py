"""Reached by TLS, by a proxy in front, or under a public name: addresses, signatures and sockets fit."""

import ipaddress
import ssl
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import aiohttp
import pytest

from tests.certificates import self_signed
from tests.e2e.inside import Inside, inside
from tests.transports.twilio.fakes import ACCOUNT, CALL, TOKEN, signed

pytestmark = pytest.mark.e2e
SECRETS = {"TWILIO_AUTH_TOKEN": TOKEN, "PARLEY_TWILIO_MODE": "media"}
PROXY = (ipaddress.ip_network("127.0.0.0/8"),)
FORWARDED = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "voice.example.test",
}


async def ring(
    served: Inside,
    signed_url: str,
    headers: Mapping[str, str] | None = None,
    trusting: ssl.SSLContext | bool = True,
) -> tuple[int, ET.Element | None]:
    """A voice webhook as Twilio signs it for `signed_url`. HTTP status, and the `<Stream>` of the answer."""
    fields = {"CallSid": CALL, "AccountSid": ACCOUNT, "CallStatus": "ringing"}
    async with served.client.post(
        served.url + "/twilio/voice",
        data=fields,
        headers={**(headers or {}), **signed(signed_url + "/twilio/voice", fields)},
        ssl=trusting,
    ) as answer:
        if answer.status != 200:
            return answer.status, None
        return 200, ET.fromstring(await answer.text()).find("Connect/Stream")  # our own


def ticket(stream: ET.Element) -> str:
    return next(str(each.get("value")) for each in stream if each.get("name") == "ticket")


async def media_call(
    served: Inside, stream: ET.Element, trusting: ssl.SSLContext | bool, headers: Mapping[str, str]
) -> None:
    """Open the stream that the answer names on our own port, and hear a frame of the greeting."""
    start = {
        "event": "start",
        "streamSid": "MZ1",
        "start": {
            "streamSid": "MZ1",
            "callSid": CALL,
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"ticket": ticket(stream)},
        },
    }
    url = served.url + "/twilio/media"
    async with served.client.ws_connect(url, headers=headers, ssl=trusting) as socket:
        await socket.send_json(start)
        heard = await socket.receive_json(timeout=5)
        assert heard["event"] == "media"
        await socket.send_json({"event": "stop", "streamSid": "MZ1"})
        await socket.receive(timeout=5)
    await served.quiet()


async def test_a_call_over_tls_without_a_proxy(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    self_signed(certificate, key)
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with inside(tmp_path, SECRETS, tls_certificate=certificate, tls_key=key) as served:
        status, stream = await ring(served, served.url, trusting=trusting)
        assert status == 200
        assert stream is not None
        url = stream.get("url", "")
        assert url == served.url.replace("https://", "wss://") + "/twilio/media"
        await media_call(served, stream, trusting, signed(url))
        assert (await served.call(CALL))["cause"] == "caller_hung_up"
        with pytest.raises(aiohttp.ClientError):
            await served.client.get(served.url.replace("https://", "http://") + "/")


async def test_behind_a_trusted_proxy_the_forwarded_address_is_what_was_signed(tmp_path: Path) -> None:
    async with inside(tmp_path, SECRETS, trusted_proxies=PROXY) as served:
        status, stream = await ring(served, "https://voice.example.test", FORWARDED)
        assert status == 200
        assert stream is not None
        assert stream.get("url") == "wss://voice.example.test/twilio/media"
        headers = {**FORWARDED, **signed("wss://voice.example.test/twilio/media")}
        await media_call(served, stream, True, headers)


async def test_forwarded_headers_of_anybody_else_mean_nothing(tmp_path: Path) -> None:
    async with inside(tmp_path, SECRETS) as served:
        status, _ = await ring(served, "https://voice.example.test", FORWARDED)
        assert status == 403
        assert await served.refused("twilio", "bad_signature") == 1
        assert served.taken == 0


async def test_a_public_url_is_what_signatures_are_checked_against_whatever_is_forwarded(
    tmp_path: Path,
) -> None:
    async with inside(
        tmp_path, SECRETS, trusted_proxies=PROXY, public_url="https://calls.example.test/desk"
    ) as served:
        status, stream = await ring(served, "https://calls.example.test/desk", FORWARDED)
        assert status == 200
        assert stream is not None
        assert stream.get("url") == "wss://calls.example.test/desk/twilio/media"
        assert (await ring(served, "https://voice.example.test", FORWARDED))[0] == 403


async def test_without_a_secret_a_proxy_or_tunnel_makes_nobody_local(tmp_path: Path) -> None:
    async with inside(tmp_path) as served:
        assert (await ring(served, served.url))[0] == 200
        assert (await ring(served, served.url, FORWARDED))[0] == 403
        assert (await ring(served, served.url, {"Host": "voice.example.test"}))[0] == 403
        assert await served.refused("twilio", "not_local") == 2
