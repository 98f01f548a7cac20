"""Each stub does the same inside the process and over a real socket."""

import asyncio
from collections.abc import Callable

import pytest

from agent.agentfile.schema import AgentFile
from agent.audio.formats import PCMU_8K
from agent.clock import LoopClock
from agent.errors import ConfigError, ProviderUnavailable
from agent.plugins import LLM, STT, TTS, load
from agent.providers import (
    ChatRequest,
    ListenRequest,
    Message,
    ProviderContext,
    Role,
    SpeechRequest,
    TextDelta,
    Transcript,
)
from loadtest.callers.codec import codec_for
from loadtest.callers.ear import audible_span
from loadtest.stubs.llm import StubLLM
from loadtest.stubs.script import StubScript
from loadtest.stubs.server import listen
from loadtest.stubs.stt import RemoteStream, StubSTT
from loadtest.stubs.tts import StubTTS

REQUEST = ChatRequest("CA1", (Message(Role.USER, "hello"),), "en-US")
SENTENCE = SpeechRequest("We are open from Monday to Friday.", "en-US", PCMU_8K)


class Listener:
    def __init__(self) -> None:
        self.heard: list[Transcript] = []
        self.failures: list[Exception] = []
        self.more = asyncio.Event()

    def transcript(self, transcript: Transcript) -> None:
        self.heard.append(transcript)
        self.more.set()

    def stt_failed(self, error: Exception) -> None:
        self.failures.append(error)
        self.more.set()


async def until(listener: Listener, condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            listener.more.clear()
            await listener.more.wait()


async def test_speech_gives_partials_and_finalize_one_flushed_final(context: ProviderContext) -> None:
    listener = Listener()
    stt = StubSTT(context)
    stream = await stt.open(ListenRequest(stt.input_format(PCMU_8K), ("en-US",)), listener)
    voice = StubScript().speech_source()
    for at in range(0, 8_000, 160):
        stream.feed(voice[at : at + 160])
    stream.finalize()
    await until(listener, lambda: listener.heard and listener.heard[-1].flushed)
    *partials, final = listener.heard
    assert partials
    assert not any(each.final for each in partials)
    assert final == Transcript(StubScript().heard, final=True, flushed=True)
    stream.finalize()
    await until(listener, lambda: listener.heard[-1].text == "")
    await stream.close()
    stream.feed(voice[:160])
    await stt.close()
    assert not listener.failures


async def test_the_model_streams_its_tokens_and_can_be_left_early(context: ProviderContext) -> None:
    llm = StubLLM(context)
    await llm.warm()
    events = [event async for event in llm.reply(REQUEST)]
    assert len(events) == 40
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == StubScript().reply
    early = llm.reply(REQUEST)
    assert await anext(early) == events[0]
    await early.aclose()
    assert [event async for event in llm.reply(REQUEST)] == events
    await llm.close()


async def test_many_sentences_share_the_connection_and_are_not_mixed_up(context: ProviderContext) -> None:
    tts = StubTTS(context)

    async def speak(text: str) -> bytes:
        request = SpeechRequest(text, "en-US", PCMU_8K)
        return b"".join([chunk.audio async for chunk in tts.speak(request)])

    texts = ["x" * length for length in (12, 30, 55, 80)]
    spoken = await asyncio.gather(*map(speak, texts))
    assert [PCMU_8K.duration_ms(len(audio)) for audio in spoken] == [480, 1200, 2200, 3200]
    span = audible_span(codec_for(PCMU_8K).decode(spoken[0]))
    assert span is not None
    assert span[0] < 40
    await tts.close()


async def test_a_stub_that_is_not_there_is_unavailable(agent: AgentFile) -> None:
    server = await listen(StubScript())
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    context = ProviderContext(agent, LoopClock(), {"address": f"127.0.0.1:{port}"})
    with pytest.raises(ProviderUnavailable, match="no stub"):
        await StubLLM(context).warm()
    with pytest.raises(ProviderUnavailable, match="no stub"):
        await StubSTT(context).open(ListenRequest(PCMU_8K, ("en-US",)), Listener())


async def test_a_connection_that_is_cut_fails_what_was_waiting_and_is_opened_again(agent: AgentFile) -> None:
    server = await listen(StubScript(first_token_ms=500.0, token_ms=0.0))
    port = server.sockets[0].getsockname()[1]
    options = {"address": f"127.0.0.1:{port}"}
    llm, stt = (
        StubLLM(ProviderContext(agent, LoopClock(), options)),
        StubSTT(ProviderContext(agent, LoopClock(), options)),
    )
    listener = Listener()
    stream = await stt.open(ListenRequest(PCMU_8K, ("en-US",)), listener)
    assert isinstance(stream, RemoteStream)
    assert stream.connection._transport is not None
    stream.connection._transport.abort()
    await until(listener, lambda: listener.failures)
    assert isinstance(listener.failures[0], ProviderUnavailable)

    waiting = asyncio.ensure_future(anext(llm.reply(REQUEST)))
    link = llm._link
    assert link is not None
    connection = await link.get()
    await asyncio.sleep(0.01)
    assert connection._transport is not None
    connection._transport.abort()
    with pytest.raises(ProviderUnavailable, match="lost"):
        await waiting
    assert len([event async for event in llm.reply(REQUEST)]) == 40
    await llm.close()
    server.close()


def test_an_agent_file_without_address_is_told_what_is_missing(agent: AgentFile) -> None:
    for group in (STT, LLM, TTS):
        with pytest.raises(ConfigError, match="address"):
            load(group, "stub")(ProviderContext(agent, LoopClock.__new__(LoopClock)))
