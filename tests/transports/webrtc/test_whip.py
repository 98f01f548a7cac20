"""Signalling over HTTP: RFC 9725, and what bad clients do."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.transports.fakes import eventually
from tests.transports.webrtc.fakes import BrowserHost, Served, browser, peer, serving
from tests.transports.webrtc.offers import CHROME
from transports.webrtc import session as session_module
from transports.webrtc.whip import CALL_ID_HEADER


async def problem(response: aiohttp.ClientResponse) -> dict[str, Any]:
    assert response.content_type == "application/problem+json"
    body: dict[str, Any] = json.loads(await response.text())
    assert body["status"] == response.status
    assert body["detail"]
    return body


async def offer() -> str:
    """A real browser-like offer with credentials that lead nowhere."""
    page = peer()
    page.createDataChannel("parley")
    page.addTransceiver("audio")
    await page.setLocalDescription(await page.createOffer())
    sdp: str = page.localDescription.sdp
    await page.close()
    return sdp


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as one:
        yield one


async def test_created(served: Served) -> None:
    response = await served.post(await offer())
    assert response.status == 201
    assert response.content_type == "application/sdp"
    assert response.headers["Location"].startswith("/webrtc/")
    assert response.headers["ETag"].startswith('"')
    call_id = response.headers[CALL_ID_HEADER]
    assert call_id
    assert call_id not in response.headers["Location"], "who knows a call's id has no right to it"
    assert (await response.text()).startswith("v=0\r\n")


CHANNEL_ONLY = CHROME[: CHROME.index("m=audio")] + CHROME[CHROME.index("m=application") :]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ("", 400, "the body is empty"),
        ("nonsense", 400, "does not begin with v="),
        ("v=0\r\n" + "a=x\r\n" * 20_000, 413, "at most 32768 bytes"),
        (CHANNEL_ONLY, 422, "no audio section"),
        (CHROME.replace("m=audio", "m=video"), 422, "no audio section"),
        (CHROME.replace("m=audio 9", "m=audio 0"), 422, ""),
        (
            CHROME.replace("SAVPF 111 63 0 8", "SAVPF 63").replace("opus/", "speex/"), 422,
            "offer one of opus, PCMU, PCMA",
        ),
    ],
    ids=["empty", "nonsense", "huge", "no audio", "video only", "audio refused", "unknown codecs"],
)  # fmt: skip
async def test_offers_that_cannot_be_answered(served: Served, body: str, status: int, says: str) -> None:
    response = await served.post(body)
    assert response.status == status
    assert says in (await problem(response))["detail"]
    assert sum(served.host.bad.values()) == 1
    assert served.host.free
    assert not served.whip.sessions


async def test_a_body_of_unknown_length_is_read_up_to_the_limit(served: Served) -> None:
    async def long() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"a=x\r\n" * 1000

    async with served.client.post(
        f"{served.url}/webrtc", data=long(), headers={"Content-Type": "application/sdp"}
    ) as response:
        assert response.status == 413
        await problem(response)


async def test_another_content_type_is_refused(served: Served) -> None:
    response = await served.post("{}", **{"Content-Type": "application/json"})
    assert response.status == 415
    assert response.headers["Accept-Post"] == "application/sdp"
    await problem(response)


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/webrtc", ("GET", "PUT", "PATCH", "DELETE")), ("/webrtc/x", ("GET", "PUT", "POST"))],
)
async def test_other_methods_are_not_allowed(served: Served, path: str, methods: tuple[str, ...]) -> None:
    """As RFC 9725, 4.1 wants it: they are reserved."""
    for method in methods:
        async with served.client.request(method, served.url + path) as response:
            assert response.status == 405
            assert method not in response.headers["Allow"]
            await problem(response)
    async with served.client.head(served.url + path) as response:
        assert response.status == 405


async def test_a_full_server_says_so_and_when_to_come_back(served: Served) -> None:
    served.host.full = True
    response = await served.post(await offer())
    assert (response.status, response.headers["Retry-After"]) == (503, "5")
    await problem(response)


async def test_sessions_are_limited() -> None:
    async with serving(MAX_SESSIONS="1") as served:
        assert (await served.post(await offer())).status == 201
        assert (await served.post(await offer())).status == 503


async def test_a_thousand_offers_in_one_go_are_refused_and_hold_no_slots() -> None:
    async with serving(BURST="10", RATE="60") as served:
        began = time.perf_counter()
        statuses = []
        for _ in range(20):
            batch = await asyncio.gather(*(served.post("v=0\r\n") for _ in range(50)))
            statuses += [response.status for response in batch]
        took_s = time.perf_counter() - began
        assert statuses.count(429) >= 985 - 60 * took_s / 60
        assert set(statuses) == {422, 429}
        last = batch[-1]
        assert int(last.headers["Retry-After"]) >= 1
        await problem(last)
        assert served.host.free


async def test_candidates_that_never_connect_free_the_slot(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "CONNECT_S", 0.3)
    response = await served.post(CHROME)
    assert response.status == 201
    assert len(served.whip.sessions) == 1
    await eventually(lambda: not served.whip.sessions)
    assert served.host.free
    assert served.host.bad["webrtc", "not_connected"] == 1
    assert not served.host.calls


async def test_hanging_up_before_the_connection_frees_the_slot(served: Served) -> None:
    response = await served.post(CHROME)
    async with served.client.delete(served.url + response.headers["Location"]) as deleted:
        assert deleted.status == 200
    await eventually(lambda: not served.whip.sessions)
    assert served.host.free
    assert not served.host.bad


async def test_a_port_that_cannot_be_bound_is_a_busy_server() -> None:
    async with serving(HOSTS="192.0.2.250") as served:
        response = await served.post(CHROME)
        assert response.status == 503
        assert served.host.free
        assert not served.whip.sessions


async def test_ports_and_public_address_are_as_configured() -> None:
    async with serving(PORTS="40100-40140", PUBLIC_ADDRESS="203.0.113.9") as served:
        text = await (await served.post(CHROME)).text()
        candidates = [line.split() for line in text.splitlines() if line.startswith("a=candidate:")]
        assert {line[4] for line in candidates} == {"127.0.0.1"}
        assert all(40_100 <= int(line[5]) <= 40_140 for line in candidates)


class FailingHost(BrowserHost):
    def answer_media(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("the core has a bug")


async def test_a_core_that_cannot_answer_ends_the_session_only() -> None:
    async with serving(host=FailingHost()) as served, browser(served):
        await eventually(lambda: not served.whip.sessions)
        assert (await served.post(await offer())).status == 201


# --- changes ---------------------------------------------------------------------------------------

CANDIDATE = "m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 127.0.0.1 50000 typ host\r\n"


async def patch(served: Served, location: str, body: str, **headers: str) -> tuple[int, str, str]:
    headers = {"Content-Type": "application/trickle-ice-sdpfrag", **headers}
    async with served.client.patch(served.url + location, data=body, headers=headers) as response:
        return response.status, await response.text(), response.headers.get("ETag", "")


async def test_trickled_candidates(served: Served) -> None:
    response = await served.post(CHROME)
    location, tag = response.headers["Location"], response.headers["ETag"]
    assert await patch(served, location, CANDIDATE, **{"If-Match": tag}) == (204, "", "")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (CANDIDATE, {}, 428),
        (CANDIDATE, {"If-Match": '"other"'}, 412),
        (CANDIDATE, {"If-Match": "*"}, 400),
        ("", {"If-Match": "*"}, 400),
        (CANDIDATE, {"If-Match": "*", "Content-Type": "application/sdp"}, 415),
        ("a=ice-ufrag:abcd\r\na=ice-pwd:" + "p" * 22 + "\r\n", {"If-Match": "*"}, 409),
        ("a=x\r\n" * 10_000, {"If-Match": "*"}, 413),
    ],
)
async def test_changes_that_cannot_be_made(
    served: Served, body: str, headers: dict[str, str], status: int
) -> None:
    response = await served.post(CHROME)
    changed = await patch(served, response.headers["Location"], body, **headers)
    assert changed[0] == status
    assert json.loads(changed[1])["status"] == status


async def test_a_flood_of_changes_is_stopped(served: Served) -> None:
    response = await served.post(CHROME)
    location, tag = response.headers["Location"], response.headers["ETag"]
    statuses = [(await patch(served, location, CANDIDATE, **{"If-Match": tag}))[0] for _ in range(80)]
    assert statuses.count(429) >= 10


async def test_an_unknown_session_is_not_found(served: Served) -> None:
    status, body, _ = await patch(served, "/webrtc/nobody", CANDIDATE, **{"If-Match": "*"})
    assert (status, json.loads(body)["status"]) == (404, 404)


async def test_hanging_up_twice_is_as_good_as_once(served: Served) -> None:
    """The condition is for changes of ICE only (RFC 9725, 4.3.1): a stale tag keeps nobody on the line."""
    location = (await served.post(CHROME)).headers["Location"]
    stale = {"If-Match": '"stale"'}
    async with served.client.delete(served.url + location, headers=stale) as response:
        assert response.status == 200
    await eventually(lambda: not served.whip.sessions)
    async with served.client.delete(served.url + location) as response:
        assert response.status == 404
        await problem(response)
    assert served.host.free
