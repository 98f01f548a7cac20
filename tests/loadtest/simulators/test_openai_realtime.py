"""The Realtime simulator as the openai SDK and the `websockets` client see it."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.typing import Subprotocol

from agent.audio.formats import PCMU_8K
from agent.clock import LoopClock
from loadtest.simulators.faults import Fault
from loadtest.simulators.openai_realtime import TIMINGS, RealtimeSimulator
from loadtest.simulators.profile import Profile, Timings
from loadtest.simulators.realtime_reply import Spoken
from loadtest.simulators.tones import Tones

SAID = "Good morning to you."
SPOKEN = Tones(PCMU_8K).speak(SAID)
TURN = Tones(PCMU_8K).speak("what are your opening hours") + PCMU_8K.silence(8 * 400)
MULAW: dict[str, Any] = {
    "type": "realtime",
    "audio": {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcmu"}}},
}


def quick(**changes: float) -> Timings:
    delays = {"voice_to_voice": 201.0, "chunk": 1.0, "dribble": 300.0, "slow_close": 300.0, **changes}
    return Timings({**TIMINGS, **{name: Profile.fixed(delay) for name, delay in delays.items()}})


@pytest.fixture
async def simulator() -> AsyncIterator[RealtimeSimulator]:
    simulator = RealtimeSimulator(
        LoopClock(), lambda _: Spoken((SAID,)), timings=quick(), api_key="sk-1", models=("gpt-realtime-2.1",)
    )
    async with simulator:
        yield simulator


@asynccontextmanager
async def connected(
    simulator: RealtimeSimulator, query: str = "?model=gpt-realtime-2.1", key: str = "sk-1"
) -> AsyncIterator[ClientConnection]:
    url = simulator.url.replace("http", "ws", 1) + "/realtime" + query
    headers = {"Authorization": f"Bearer {key}"}
    async with connect(url, additional_headers=headers, proxy=None, close_timeout=1) as socket:
        yield socket


async def send(socket: ClientConnection, kind: str, **fields: Any) -> None:
    await socket.send(json.dumps({"type": kind, **fields}))


async def append(socket: ClientConnection, audio: bytes) -> None:
    await send(socket, "input_audio_buffer.append", audio=base64.b64encode(audio).decode())


async def until(socket: ClientConnection, kind: str, within_s: float = 2) -> list[dict[str, Any]]:
    """Events up to the first of that kind."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(within_s):
        while not found or found[-1]["type"] != kind:
            found.append(json.loads(await socket.recv()))
    return found


async def turn(socket: ClientConnection) -> None:
    """Set up for the telephone, and speak."""
    await until(socket, "session.created")
    await send(socket, "session.update", session=MULAW)
    await append(socket, TURN)


def sound(events: list[dict[str, Any]]) -> bytes:
    deltas = [event["delta"] for event in events if event["type"] == "response.output_audio.delta"]
    return b"".join(map(base64.b64decode, deltas))


async def test_the_openai_sdk_talks_to_it(simulator: RealtimeSimulator) -> None:
    url = simulator.url.replace("http", "ws", 1)
    audio, transcript = b"", ""
    async with (
        openai.AsyncOpenAI(api_key="sk-1", base_url=simulator.url, websocket_base_url=url) as client,
        client.realtime.connect(model="gpt-realtime-2.1") as line,
        asyncio.timeout(20),
    ):
        await line.session.update(session=MULAW)  # type: ignore[arg-type]  # the event as it is on the wire
        for at in range(0, len(TURN), 160):
            await line.input_audio_buffer.append(audio=base64.b64encode(TURN[at : at + 160]).decode())
        async for event in line:
            if event.type == "response.output_audio.delta":
                audio += base64.b64decode(event.delta)
            elif event.type == "response.output_audio_transcript.done":
                transcript = event.transcript
            elif event.type == "response.done":
                break
    assert audio == SPOKEN
    assert transcript == SAID
    assert simulator.counts.responses == 1
    assert simulator.counts.errors == 0


async def test_the_answer_comes_faster_than_real_time_after_its_delay(simulator: RealtimeSimulator) -> None:
    simulator.timings.set("voice_to_voice", Profile.fixed(320))
    async with connected(simulator) as socket:
        await turn(socket)
        await until(socket, "response.created")
        began = asyncio.get_running_loop().time()
        await until(socket, "response.output_item.added")
        # 320 ms from the last word, of which 200 are the silence that ended the turn.
        assert 0.1 <= asyncio.get_running_loop().time() - began < 0.32
        assert sound(await until(socket, "response.done")) == SPOKEN
        assert asyncio.get_running_loop().time() - began < PCMU_8K.duration_ms(len(SPOKEN)) / 1000


async def test_a_caller_who_speaks_on_cancels_the_answer(simulator: RealtimeSimulator) -> None:
    simulator.timings.set("chunk", Profile.fixed(50))
    async with connected(simulator) as socket:
        await turn(socket)
        await until(socket, "response.output_audio.delta")
        await append(socket, TURN)
        (*_, done) = await until(socket, "response.done")
        assert done["response"]["status_details"]["reason"] == "turn_detected"
        # The second turn is answered in full.
        events = await until(socket, "response.done")
        assert events[-1]["response"]["status"] == "completed"
        assert sound(events) == SPOKEN


async def test_mistakes_are_answered_and_the_socket_stays_open(simulator: RealtimeSimulator) -> None:
    async with connected(simulator) as socket:
        await until(socket, "session.created")
        await socket.send("{")
        assert (await until(socket, "error"))[-1]["error"]["code"] == "invalid_json"
        await send(socket, "response.cancel", event_id="c1")
        assert (await until(socket, "error"))[-1]["error"]["event_id"] == "c1"
        await send(socket, "session.update", session=MULAW)
        await until(socket, "session.updated")


async def test_binary_is_refused(simulator: RealtimeSimulator) -> None:
    async with connected(simulator) as socket:
        await socket.send(b"\x00")
        async with asyncio.timeout(20):
            await socket.wait_closed()
        assert socket.close_code == 1003


async def test_a_session_ends_after_its_hour() -> None:
    async with (
        RealtimeSimulator(LoopClock(), timings=quick(), session_ms=50) as simulator,
        connected(simulator) as socket,
    ):
        assert (await until(socket, "error"))[-1]["error"]["code"] == "session_expired"
        await socket.wait_closed()
        assert socket.close_code == 1001


@pytest.mark.parametrize(
    ("query", "key", "status", "code"),
    [
        ("?model=gpt-realtime-2.1", "wrong", 401, "invalid_api_key"),
        ("", "sk-1", 400, "missing_model"),
        ("?model=gpt-9", "sk-1", 404, "model_not_found"),
    ],
)
async def test_a_refused_upgrade_says_why(
    simulator: RealtimeSimulator, query: str, key: str, status: int, code: str
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with connected(simulator, query, key):
            pass
    assert caught.value.response.status_code == status
    assert json.loads(caught.value.response.body)["error"]["code"] == code


async def test_a_browsers_subprotocols_carry_the_key(simulator: RealtimeSimulator) -> None:
    url = simulator.url.replace("http", "ws", 1) + "/realtime?model=gpt-realtime-2.1"
    offered = [Subprotocol("realtime"), Subprotocol("openai-insecure-api-key.sk-1")]
    async with connect(url, subprotocols=offered, proxy=None) as socket:
        assert socket.subprotocol == "realtime"


async def test_refuse_and_server_error(simulator: RealtimeSimulator) -> None:
    simulator.faults.switch(1, [Fault.REFUSE])
    with pytest.raises(InvalidMessage):
        async with connected(simulator):
            pass
    simulator.faults.switch(1, [Fault.SERVER_ERROR])
    with pytest.raises(InvalidStatus) as caught:
        async with connected(simulator):
            pass
    assert caught.value.response.status_code == 503


async def test_too_many_requests_fails_the_response(simulator: RealtimeSimulator) -> None:
    simulator.faults.switch(1, [Fault.TOO_MANY_REQUESTS])
    async with connected(simulator) as socket:
        await turn(socket)
        done = (await until(socket, "response.done"))[-1]["response"]
    assert done["status"] == "failed"
    assert done["status_details"]["error"]["code"] == "inference_rate_limit_exceeded"


async def collected(socket: ClientConnection, within_s: float) -> list[str]:
    """What comes within a short time, or until the socket is cut."""
    found: list[str] = []
    try:
        async with asyncio.timeout(within_s):
            while True:
                found.append(str(await socket.recv()))
    except (TimeoutError, ConnectionClosed):
        return found


async def test_stall_open(simulator: RealtimeSimulator) -> None:
    simulator.faults.switch(1, [Fault.STALL_OPEN])
    async with connected(simulator) as socket:
        await turn(socket)
        assert await collected(socket, 0.15) == []


async def test_die_mid_stream(simulator: RealtimeSimulator) -> None:
    simulator.faults.switch(1, [Fault.DIE_MID_STREAM])
    async with connected(simulator) as socket:
        await turn(socket)
        found = await collected(socket, 2)
        assert socket.close_code == 1006
    assert not any('"response.done"' in text for text in found)


async def test_dribble(simulator: RealtimeSimulator) -> None:
    simulator.faults.switch(1, [Fault.DRIBBLE])
    async with connected(simulator) as socket:
        await turn(socket)
        found = await collected(socket, 0.25)
    assert sum('"response.output_audio.delta"' in text for text in found) == 1


async def test_garbage(simulator: RealtimeSimulator) -> None:
    simulator.faults.switch(1, [Fault.GARBAGE])
    async with connected(simulator) as socket:
        await turn(socket)
        found = await collected(socket, 0.15)
    assert "\x00<html>" in found


async def test_slow_close_holds_back_only_the_end(simulator: RealtimeSimulator) -> None:
    simulator.faults.switch(1, [Fault.SLOW_CLOSE])
    async with connected(simulator) as socket:
        await turn(socket)
        found = [json.loads(text) for text in await collected(socket, 0.2)]
    assert sound(found) == SPOKEN
    assert found[-1]["type"] == "conversation.item.done"


async def test_a_client_that_leaves_leaves_nothing_behind(simulator: RealtimeSimulator) -> None:
    simulator.timings.set("chunk", Profile.fixed(60_000))
    async with connected(simulator) as socket:
        await turn(socket)
        await until(socket, "response.output_audio.delta")
        socket.transport.abort()
    async with asyncio.timeout(20):
        while simulator.counts.open:  # noqa: ASYNC110  # the other side is a server, it has no event for us
            await asyncio.sleep(0.002)
