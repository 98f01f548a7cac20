"""A call over each transport of the real server, recorded and replayed: every decision again, byte for byte.

Slow (real time): some seconds a call.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiortc import RTCCertificate

from agent.cli import main
from loadtest.bulk.socket import Target
from loadtest.bulk.webrtc_codec import PCMU
from loadtest.bulk.webrtc_peer import WebRtcPeer
from loadtest.callers.twilio_relay import TwilioRelayFarEnd
from tests.e2e.inside import WAIT_S, Inside, inside
from tests.e2e.peers import FRAME_BYTES, Peer, Platform, call, question

pytestmark = pytest.mark.e2e

ANSWERED = 2
"""Turns: the greeting, and the answer to one question."""


async def asked(served: Inside, call_id: str, speak: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Hear the greeting out, then speak until the question has been answered."""
    await served.turns(call_id, 1)
    task = asyncio.create_task(speak())
    try:
        await served.turns(call_id, ANSWERED)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def hearing(peer: Peer) -> AsyncIterator[None]:
    """The platform plays what it is sent, and says so."""

    async def play() -> None:
        while True:
            await peer.hear_out()
            await asyncio.sleep(0.05)

    playing = asyncio.create_task(play())
    try:
        yield
    finally:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)


def over_socket(platform: Platform) -> Callable[[Inside], Awaitable[str]]:
    """A call over one of the WebSocket transports: its id."""

    async def made(served: Inside) -> str:
        async with call(served, platform) as peer:
            async with hearing(peer):
                if isinstance(peer.end, TwilioRelayFarEnd):
                    prompt = peer.end.prompt("what are your opening hours", language="en", last=True)
                    await asked(served, peer.call_id, lambda: peer.send(prompt))
                else:
                    audio = await question() + b"\xff" * FRAME_BYTES * 500
                    await asked(served, peer.call_id, lambda: peer.speak(audio))
            await peer.hang_up()
            await served.ended(peer.call_id)
            return peer.call_id

    return made


async def began(served: Inside) -> str:
    """The id of the only call, once there is one."""
    async with asyncio.timeout(WAIT_S):
        while not (told := await served.calls()):  # noqa: ASYNC110  # the server's own state
            await asyncio.sleep(0.01)
    return str(told[0]["call_id"])


async def over_webrtc(served: Inside) -> str:
    """A call as a browser makes it."""
    peer = WebRtcPeer(RTCCertificate.generateCertificate(), lambda *_: None, lambda _: None, PCMU)
    await peer.open(served.client, Target("127.0.0.1", served.server.public_address[1]))
    audio = await question() + b"\xff" * FRAME_BYTES * 500

    async def speak() -> None:
        for at in range(0, len(audio), FRAME_BYTES):
            peer.send(audio[at : at + FRAME_BYTES])
            await asyncio.sleep(0.02)

    call_id = await began(served)
    await asked(served, call_id, speak)
    peer.close()
    assert peer.hanging_up is not None
    await asyncio.wait_for(peer.hanging_up, WAIT_S)
    await served.ended(call_id)
    return call_id


async def all_over(before: set[asyncio.Task[Any]]) -> None:
    """Wait for the last checks of ICE, which end some time after the call: here both ends are in one loop."""
    async with asyncio.timeout(WAIT_S):
        while asyncio.all_tasks() - before:  # noqa: ASYNC110  # tasks of a library
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("made", "transport"),
    [
        *((over_socket(platform), platform.value) for platform in Platform),
        pytest.param(over_webrtc, "webrtc"),
    ],
)
async def test_a_call_of_each_transport_replays_byte_for_byte(
    made: Callable[[Inside], Awaitable[str]],
    transport: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, saved = tmp_path / "calls", tmp_path / "replay.json"
    before = asyncio.all_tasks()
    async with inside(tmp_path, {"PARLEY_RECORD_DIR": str(folder)}) as served:
        call_id = await made(served)
        told = await served.call(call_id)
    await all_over(before)
    assert told["transport"] == transport
    assert sum(bool(turn["agent"]) for turn in told["turns"]) >= ANSWERED
    (recording,) = folder.glob("*.call.gz")
    status = await asyncio.to_thread(main, ["replay", str(recording), "--json", str(saved)])
    assert "byte for byte" in capsys.readouterr().out
    found = json.loads(saved.read_text())
    assert (status, found["first_difference"], found["cause"]) == (0, None, told["cause"])
