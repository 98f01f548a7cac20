"""A session's life when things go wrong: browsers that vanish, move, flood, or send nonsense."""

import asyncio

import aioice
import pytest
from aiortc import RTCSessionDescription

from agent.events import StateChanged
from tests.transports.fakes import eventually
from tests.transports.webrtc.fakes import Served, browser, peer, serving
from transports.webrtc import channel as channel_module
from transports.webrtc import session as session_module
from transports.webrtc.fragment import read_fragment
from transports.webrtc.session import Session


def only(served: Served) -> Session:
    (session,) = served.whip.sessions.values()
    return session


async def test_a_browser_that_vanishes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "GONE_MS", 400.0)
    monkeypatch.setattr(session_module, "REPORT_MS", 100.0)
    async with serving() as served, browser(served) as page:
        call = await served.call()
        await page.open.wait()
        await page.vanish()
        await eventually(call.ended.is_set)
        assert ("lost",) in call.events
        await eventually(lambda: not served.whip.sessions)


async def test_a_page_that_comes_back_goes_on_with_its_call() -> None:
    async with serving() as served, browser(served) as page:
        call = await served.call()
        await page.open.wait()
        call_id = call.line.info.platform_call_id
        old = page.location.rpartition("/")[2]
        async with browser(served, query=f"?resume={old}") as again:
            await eventually(lambda: call.count("reattached"))
            await eventually(lambda: list(served.whip.sessions) == [again.location.rpartition("/")[2]])
            assert again.location != page.location
            assert not call.ended.is_set()
            heard = call.count("hear")
            await eventually(lambda: call.count("hear") > heard + 5)
            listener = served.host.listeners[-1]
            assert listener is not None
            listener(StateChanged("speaking"))
            await eventually(lambda: "state" in again.types)
            assert again.messages[0]["call"] == call_id
            assert len(served.host.reserved) == 1
            await again.delete()
            await eventually(call.ended.is_set)


async def test_a_page_that_closes_its_old_connection_before_the_new_one_is_through_keeps_its_call() -> None:
    async with serving() as served, browser(served) as page:
        call = await served.call()
        await page.open.wait()
        old = page.location.rpartition("/")[2]
        again = peer()
        again.addTransceiver("audio")
        await again.setLocalDescription(await again.createOffer())
        async with served.client.post(
            f"{served.url}/webrtc?resume={old}", data=again.localDescription.sdp,
            headers={"Content-Type": "application/sdp"},
        ) as response:  # fmt: skip
            answer = await response.text()
        await page.close()
        await eventually(lambda: ("lost",) in call.events)
        await again.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await eventually(lambda: call.count("reattached"))
        assert call.count("hung_up") == 0
        await again.close()
        await eventually(lambda: call.count("hung_up") == 1)


async def test_who_comes_back_too_late_makes_a_new_call() -> None:
    async with serving() as served, browser(served) as page:
        first = await served.call()
        await page.delete()
        await eventually(first.ended.is_set)
        del served.host.live[first.line.info.platform_call_id]
        async with browser(served, query=f"?resume={page.location.rpartition('/')[2]}"):
            second = await served.call()
            assert second is not first
            assert len(served.host.reserved) == 2


async def test_a_flood_of_messages_is_dropped_then_ends_the_call() -> None:
    async with serving() as served, browser(served) as page:
        call = await served.call()
        await page.open.wait()
        for _ in range(channel_module.MAX_FLOOD + 200):
            page.send(type="ping", id=1)
        await eventually(call.ended.is_set)
        assert ("hung_up", "flood_end") in call.events
        assert call.bad["flood"] == channel_module.MAX_FLOOD


async def test_giant_and_broken_messages_are_dropped() -> None:
    async with serving() as served, browser(served) as page:
        call = await served.call()
        await page.open.wait()
        assert page.channel is not None
        # The page's own stack would not send it: the answer says how much we take.
        page.channel.transport._remote_max_message_size = 0
        page.channel.send('"' + "x" * 30_000 + '"')
        page.channel.send("{")
        page.channel.send(b"\x00\x01")
        page.send(type="dtmf", digit="1")
        await eventually(lambda: call.keys == "1")
        assert call.bad == {"too_long": 1, "json": 1, "binary": 1}


async def test_a_message_without_end_ends_the_call() -> None:
    async with serving() as served, browser(served) as page:
        call = await served.call()
        await page.open.wait()
        assert page.channel is not None
        sctp = page.channel.transport
        sctp._remote_max_message_size = 0
        page.channel.send("x" * 500_000)
        await eventually(call.ended.is_set)
        assert ("hung_up", "giant_message") in call.events


async def test_data_channels_that_nobody_asked_for_are_closed() -> None:
    async with serving() as served, browser(served) as page:
        call = await served.call()
        await page.open.wait()
        other = page.peer.createDataChannel("other")
        await eventually(lambda: other.readyState == "closed")
        assert call.bad["channel"] == 1
        for number in range(4):
            page.peer.createDataChannel(f"more {number}")
        await eventually(call.ended.is_set)


async def test_forged_media_is_counted_and_dropped() -> None:
    async with serving() as served, browser(served):
        call = await served.call()
        session = only(served)
        session._media(b"\x80\x60" + bytes(40))
        session._media(b"\x80\xc8" + bytes(40))
        assert call.bad["srtp"] == 2
        await eventually(lambda: call.count("hear") > 2)


async def test_a_core_that_fails_on_audio_ends_its_call_only(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as served, browser(served) as first, browser(served):
        await eventually(lambda: len(served.host.calls) == 2)
        session = served.whip.sessions[first.location.rpartition("/")[2]]
        broken, well = served.host.calls
        if session.line is not broken.line:
            broken, well = well, broken
        assert session._receiver is not None

        def fail(payload: bytes, timestamp_ms: float) -> None:
            raise RuntimeError("a bug")

        session._receiver._hear = fail
        await eventually(broken.ended.is_set)
        assert ("hung_up", "fault") in broken.events
        heard = well.count("hear")
        await eventually(lambda: well.count("hear") > heard + 3)
        assert "a bug" in caplog.text


async def test_an_ice_restart_moves_the_call_to_a_new_path() -> None:
    """The client's side is aioice by hand: aiortc's peer connection cannot restart."""
    async with serving() as served, browser(served) as page:
        call = await served.call()
        session = only(served)
        fresh = aioice.Connection(ice_controlling=True)
        await fresh.gather_candidates()
        lines = [f"a=ice-ufrag:{fresh.local_username}", f"a=ice-pwd:{fresh.local_password}"]
        lines += [f"a=candidate:{candidate.to_sdp()}" for candidate in fresh.local_candidates]
        async with served.client.patch(
            served.url + page.location,
            data="\r\n".join(lines) + "\r\n",
            headers={"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*"},
        ) as response:
            assert response.status == 200
            assert response.headers["ETag"] not in ("", page.etag)
            ours = read_fragment((await response.text()).encode())
        for candidate in ours.candidates:
            await fresh.add_remote_candidate(candidate)
        await fresh.add_remote_candidate(None)
        fresh.remote_username, fresh.remote_password = ours.ufrag, ours.password
        await fresh.connect()
        await eventually(lambda: session._link._restart is not None and session._link._restart.done())
        # Media of the same session now comes over the new path: keys and streams have stayed.
        call.line.send(bytes(960))
        first = await asyncio.wait_for(fresh.recv(), 20)
        assert 127 < first[0] < 192
        assert not call.ended.is_set()
        await fresh.close()


async def test_a_restart_that_leads_nowhere_leaves_the_call_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_module, "CONNECT_S", 0.2)
    async with serving() as served, browser(served) as page:
        call = await served.call()
        async with served.client.patch(
            served.url + page.location,
            data="a=ice-ufrag:nowhere\r\na=ice-pwd:" + "p" * 22 + "\r\n",
            headers={"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*"},
        ) as response:
            assert response.status == 200
        await asyncio.sleep(0.3)
        heard = call.count("hear")
        await eventually(lambda: call.count("hear") > heard + 5)


async def test_trickled_candidates_make_a_connection() -> None:
    async with serving() as served:
        page = peer()
        page.addTransceiver("audio")
        await page.setLocalDescription(await page.createOffer())
        full = page.localDescription.sdp
        bare = "\r\n".join(line for line in full.splitlines() if "candidate" not in line) + "\r\n"
        response = await served.post(bare)
        assert response.status == 201
        found = [line for line in full.splitlines() if line.startswith("a=candidate")]
        async with served.client.patch(
            served.url + response.headers["Location"],
            data="\r\n".join(found) + "\r\n",
            headers={
                "Content-Type": "application/trickle-ice-sdpfrag",
                "If-Match": response.headers["ETag"],
            },
        ) as patched:
            assert patched.status == 204
        await page.setRemoteDescription(RTCSessionDescription(await response.text(), "answer"))
        await served.call()
        await page.close()


async def test_reports_give_figures_on_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "REPORT_MS", 100.0)
    async with serving() as served, browser(served):
        call = await served.call()
        network = only(served).network

        async def speak() -> None:
            while network.rtt_ms is None:
                call.line.send(bytes(range(240)) * 4)
                await asyncio.sleep(0.02)

        async with asyncio.timeout(20):
            await speak()
        assert network.rtt_ms is not None
        assert 0 <= network.rtt_ms < 5_000  # not microseconds
        assert network.jitter_out_ms is not None
        assert network.lost_out == 0
        assert next(served.webrtc.networks) is network


async def test_events_before_the_channel_opens_wait_and_are_bounded() -> None:
    async with serving() as served, browser(served) as page:
        await served.call()
        listener = served.host.listeners[0]
        assert listener is not None
        for number in range(200):
            listener(StateChanged(str(number)))
        await eventually(lambda: any(message.get("state") == "199" for message in page.messages))


async def test_closing_the_transport_ends_what_is_left() -> None:
    async with serving() as served, browser(served):
        call = await served.call()
        await served.webrtc.close()
        assert call.ended.is_set()
        assert not served.whip.sessions
