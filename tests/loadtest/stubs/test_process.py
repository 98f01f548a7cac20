"""The real process: started, used and stopped. It runs on uvloop, unlike the tests' own loop."""

import pytest

from agent.agentfile.schema import AgentFile
from agent.audio.formats import PCMU_8K
from agent.clock import LoopClock
from agent.providers import ChatRequest, Message, ProviderContext, Role, SpeechRequest
from loadtest.callers.errors import Unreachable
from loadtest.stubs.llm import StubLLM
from loadtest.stubs.process import StubProcess
from loadtest.stubs.tts import StubTTS


async def test_it_serves_what_it_was_told_and_is_gone_afterwards(agent: AgentFile) -> None:
    async with StubProcess(tokens=10, token_ms=5, chars_per_s=10) as stubs:
        clock = LoopClock()
        context = ProviderContext(agent, clock, {"address": stubs.address})
        llm, tts = StubLLM(context), StubTTS(context)
        begun_ms = clock.now_ms()
        request = ChatRequest("CA1", (Message(Role.USER, "hello"),), "en-US")
        assert len([event async for event in llm.reply(request)]) == 10
        # Nine waits of 5 ms: absolute deadlines, so that late timers do not add up.
        assert clock.now_ms() - begun_ms >= 43
        spoken = [chunk async for chunk in tts.speak(SpeechRequest("twenty letters, yes.", "en-US", PCMU_8K))]
        assert PCMU_8K.duration_ms(sum(len(chunk.audio) for chunk in spoken)) == 2000
        await llm.close()
        await tts.close()
        process = stubs._process
    assert process is not None
    assert process.returncode is not None
    await stubs.stop()


async def test_one_that_does_not_start_says_how_to_look_into_it() -> None:
    with pytest.raises(Unreachable, match=r"loadtest\.stubs\.server"):
        async with StubProcess(tokens="none"):
            pass
