"""The Aura simulator as the `websockets` client and an HTTP client see it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.typing import Subprotocol

from agent.audio.formats import PCMU_8K
from agent.clock import LoopClock
from loadtest.simulators.aura import TIMINGS, AuraSimulator
from loadtest.simulators.faults import Fault
from loadtest.simulators.profile import Profile, Timings
from loadtest.simulators.tones import Tones

MULAW = "model=aura-2-thalia-en&encoding=mulaw&sample_rate=8000"
SAID = "Your table is booked for seven."
AUDIO = Tones(PCMU_8K).speak(SAID)


def quick(**changes: float) -> Timings:
    delays = {"first_audio": 1.0, "chunk": 0.0, "dribble": 300.0, "slow_close": 300.0, **changes}
    return Timings({**TIMINGS, **{name: Profile.fixed(delay) for name, delay in delays.items()}})


@pytest.fixture
async def aura() -> AsyncIterator[AuraSimulator]:
    async with AuraSimulator(LoopClock(), timings=quick(), api_key="dg") as simulator:
        yield simulator


@asynccontextmanager
async def connected(
    aura: AuraSimulator, query: str = MULAW, key: str = "dg"
) -> AsyncIterator[ClientConnection]:
    url = aura.url.replace("http", "ws", 1) + f"/v1/speak?{query}"
    headers = {"Authorization": f"Token {key}"}
    async with connect(url, additional_headers=headers, proxy=None, close_timeout=1) as socket:
        yield socket


async def send(socket: ClientConnection, kind: str, **fields: Any) -> None:
    await socket.send(json.dumps({"type": kind, **fields}))


async def until(socket: ClientConnection, kind: str, within_s: float = 2) -> tuple[bytes, dict[str, Any]]:
    """Audio up to the message of that kind, and the message."""
    audio = b""
    async with asyncio.timeout(within_s):
        while True:
            message = await socket.recv()
            if isinstance(message, bytes):
                audio += message
            elif (document := json.loads(message))["type"] == kind:
                return audio, document


async def closed(socket: ClientConnection) -> tuple[int | None, str]:
    async with asyncio.timeout(20):
        await socket.wait_closed()
    return socket.close_code, socket.close_reason or ""


async def test_text_becomes_audio_and_flushed_comes_after_its_last_byte(aura: AuraSimulator) -> None:
    async with connected(aura) as socket:
        _, metadata = await until(socket, "Metadata")
        assert metadata["model_name"] == "aura-2-thalia-en"
        for piece in ("Your table ", "is booked ", "for seven."):
            await send(socket, "Speak", text=piece)
        await send(socket, "Flush")
        audio, flushed = await until(socket, "Flushed")
        assert audio == AUDIO
        assert flushed["sequence_id"] == 0
        assert socket.response is not None
        assert socket.response.headers["dg-request-id"] == metadata["request_id"]
    assert list(aura.spoken) == [SAID]
    assert aura.counts.audio_ms == pytest.approx(PCMU_8K.duration_ms(len(AUDIO)))


async def test_a_complete_sentence_is_spoken_without_a_flush(aura: AuraSimulator) -> None:
    async with connected(aura) as socket:
        await until(socket, "Metadata")
        await send(socket, "Speak", text=SAID + " Anything")
        first = await asyncio.wait_for(socket.recv(), 20)
        assert isinstance(first, bytes)
        assert AUDIO.startswith(first)


async def test_clear_drops_what_waits_and_a_little_late_audio_comes_before_cleared(
    aura: AuraSimulator,
) -> None:
    aura.timings.set("chunk", Profile.fixed(20))
    async with connected(aura) as socket:
        await until(socket, "Metadata")
        await send(socket, "Speak", text=f"{SAID} {SAID} {SAID}")
        await send(socket, "Flush")
        assert isinstance(await asyncio.wait_for(socket.recv(), 20), bytes)
        await send(socket, "Clear")
        late, cleared = await until(socket, "Cleared")
        assert cleared["sequence_id"] == 0
        assert 0 < len(late) <= 4 * 800
        await send(socket, "Speak", text="Next.")
        await send(socket, "Flush")
        audio, flushed = await until(socket, "Flushed")
        assert audio == Tones(PCMU_8K).speak("Next.")
        assert flushed["sequence_id"] == 1


async def test_close_speaks_what_is_left_and_ends_well(aura: AuraSimulator) -> None:
    async with connected(aura) as socket:
        await until(socket, "Metadata")
        await send(socket, "Speak", text=SAID)
        await send(socket, "Close")
        audio = b"".join([message async for message in socket if isinstance(message, bytes)])
        assert audio == AUDIO
        assert await closed(socket) == (1000, "")


async def test_too_many_flushes_are_warned_of_and_not_done(aura: AuraSimulator) -> None:
    async with connected(aura) as socket:
        for _ in range(21):
            await send(socket, "Flush")
        _, warned = await until(socket, "Warning")
        assert "flush limit" in warned["description"]
    assert aura.counts.flushed <= 20


@pytest.mark.parametrize(
    ("message", "code", "tag"),
    [
        (b"\x00\x01", 1003, "MESSAGE-0000"),
        ("{", 1008, "DATA-0000"),
        ('{"type":"Shout"}', 1008, "DATA-0000"),
        ('{"type":"Speak"}', 1008, "DATA-0000"),
        (json.dumps({"type": "Speak", "text": "x" * 2001}), 1009, "BIG-0001"),
    ],
)
async def test_what_breaks_the_protocol_closes_the_socket_with_the_vendors_code(
    aura: AuraSimulator, message: str | bytes, code: int, tag: str
) -> None:
    async with connected(aura) as socket:
        await socket.send(message)
        got, reason = await closed(socket)
    assert got == code
    assert reason.startswith(tag)
    assert aura.counts.closed[-1][0] == code


async def test_a_socket_lives_no_longer_than_its_hour() -> None:
    async with AuraSimulator(LoopClock(), timings=quick(), session_ms=70) as aura, connected(aura) as socket:
        code, reason = await closed(socket)
    assert code == 1011
    assert reason.startswith("NET-0003")


@pytest.mark.parametrize(
    ("query", "key", "status", "says"),
    [(MULAW, "wrong", 401, "Invalid credentials"), ("encoding=mp3", "dg", 400, "Unsupported encoding")],
)
async def test_a_refused_upgrade_says_why_in_body_and_header(
    aura: AuraSimulator, query: str, key: str, status: int, says: str
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with connected(aura, query, key):
            pass
    response = caught.value.response
    assert response.status_code == status
    assert says in response.headers["dg-error"]
    assert says in json.loads(response.body)["err_msg"]


async def test_a_browsers_subprotocol_is_taken_as_the_key(aura: AuraSimulator) -> None:
    url = aura.url.replace("http", "ws", 1) + f"/v1/speak?{MULAW}"
    async with connect(url, subprotocols=[Subprotocol("token"), Subprotocol("dg")], proxy=None) as socket:
        assert socket.subprotocol == "token"


async def rest(aura: AuraSimulator, body: object, key: str = "dg") -> tuple[int, bytes, dict[str, str]]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{aura.url}/v1/speak?{MULAW}&container=none",
            json=body,
            headers={"Authorization": f"Token {key}"},
        ) as response,
    ):
        return response.status, await response.read(), dict(response.headers)


async def test_rest(aura: AuraSimulator) -> None:
    status, audio, headers = await rest(aura, {"text": SAID})
    assert (status, audio) == (200, AUDIO)
    assert headers["dg-char-count"] == str(len(SAID))
    assert headers["dg-model-name"] == "aura-2-thalia-en"


@pytest.mark.parametrize(
    ("body", "key", "status"),
    [
        ({"text": SAID}, "no", 401),
        ({"text": " "}, "dg", 400),
        ([], "dg", 400),
        ({"text": "x" * 2001}, "dg", 413),
    ],
)
async def test_rest_refuses_what_the_vendor_refuses(
    aura: AuraSimulator, body: object, key: str, status: int
) -> None:
    assert (await rest(aura, body, key))[0] == status


@pytest.mark.parametrize(("fault", "status"), [(Fault.TOO_MANY_REQUESTS, 429), (Fault.SERVER_ERROR, 503)])
async def test_faults_at_the_door(aura: AuraSimulator, fault: Fault, status: int) -> None:
    aura.faults.switch(1, [fault])
    with pytest.raises(InvalidStatus) as caught:
        async with connected(aura):
            pass
    assert caught.value.response.status_code == status
    assert (await rest(aura, {"text": SAID}))[0] == status


async def test_refuse(aura: AuraSimulator) -> None:
    aura.faults.switch(1, [Fault.REFUSE])
    with pytest.raises(InvalidMessage):
        async with connected(aura):
            pass
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await rest(aura, {"text": SAID})


async def spoken(socket: ClientConnection, within_s: float = 0.15) -> tuple[bytes, list[str]]:
    """What comes for a sentence within a short time: audio, texts."""
    audio, texts = b"", []
    await send(socket, "Speak", text=SAID)
    await send(socket, "Flush")
    try:
        async with asyncio.timeout(within_s):
            async for message in socket:
                if isinstance(message, bytes):
                    audio += message
                else:
                    texts.append(message)
    except (TimeoutError, ConnectionClosed):
        pass  # what came before is looked at
    return audio, texts[1:]


async def test_stall_open_says_hello_and_nothing_more(aura: AuraSimulator) -> None:
    aura.faults.switch(1, [Fault.STALL_OPEN])
    async with connected(aura) as socket:
        assert await spoken(socket) == (b"", [])


async def test_die_mid_stream_cuts_without_a_close_frame(aura: AuraSimulator) -> None:
    aura.faults.switch(1, [Fault.DIE_MID_STREAM])
    async with connected(aura) as socket:
        audio, texts = await spoken(socket, 2)
        assert socket.close_code == 1006
    assert 0 < len(audio) < len(AUDIO)
    assert texts == []


async def test_dribble_gives_a_beginning(aura: AuraSimulator) -> None:
    aura.faults.switch(1, [Fault.DRIBBLE])
    async with connected(aura) as socket:
        assert await spoken(socket) == (AUDIO[:800], [])


async def test_garbage_is_text_that_nobody_can_read(aura: AuraSimulator) -> None:
    aura.faults.switch(1, [Fault.GARBAGE])
    async with connected(aura) as socket:
        audio, texts = await spoken(socket)
    assert audio == b""
    assert "\x00<html>" in texts


async def test_slow_close_speaks_well_but_does_not_say_that_it_is_done(aura: AuraSimulator) -> None:
    aura.faults.switch(1, [Fault.SLOW_CLOSE])
    async with connected(aura) as socket:
        assert await spoken(socket) == (AUDIO, [])


async def test_a_client_that_leaves_leaves_nothing_behind(aura: AuraSimulator) -> None:
    aura.timings.set("chunk", Profile.fixed(60_000))
    async with connected(aura) as socket:
        await send(socket, "Speak", text=SAID)
        await send(socket, "Close")
        await until_open(aura, 1)
        socket.transport.abort()
    await until_open(aura, 0)


async def until_open(aura: AuraSimulator, count: int) -> None:
    async with asyncio.timeout(20):
        while aura.counts.open != count:  # noqa: ASYNC110  # the other side is a server, it has no event for us
            await asyncio.sleep(0.002)
