"""The embedded recogniser from the server's side: a process of its own, and calls without it."""

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest

from agent.agentfile import load_agent
from agent.audio.formats import G722_16K, PCMA_8K, PCMU_8K, linear
from agent.clock import LoopClock
from agent.providers import ListenRequest, ProviderContext, Transcript
from providers.embedded.stt import EmbeddedSTT
from tests.speech import speech

SILENCE = bytes(2 * 8_000 * 3 // 10)
PATIENCE_S = 30.0
"""For what is sure to come: other processes share a test machine."""


class Listener:
    def __init__(self) -> None:
        self.transcripts: list[Transcript] = []
        self.flushed = asyncio.Event()
        self.failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    def transcript(self, transcript: Transcript) -> None:
        self.transcripts.append(transcript)
        if transcript.flushed:
            self.flushed.set()

    def stt_failed(self, error: Exception) -> None:
        self.failed.set_result(error)


@pytest.fixture
async def context() -> ProviderContext:
    return ProviderContext(load_agent(None), LoopClock())


@pytest.fixture
async def stt(context: ProviderContext) -> AsyncIterator[EmbeddedSTT]:
    provider = EmbeddedSTT(context)
    yield provider
    await provider.close()


async def understood(stt: EmbeddedSTT, text: str, language: str = "en", voice: str = "en-us") -> str:
    listener = Listener()
    stream = await stt.open(ListenRequest(linear(8_000), (language,)), listener)
    pcm = SILENCE + speech(text, voice=voice) + SILENCE
    for at in range(0, len(pcm), 320):
        stream.feed(pcm[at : at + 320])
    stream.finalize()
    async with asyncio.timeout(PATIENCE_S):
        await listener.flushed.wait()
    await stream.close()
    final = listener.transcripts[-1]
    assert final.final
    assert all(not earlier.final for earlier in listener.transcripts[:-1])
    return final.text


async def test_it_hears_in_the_language_of_the_call(stt: EmbeddedSTT) -> None:
    await stt.warm()
    assert await understood(stt, "can i pay by card") == "can i pay by card"
    assert await understood(stt, "el viernes por la mañana", "es", "es") == "el viernes por la mañana"


async def test_a_process_that_dies_fails_its_calls_and_the_next_call_gets_a_new_one(
    stt: EmbeddedSTT, caplog: pytest.LogCaptureFixture
) -> None:
    listener = Listener()
    stream = await stt.open(ListenRequest(linear(8_000), ("en",)), listener)
    process = stt._process
    assert process is not None
    process.send_signal(signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_S):
        error = await listener.failed
    assert "status -9" in str(error)
    stream.feed(SILENCE)
    stream.finalize()
    await stream.close()
    assert await understood(stt, "yes") == "yes"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_calls_are_heard_to_their_end_while_the_server_is_stopped(
    stt: EmbeddedSTT, number: signal.Signals
) -> None:
    """A terminal or a service manager signals the server's processes all at once."""
    await stt.warm()
    assert stt._process is not None
    stt._process.send_signal(number)
    assert await understood(stt, "yes") == "yes"


async def test_a_closed_stream_reports_nothing_more(stt: EmbeddedSTT) -> None:
    listener = Listener()
    stream = await stt.open(ListenRequest(linear(8_000), ("en",)), listener)
    stream.feed(SILENCE)
    stream.finalize()
    await stream.close()
    assert await understood(stt, "no") == "no"
    assert listener.transcripts == []


async def test_closing_twice_is_closing_once(stt: EmbeddedSTT) -> None:
    await stt.warm()
    await stt.close()
    await stt.close()


async def test_it_asks_for_the_rate_that_the_line_has(stt: EmbeddedSTT) -> None:
    assert stt.input_format(PCMU_8K) == stt.input_format(PCMA_8K) == linear(8_000)
    assert stt.input_format(G722_16K) == stt.input_format(linear(48_000)) == linear(16_000)
