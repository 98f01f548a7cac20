"""Browsers that cannot call, or lose their server. Whole calls: `tests.loadtest.scenarios.test_runner`."""

import pytest
from aiohttp import web

from agent.clock import LoopClock
from loadtest.bulk.fleet import Member
from loadtest.bulk.script import Script
from loadtest.bulk.socket import Target
from loadtest.bulk.webrtc_call import WebRtcCall
from loadtest.bulk.webrtc_fleet import GONE_MS, WebRtcFleet
from loadtest.bulk.webrtc_peer import WebRtcPeer
from loadtest.callers.errors import Unreachable
from tests.loadtest.bulk.test_webrtc_call import speech
from tests.virtual import run_virtually, virtual_clock


def fleet(target: Target) -> WebRtcFleet:
    return WebRtcFleet(target, LoopClock(), speech(), Script())


async def opened(target: Target) -> WebRtcFleet:
    found = fleet(target)
    with pytest.raises(Unreachable, match="no call could be opened at"):
        await found.open(2, 100.0)
    found.close()
    await found.gone()
    return found


async def test_a_server_that_is_not_there_is_one_line() -> None:
    found = await opened(Target("127.0.0.1", 1))
    assert found.refused == 2
    assert found.live == 0


@pytest.mark.parametrize(
    ("status", "text"), [(503, "busy"), (201, "this is no answer"), (201, "v=0\r\nm=audio 9 RTP/AVP 0\r\n")]
)
async def test_a_server_that_refuses_or_talks_nonsense_is_a_refused_call(status: int, text: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text, headers={"Location": "/webrtc/1"})

    deleted: list[str] = []

    async def delete(request: web.Request) -> web.Response:
        deleted.append(request.path)
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/webrtc", answer), web.delete("/webrtc/1", delete)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        found = await opened(Target("127.0.0.1", runner.addresses[0][1]))
    finally:
        await runner.cleanup()
    assert found.refused == found.figures.refused_calls == 2
    assert deleted == ([] if status == 503 else ["/webrtc/1"] * 2), "what was begun is ended"


def test_a_server_of_which_nothing_is_heard_for_seconds_is_lost() -> None:
    async def scenario() -> None:
        clock = virtual_clock()
        calls: list[WebRtcPeer] = []

        class Connected(WebRtcFleet):
            """Without a server."""

            async def _connect(self, number: int) -> Member:
                peer = WebRtcPeer(self._certificate, lambda *_: None, lambda _: None)
                calls.append(peer)
                return Member(number, WebRtcCall("w", speech(), Script(), self.figures, number), peer)

        browsers = Connected(Target("127.0.0.1", 1), clock, speech(), Script())
        await browsers.open(2, 100.0)
        heard, unheard = calls
        for _ in range(3):
            heard.received += 1
            await clock.sleep(GONE_MS)
        assert (heard.closed, unheard.closed) == (False, True)
        assert (browsers.live, browsers.figures.lost_calls) == (1, 1)
        browsers.close()
        await browsers.gone()
        for peer in calls:
            assert peer.hanging_up is not None
            await peer.hanging_up

    run_virtually(scenario)
