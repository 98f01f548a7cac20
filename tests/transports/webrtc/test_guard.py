"""Who may call from where: tokens, origins, TURN, and what pages are told."""

import time
from typing import Any

import jwt
import pytest

from tests.transports.webrtc.fakes import SECRET, Served, browser, serving
from tests.transports.webrtc.offers import CHROME
from tests.transports.webrtc.test_whip import offer, problem, served
from transports.webrtc.tokens import AUDIENCE

__all__ = ["served"]  # a fixture


async def test_others_may_not_call_without_a_secret(served: Served) -> None:
    response = await served.post(CHROME, Host="voice.example.test")
    assert response.status == 403
    await problem(response)


async def test_a_token_starts_one_call() -> None:
    async with serving(SECRET=SECRET) as served:
        assert served.guard.tokens is not None
        token = served.guard.tokens.mint()
        bearer = {"Authorization": f"Bearer {token}"}
        assert (await served.post(CHROME, **bearer)).status == 201
        again = await served.post(CHROME, **bearer)
        assert again.status == 401
        assert again.headers["WWW-Authenticate"].startswith("Bearer")
        await problem(again)
        assert (await served.post(CHROME)).status == 401
        assert (await served.post(CHROME, Authorization="Bearer x.y.z")).status == 401
        assert served.host.bad["webrtc", "bad_token"] == 2


def signed(secret: str = SECRET, life_s: float = 60, **changes: Any) -> str:
    now_s = time.time()
    claims = {"aud": AUDIENCE, "iat": now_s - 60, "exp": now_s + life_s, "jti": "one", **changes}
    return jwt.encode(claims, secret, "HS256")


@pytest.mark.parametrize(
    ("authorization", "says"),
    [
        ("", "send a session token"),
        ("Basic YTpi", "send a session token"),
        ("Bearer x.y.z", "not valid"),
        (f"Bearer {signed('another secret of thirty-two chars')}", "not valid"),
        (f"Bearer {signed(life_s=-30)}", "expired"),
        (f"Bearer {signed(aud='somebody-else')}", "not valid"),
        (f"Bearer {signed(life_s=86_400)}", "valid for over 300 s"),
    ],
    ids=["none", "another scheme", "nonsense", "forged", "expired", "for another service", "for a day"],
)
async def test_no_call_without_a_good_token(authorization: str, says: str) -> None:
    async with serving(SECRET=SECRET) as served:
        response = await served.post(CHROME, Authorization=authorization)
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert says in (await problem(response))["detail"]
        assert served.host.free
        assert not served.whip.sessions


async def test_our_own_page_gets_a_token_and_others_do_not() -> None:
    async with serving(SECRET=SECRET) as served:
        for headers, status in (
            ({"Origin": served.url}, 201),
            ({"Sec-Fetch-Site": "same-origin"}, 201),
            ({"Origin": "https://evil.example"}, 403),
            ({}, 403),
        ):
            async with served.client.post(f"{served.url}/webrtc/token", headers=headers) as response:
                assert response.status == status
                body = await response.json(content_type=None)
        async with served.client.post(
            f"{served.url}/webrtc/token", headers={"Origin": served.url}
        ) as response:
            body = await response.json()
        assert body["expires_in_s"] == 60
        assert (await served.post(CHROME, Authorization=f"Bearer {body['token']}")).status == 201


async def test_origins_by_an_allow_list() -> None:
    async with serving(ORIGINS="https://shop.example") as served:
        allowed = await served.post(await offer(), Origin="https://shop.example")
        assert allowed.status == 201
        assert allowed.headers["Access-Control-Allow-Origin"] == "https://shop.example"
        assert "Location" in allowed.headers["Access-Control-Expose-Headers"]
        other = await served.post(await offer(), Origin="https://evil.example")
        assert other.status == 403
        assert "Access-Control-Allow-Origin" not in other.headers
        await problem(other)


async def test_preflights() -> None:
    async with serving(ORIGINS="https://shop.example", ICE_SERVERS="stun:s.example") as served:
        for path, method, header in (
            ("/webrtc", "POST", "Accept-Post"), ("/webrtc/x", "PATCH", "Accept-Patch"),
        ):  # fmt: skip
            async with served.client.options(
                served.url + path, headers={"Origin": "https://shop.example"}
            ) as response:
                assert response.status == 204
                assert method in response.headers["Access-Control-Allow-Methods"]
                assert "If-Match" in response.headers["Access-Control-Allow-Headers"]
                assert header in response.headers
        async with served.client.options(
            f"{served.url}/webrtc", headers={"Origin": "https://evil.example"}
        ) as response:
            assert response.status == 403


async def test_the_configuration_for_pages() -> None:
    async with serving(
        SECRET=SECRET, ICE_SERVERS="stun:s.example,turn:t.example", TURN_SECRET="north"
    ) as served:
        own = {"Sec-Fetch-Site": "same-origin"}
        async with served.client.get(f"{served.url}/webrtc/config", headers=own) as response:
            body = await response.json()
        assert body["agent"] == {
            "name": "Desk", "languages": ["en-GB", "es-ES"], "language": "en-GB",
            "voices": {},
        }  # fmt: skip
        assert (body["version"], body["token_required"]) == (1, True)
        assert body["iceServers"][1]["username"].endswith(":webrtc")
        assert served.guard.tokens is not None
        response = await served.post(CHROME, Authorization=f"Bearer {served.guard.tokens.mint()}")
        assert len(response.headers.getall("Link")) == 2


async def test_a_caller_may_choose_among_the_voices_that_are_offered() -> None:
    async with serving(VOICES="en-GB=brian,amy;es-ES=ines") as served:
        async with served.client.get(f"{served.url}/webrtc/config") as response:
            voices = (await response.json())["agent"]["voices"]
        # The agent file's own comes first, and only where there is a choice.
        assert voices == {"en-GB": ["amy", "brian"], "es-ES": ["ines"]}
        for query, chosen in (
            ("?voice=brian", "brian"), ("?voice=ines&language=es-ES", "ines"), ("?voice=ines", None),
            ("?voice=eve", None), ("", None),
        ):  # fmt: skip
            async with browser(served, query=query):
                call = await served.call()
                assert call.line.info.parameters.get("voice") == chosen


async def test_turn_is_lent_to_pages_that_may_call_and_to_callers_only() -> None:
    """A relay costs money: who has no token and is no such page, learns of STUN only."""
    async with serving(
        SECRET=SECRET, ORIGINS="https://shop.example", ICE_SERVERS="stun:s.example,turn:t.example",
        TURN_SECRET="north",
    ) as served:  # fmt: skip
        for headers, servers in (
            ({}, 1), ({"Sec-Fetch-Site": "cross-site"}, 1), ({"Sec-Fetch-Site": "same-origin"}, 2),
            ({"Origin": "https://shop.example"}, 2),
        ):  # fmt: skip
            async with served.client.get(f"{served.url}/webrtc/config", headers=headers) as response:
                assert len((await response.json())["iceServers"]) == servers
            async with served.client.options(f"{served.url}/webrtc", headers=headers) as response:
                assert len(response.headers.getall("Link")) == servers
        preflight = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
        async with served.client.options(f"{served.url}/webrtc", headers=preflight) as response:
            assert "Link" not in response.headers


async def test_behind_a_proxy_the_public_url_is_our_origin() -> None:
    ours = {"Origin": "https://voice.example.test"}
    async with (
        serving(public_url="https://voice.example.test", SECRET=SECRET) as served,
        served.client.post(f"{served.url}/webrtc/token", headers=ours) as response,
    ):
        assert response.status == 201


async def test_the_page_and_its_files(served: Served) -> None:
    if not served.webrtc._page:
        pytest.skip("the page is not built yet")
    async with served.client.get(f"{served.url}/") as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        tag = response.headers["ETag"]
    async with served.client.get(f"{served.url}/", headers={"If-None-Match": tag}) as response:
        assert response.status == 304
    async with served.client.get(f"{served.url}/page/parley-call.js") as response:
        assert response.content_type == "text/javascript"
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Cache-Control"] == "no-cache"
    for path in ("/page/nothing.js", "/page/%2e%2e%2ftransport.py", "/page/..%2fwhip.py"):
        async with served.client.get(served.url + path) as response:
            assert response.status == 404
