"""The simulated Cartesia, by its wire: contexts, verbatim text, word times, and what it refuses."""

import asyncio
from binascii import a2b_base64
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import orjson
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from agent.agentfile.load import load_agent
from agent.audio.codec import make_decoder
from agent.audio.formats import G722_16K, PCMU_8K, linear
from agent.clock import LoopClock
from agent.providers import ProviderContext
from loadtest.simulators.cartesia import TIMINGS, CartesiaSimulator
from loadtest.simulators.cartesia_voice import TONES_HZ, EmbeddedVoice, tone_of, tones
from loadtest.simulators.profile import Profile, Timings
from providers.embedded.tts import EmbeddedTTS
from tests.providers.cartesia.conftest import until

HEADERS = {"Cartesia-Version": "2026-03-01", "Authorization": "Bearer k"}


@pytest.fixture
async def simulator() -> AsyncIterator[CartesiaSimulator]:
    timings = Timings({name: Profile.fixed(0) for name in TIMINGS})
    async with CartesiaSimulator(LoopClock(), timings=timings, api_key="k", max_contexts=3) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


@pytest.fixture
async def socket(http: ClientSession, simulator: CartesiaSimulator) -> AsyncIterator[ClientWebSocketResponse]:
    async with http.ws_connect(f"{simulator.url}/tts/websocket", headers=HEADERS) as opened:
        yield opened


def ask(context: str, transcript: str, *, more: bool = False, **fields: Any) -> str:
    request = {
        "context_id": context,
        "model_id": "sonic-3.5",
        "language": "en",
        "voice": {"mode": "id", "id": "v"},
        "output_format": {"container": "raw", "encoding": "pcm_mulaw", "sample_rate": 8000},
        "transcript": transcript,
        "continue": more,
        "add_timestamps": True,
        "max_buffer_delay_ms": 0,
    }
    return orjson.dumps(request | fields).decode()


async def said(socket: ClientWebSocketResponse, last: str = '"type":"done"') -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while True:
            message = await socket.receive()
            assert message.type is WSMsgType.TEXT, message
            found.append(orjson.loads(message.data))
            if last in message.data:
                return found


def audio_of(messages: list[dict[str, Any]]) -> bytes:
    return b"".join(a2b_base64(message["data"]) for message in messages if message["type"] == "chunk")


async def test_a_sentence(socket: ClientWebSocketResponse) -> None:
    await socket.send_str(ask("c", "Good morning to you"))
    messages = await said(socket)
    expected = await tones("Good morning to you", "en", PCMU_8K)
    assert audio_of(messages) == expected.audio
    words = [
        word for one in messages if one["type"] == "timestamps" for word in one["word_timestamps"]["words"]
    ]
    assert words == ["Good", "morning", "to", "you"]
    assert {message["context_id"] for message in messages} == {"c"}
    assert messages[-1]["done"] is True


async def test_a_context_goes_on_and_is_done_only_at_its_end(
    socket: ClientWebSocketResponse, simulator: CartesiaSimulator
) -> None:
    await socket.send_str(ask("c", "Good ", more=True))
    first = await said(socket, "flush_done")
    assert all(message["type"] != "done" for message in first)
    await socket.send_str(ask("c", "morning", more=False))
    second = await said(socket)
    starts = [one["word_timestamps"]["start"] for one in second if one["type"] == "timestamps"]
    good = await tones("Good ", "en", PCMU_8K)
    assert starts[0][0] == pytest.approx(PCMU_8K.duration_ms(len(good.audio)) / 1000)
    assert first[0]["flush_id"] == 1
    assert second[0]["flush_id"] == 2
    assert simulator.counts.contexts == 1


async def test_contexts_interleave(socket: ClientWebSocketResponse, simulator: CartesiaSimulator) -> None:
    simulator.timings.set("inter_chunk", Profile.fixed(5))
    for name in "ab":
        await socket.send_str(ask(name, "one sentence that is long enough"))
    messages = await said(socket) + await said(socket)
    order = [message["context_id"] for message in messages if message["type"] == "chunk"]
    assert order.index("b") < len(order) - 1 - order[::-1].index("a")


async def test_a_field_that_changes_within_a_context_is_refused(
    socket: ClientWebSocketResponse, simulator: CartesiaSimulator
) -> None:
    await socket.send_str(ask("c", "Good ", more=True))
    await socket.send_str(ask("c", "morning", language="es"))
    (error,) = [one for one in await said(socket, '"error"') if one["type"] == "error"]
    assert error["status_code"] == 400
    assert error["context_id"] == "c"
    assert simulator.counts.errors[-1] == (400, "context_fields_changed")


async def test_cancelling_lets_what_is_under_way_end_and_begins_nothing_new(
    socket: ClientWebSocketResponse, simulator: CartesiaSimulator
) -> None:
    simulator.timings.set("inter_chunk", Profile.fixed(10))
    await socket.send_str(ask("c", "this one is under way", more=True))
    await socket.send_str(ask("c", "this one is not"))
    await said(socket, '"chunk"')
    await socket.send_str('{"context_id":"c","cancel":true}')
    rest = await said(socket, "flush_done")
    assert any(message["type"] == "chunk" for message in rest)
    await until(lambda: simulator.counts.active == 0)
    assert simulator.counts.finished == 0
    assert simulator.counts.cancelled == 1


async def test_a_context_that_nobody_ends_expires(
    socket: ClientWebSocketResponse, simulator: CartesiaSimulator
) -> None:
    simulator.timings.scale = 0.02  # 1 s is 20 ms
    await socket.send_str(ask("c", "Good ", more=True))
    await until(lambda: simulator.counts.expired == 1)
    await socket.send_str(ask("c", "morning"))
    (error,) = [one for one in await said(socket, '"error"') if one["type"] == "error"]
    assert error["error_code"] == "context_expired"


async def test_the_plan_s_limit_counts_contexts(
    socket: ClientWebSocketResponse, simulator: CartesiaSimulator
) -> None:
    simulator.timings.set("first_audio", Profile.fixed(500))
    for name in "abcd":
        await socket.send_str(ask(name, "hello"))
    (error,) = await said(socket, '"error"')
    assert (error["context_id"], error["status_code"]) == ("d", 429)


@pytest.mark.parametrize(
    "wrong",
    [
        {"model_id": "opus"},
        {"voice": {"mode": "id"}},
        {"max_buffer_delay_ms": 9_000},
        {"output_format": {"container": "wav", "encoding": "pcm_mulaw", "sample_rate": 8000}},
        {"output_format": {"container": "raw", "encoding": "mp3", "sample_rate": 8000}},
        {"output_format": {"container": "raw", "encoding": "pcm_mulaw", "sample_rate": 11025}},
        {"transcript": None},
    ],
)
async def test_what_cartesia_refuses(socket: ClientWebSocketResponse, wrong: dict[str, Any]) -> None:
    await socket.send_str(
        ask("c", "hello", **wrong) if "transcript" not in wrong else ask("c", "x").replace('"x"', "1")
    )
    (error,) = await said(socket, '"error"')
    assert error["status_code"] == 400


async def test_no_json_is_an_error_of_the_socket(socket: ClientWebSocketResponse) -> None:
    await socket.send_str("{")
    (error,) = await said(socket, '"error"')
    assert "context_id" not in error


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": "Bearer k"}, 400),
        (HEADERS | {"Cartesia-Version": "1999-01-01"}, 400),
        (HEADERS | {"Authorization": "Bearer wrong"}, 401),
    ],
)
async def test_upgrades_that_are_refused(
    http: ClientSession, simulator: CartesiaSimulator, headers: dict[str, str], status: int
) -> None:
    with pytest.raises(WSServerHandshakeError) as caught:
        await http.ws_connect(f"{simulator.url}/tts/websocket", headers=headers)
    assert caught.value.status == status


async def test_an_idle_socket_is_closed_with_1000(http: ClientSession, simulator: CartesiaSimulator) -> None:
    simulator.timings.scale = 0.0002  # 5 minutes are 60 ms
    opened = await http.ws_connect(f"{simulator.url}/tts/websocket", headers=HEADERS)
    await opened.receive()
    assert opened.close_code == 1000
    await opened.close()


async def test_a_word_can_be_told_by_its_tone() -> None:
    text = "Tuesday morning, please!"
    spoken = await tones(text, "en", PCMU_8K)
    samples = np.frombuffer(make_decoder(PCMU_8K).decode(spoken.audio), "<i2")
    for word, start_ms, end_ms in spoken.words:
        part = samples[int(start_ms * 8) : int(end_ms * 8)]
        loudest = np.argmax(np.abs(np.fft.rfft(part))) * 8000 / len(part)
        assert min(TONES_HZ, key=lambda hz: abs(hz - loudest)) == tone_of(word)
    assert len({tone_of(word) for word in "how much is a first visit please today".split()}) > 3


async def test_g722_is_not_made() -> None:
    with pytest.raises(ValueError, match="stateful"):
        await tones("hello", "en", G722_16K)


async def test_the_embedded_voice_speaks_once_and_remembers() -> None:
    tts = EmbeddedTTS(ProviderContext(load_agent(None), LoopClock()))
    voice = EmbeddedVoice(tts)
    spoken = await voice("Good morning, Anna.", "en", linear(8000))
    assert [word for word, _, _ in spoken.words] == ["Good", "morning,", "Anna."]
    assert len(spoken.audio) > 8000
    await tts.close()
    assert await voice("Good morning, Anna.", "en", linear(8000)) is spoken
