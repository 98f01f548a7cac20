"""The simulated Deepgram, by its wire: what it refuses, what it says when, and how it ends."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from agent.audio.formats import PCMU_8K
from agent.clock import LoopClock
from loadtest.simulators.audio_fingerprint import Fingerprints
from loadtest.simulators.deepgram_live import TIMINGS, DeepgramLiveSimulator
from loadtest.simulators.faults import Fault
from loadtest.simulators.profile import Profile, Timings
from tests.loadtest.simulators.test_audio_fingerprint import SENTENCES, quiet, spoken
from tests.providers.deepgram.conftest import mu_law, until

PHONE = {"model": "nova-3", "encoding": "mulaw", "sample_rate": "8000", "endpointing": "false"}
LIVELY = PHONE | {"interim_results": "true", "punctuate": "true"}
TEXT = SENTENCES[2]


@pytest.fixture
async def sounds() -> dict[str, bytes]:
    return await spoken(*SENTENCES)


@pytest.fixture
async def simulator(sounds: dict[str, bytes]) -> AsyncIterator[DeepgramLiveSimulator]:
    timings = Timings({name: Profile.fixed(0) for name in TIMINGS})
    async with DeepgramLiveSimulator(
        LoopClock(), Fingerprints(sounds), timings=timings, api_key="k"
    ) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def listen(
    http: ClientSession, simulator: DeepgramLiveSimulator, query: dict[str, str] | None = None
) -> ClientWebSocketResponse:
    headers = {"Authorization": "Token k"}
    return await http.ws_connect(f"{simulator.url}/v1/listen", params=query or LIVELY, headers=headers)


async def say(socket: ClientWebSocketResponse, audio: bytes) -> None:
    for start in range(0, len(audio), 480):
        await socket.send_bytes(audio[start : start + 480])


async def heard(socket: ClientWebSocketResponse, last: str) -> list[dict[str, Any]]:
    """Messages up to one that has `last` in it."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while True:
            message = await socket.receive()
            assert message.type is WSMsgType.TEXT, message
            found.append(orjson.loads(message.data))
            if last in message.data:
                return found


def text_of(message: dict[str, Any]) -> str:
    text: str = message["channel"]["alternatives"][0]["transcript"]
    return text


async def test_partials_grow_and_finalize_gets_the_whole_sentence(
    http: ClientSession, simulator: DeepgramLiveSimulator, sounds: dict[str, bytes]
) -> None:
    socket = await listen(http, simulator)
    await say(socket, mu_law(sounds[TEXT]))
    await socket.send_str('{"type":"Finalize"}')
    *partials, final = await heard(socket, '"from_finalize":true')
    assert text_of(final) == TEXT
    assert final["is_final"]
    assert not final["speech_final"]
    assert len(partials) >= 1
    assert all(TEXT.startswith(text_of(partial)) and not partial["is_final"] for partial in partials)
    words = final["channel"]["alternatives"][0]["words"]
    assert [word["punctuated_word"] for word in words] == TEXT.split()
    assert words[-1]["word"] == "morning"
    assert simulator.heard[-1] == TEXT
    await socket.close()


async def test_without_punctuation_words_are_plain(
    http: ClientSession, simulator: DeepgramLiveSimulator, sounds: dict[str, bytes]
) -> None:
    socket = await listen(http, simulator, PHONE)
    await say(socket, mu_law(sounds[TEXT]))
    await socket.send_str('{"type":"Finalize"}')
    messages = await heard(socket, "from_finalize")
    assert [text_of(message) for message in messages] == ["do you have time on tuesday morning"]
    await socket.close()


async def test_close_stream_gives_the_rest_then_metadata_then_1000(
    http: ClientSession, simulator: DeepgramLiveSimulator, sounds: dict[str, bytes]
) -> None:
    socket = await listen(http, simulator, PHONE)
    await say(socket, mu_law(sounds[TEXT]))
    await socket.send_str('{"type":"CloseStream"}')
    results, metadata = await heard(socket, "Metadata")
    assert text_of(results).startswith("do you have time")
    assert metadata["duration"] == pytest.approx(len(mu_law(sounds[TEXT])) / 8000, abs=0.02)
    assert (await socket.receive()).type in (WSMsgType.CLOSE, WSMsgType.CLOSED)
    assert socket.close_code == 1000
    await until(lambda: simulator.counts.finished == 1)


async def test_its_own_endpointing_and_vad_events(
    http: ClientSession, simulator: DeepgramLiveSimulator, sounds: dict[str, bytes]
) -> None:
    query = LIVELY | {"endpointing": "300", "vad_events": "true", "utterance_end_ms": "1000"}
    socket = await listen(http, simulator, query)
    await say(socket, mu_law(sounds[TEXT]) + quiet(PCMU_8K, 1500))
    messages = await heard(socket, "UtteranceEnd")
    kinds = [message["type"] for message in messages]
    assert kinds[0] == "SpeechStarted"
    final = next(message for message in messages if message.get("speech_final"))
    assert text_of(final) == TEXT
    assert messages[-1]["last_word_end"] > 1
    await socket.close()


async def test_a_long_utterance_yields_several_finals(
    http: ClientSession, simulator: DeepgramLiveSimulator, sounds: dict[str, bytes]
) -> None:
    socket = await listen(http, simulator)
    for text in SENTENCES[:4] * 2:
        await say(socket, mu_law(sounds[text])[:-3200])
    await say(socket, b"\xff" * 3200)
    await socket.send_str('{"type":"Finalize"}')
    messages = await heard(socket, '"from_finalize":true')
    finals = [text_of(message) for message in messages if message["is_final"]]
    assert len(finals) >= 2
    assert " ".join(filter(None, finals)) == " ".join(SENTENCES[:4] * 2)
    await socket.close()


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"model": "nebula"}, "No such model"),
        ({"encoding": "mp3"}, "encoding"),
        ({"sample_rate": "fast"}, "sample_rate"),
        ({"sample_rate": "96000"}, "sample_rate"),
        ({"interim_results": "maybe"}, "interim_results"),
        ({"endpointing": "soon"}, "endpointing"),
        ({"colour": "blue"}, "colour"),
        ({"model": "nova-2", "keyterm": "x"}, "keyterm"),
        ({"utterance_end_ms": "1000"}, "utterance_end_ms"),
    ],
)
async def test_what_deepgram_refuses(
    http: ClientSession, simulator: DeepgramLiveSimulator, query: dict[str, str], says: str
) -> None:
    with pytest.raises(WSServerHandshakeError) as caught:
        await listen(http, simulator, PHONE | query)
    assert caught.value.status == 400
    assert says in caught.value.headers["dg-error"]  # type: ignore[index]  # the answer always has headers
    assert simulator.counts.refused[-1] == (400, "INVALID_QUERY_PARAMETER")


async def test_an_unknown_command_ends_the_socket(
    http: ClientSession, simulator: DeepgramLiveSimulator
) -> None:
    for command in ('{"type":"Dance"}', "[]", "{"):
        socket = await listen(http, simulator)
        await socket.send_str(command)
        await socket.receive()
        assert socket.close_code == 1008


@pytest.mark.parametrize("audio", [b"", b"\xff" * 160])
async def test_keep_alive_holds_only_what_has_had_audio(
    http: ClientSession, simulator: DeepgramLiveSimulator, audio: bytes
) -> None:
    simulator.timings.scale = 0.06  # 10 s are 600 ms
    socket = await listen(http, simulator)
    if audio:
        await socket.send_bytes(audio)
    for _ in range(14):
        await asyncio.sleep(0.05)
        if simulator.counts.idle:
            break
        await socket.send_str('{"type":"KeepAlive"}')
    if audio:
        assert simulator.counts.idle == 0
    else:
        await socket.receive()
        assert socket.close_code == 1011
        assert simulator.counts.idle == 1
    await socket.close()


async def test_results_take_the_vendor_s_time(
    http: ClientSession, simulator: DeepgramLiveSimulator, sounds: dict[str, bytes]
) -> None:
    simulator.timings.set("final", Profile.fixed(150))
    clock = LoopClock()
    socket = await listen(http, simulator, PHONE)
    await say(socket, mu_law(sounds[TEXT]))
    began_ms = clock.now_ms()
    await socket.send_str('{"type":"Finalize"}')
    await heard(socket, "from_finalize")
    assert clock.now_ms() - began_ms >= 149
    await socket.close()


async def test_faults_and_profile_are_switched_over_http(
    http: ClientSession, simulator: DeepgramLiveSimulator
) -> None:
    base = "http" + simulator.url.removeprefix("ws")
    async with http.put(f"{base}/faults", json={"share": 1, "kinds": ["server_error"]}) as answer:
        assert answer.status == 200
    with pytest.raises(WSServerHandshakeError):
        await listen(http, simulator)
    assert simulator.faults.done == {Fault.SERVER_ERROR: 1}
    async with http.put(f"{base}/profile", json={"final": "cartesia.ink-2.final"}) as answer:
        assert answer.status == 200
    assert simulator.timings.profiles["final"].p99_ms == 1584
