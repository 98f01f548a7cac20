"""Chains: who is asked, in which order, for how long, and what a reply sees of it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from agent.agentfile import load_agent, parse_agent
from agent.agentfile.schema import Limits
from agent.audio.formats import PCMU_8K, AudioFormat, linear
from agent.chains import CLOSE_MS, NEXT_EVENT_MS, WARM_MS, LLMChain, STTChain, TTSChain
from agent.errors import ProviderError, ProviderRejected, ProviderTimeout, ProviderUnavailable
from agent.providers import (
    ChatRequest,
    ListenRequest,
    LLMEvent,
    ProviderContext,
    SpeechChunk,
    SpeechRequest,
    TextDelta,
    ToolCall,
)
from agent.server import Server
from agent.settings import Settings
from tests.virtual import run_virtually

REQUEST = ChatRequest("CA1", (), "en")
SPEECH = SpeechRequest("Hello.", "en", PCMU_8K)
LIMITS = Limits(llm_first_token_ms=500, tts_first_audio_ms=400, stt_open_ms=300)


def unavailable(name: str) -> ProviderUnavailable:
    return ProviderUnavailable(name, "refused")


class Fake:
    """Plays a script: texts and chunks are yielded, numbers waited for (ms), errors raised."""

    finalizes_pauses = False

    def __init__(self, name: str, *script: Any) -> None:
        self.name = name
        self.script = script
        self.asked = 0
        self.closed_streams = 0
        self.closed = False
        self.seen: list[Any] = []

    async def warm(self) -> None:
        await self._act()

    async def close(self) -> None:
        self.closed = True
        await self._act()

    async def reply(self, request: ChatRequest) -> AsyncIterator[LLMEvent]:
        async with aclosing(self._play(request)) as items:
            async for item in items:
                yield TextDelta(item) if isinstance(item, str) else item

    async def speak(self, request: SpeechRequest) -> AsyncIterator[SpeechChunk]:
        async with aclosing(self._play(request)) as items:
            async for item in items:
                yield SpeechChunk(item, PCMU_8K)

    def input_format(self, line: AudioFormat) -> AudioFormat:
        return linear(16_000)

    async def open(self, request: ListenRequest, listener: Any) -> "Fake":
        self.asked += 1
        self.seen.append(request)
        await self._act()
        return self

    async def _act(self) -> None:
        for step in self.script:
            if isinstance(step, Exception):
                raise step
            await asyncio.sleep(step / 1000)

    async def _play(self, request: Any) -> AsyncGenerator[Any, None]:
        self.asked += 1
        self.seen.append(request)
        try:
            for step in self.script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, int):
                    await asyncio.sleep(step / 1000)
                else:
                    yield step
        finally:
            self.closed_streams += 1


class Heard:
    """What a reply sees of a chain."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.served: list[str] = []
        self.error: BaseException | None = None
        self.took_ms = 0.0

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))


async def listen(chain: LLMChain | TTSChain) -> Heard:
    """Take all that a chain gives."""
    heard = Heard()
    loop = asyncio.get_running_loop()
    began = loop.time()
    events: Any = (
        chain.reply(REQUEST, heard.served.append)
        if isinstance(chain, LLMChain)
        else chain.speak(SPEECH, heard.served.append)
    )
    try:
        async with aclosing(events):
            async for event in events:
                heard.events.append(event)
    except ProviderError as error:
        heard.error = error
    heard.took_ms = (loop.time() - began) * 1000
    return heard


def llm(*providers: Any) -> LLMChain:
    return LLMChain(providers, LIMITS)


def asking(*providers: Any, chain: Callable[..., Any] = llm) -> Heard:
    """Ask a chain on virtual time."""

    async def scenario() -> Heard:
        return await listen(chain(*providers))

    return run_virtually(scenario)


def test_the_first_one_answers_and_the_others_are_not_asked() -> None:
    one, two = Fake("one", "Hello", " there"), Fake("two", "Hi")
    heard = asking(one, two)
    assert (heard.text, heard.served, heard.error) == ("Hello there", ["one"], None)
    assert (one.asked, one.closed_streams, two.asked) == (1, 1, 0)


@pytest.mark.parametrize("error", [ProviderUnavailable, ProviderTimeout, ProviderRejected])
def test_the_next_one_takes_over_in_the_order_of_the_list(error: type[ProviderError]) -> None:
    one, two, three = Fake("one", error("one", "no")), Fake("two", error("two", "no")), Fake("three", "Hi")
    heard = asking(one, two, three)
    assert (heard.text, heard.served) == ("Hi", ["three"])
    assert (one.closed_streams, two.closed_streams) == (1, 1)


def test_a_tool_call_counts_as_an_answer() -> None:
    heard = asking(Fake("one", ToolCall("1", "book", "{}"), unavailable("one")), Fake("two", "Hi"))
    assert heard.served == ["one"]
    assert isinstance(heard.error, ProviderUnavailable)


def test_after_some_output_nobody_starts_again() -> None:
    one, two = Fake("one", "We are ", unavailable("one")), Fake("two", "We are open.")
    heard = asking(one, two)
    assert heard.text == "We are "
    assert str(heard.error) == "one: refused"
    assert (one.closed_streams, two.asked) == (1, 0)


def test_empty_pieces_are_no_output() -> None:
    heard = asking(Fake("one", "", unavailable("one")), Fake("two", "Hi"))
    assert (heard.text, heard.served) == ("Hi", ["two"])


def test_an_answer_without_a_word_is_a_failure() -> None:
    heard = asking(Fake("one", ""), Fake("two"), Fake("three", "Hi"))
    assert (heard.text, heard.served) == ("Hi", ["three"])


def test_when_all_have_nothing_to_say_so_has_the_chain() -> None:
    heard = asking(Fake("one"), Fake("two"))
    assert (heard.events, heard.served, heard.error) == ([], [], None)


def test_when_all_fail_each_cause_is_told() -> None:
    heard = asking(
        Fake("one", unavailable("one")),
        Fake("two", 9000, "late"),
        Fake("three", ProviderRejected("three", "bad key")),
    )
    assert isinstance(heard.error, ProviderUnavailable)
    assert str(heard.error) == (
        "llm: all failed: one: refused; two: nothing for 500 ms; three: three: bad key".replace(
            "three: three", "three"
        )
    )
    group = heard.error.__cause__
    assert isinstance(group, ExceptionGroup)
    assert [type(cause) for cause in group.exceptions] == [
        ProviderUnavailable, ProviderTimeout, ProviderRejected,
    ]  # fmt: skip
    assert heard.served == []


def test_failures_are_counted_by_name() -> None:
    async def scenario() -> dict[str, int]:
        chain = llm(Fake("one", unavailable("one")), Fake("two", "Hi", unavailable("two")))
        for _ in range(3):
            await listen(chain)
        return chain.failures

    assert run_virtually(scenario) == {"one": 3, "two": 3}


def test_the_first_output_must_come_in_time() -> None:
    slow = Fake("slow", 501, "late")
    heard = asking(slow, Fake("two", 499, "Hi"))
    assert heard.text == "Hi"
    assert heard.took_ms == pytest.approx(999)
    assert slow.closed_streams == 1


def test_empty_pieces_do_not_buy_time() -> None:
    heard = asking(Fake("slow", 300, "", 300, "late"), Fake("two", "Hi"))
    assert heard.text == "Hi"
    assert heard.took_ms == pytest.approx(500)


def test_a_stream_that_goes_silent_is_given_up() -> None:
    silent = Fake("one", "So", 400, " far", 3_600_000, "!")
    heard = asking(silent, Fake("two", "Hi"))
    assert heard.text == "So far"
    assert str(heard.error) == f"one: nothing for {NEXT_EVENT_MS} ms"
    assert heard.took_ms == pytest.approx(400 + NEXT_EVENT_MS)
    assert silent.closed_streams == 1


def test_a_reader_that_takes_its_time_does_not_use_up_the_providers() -> None:
    async def scenario() -> str:
        text = ""
        async with aclosing(llm(Fake("one", "a", "b")).reply(REQUEST, lambda _: None)) as events:
            async for event in events:
                assert isinstance(event, TextDelta)
                text += event.text
                await asyncio.sleep(60)
        return text

    assert run_virtually(scenario) == "ab"


def test_a_bug_in_a_provider_is_its_failure_not_the_calls(caplog: pytest.LogCaptureFixture) -> None:
    heard = asking(Fake("one", KeyError("choices")), Fake("two", "Hi"))
    assert heard.text == "Hi"
    assert "provider one raised an error that is not a ProviderError" in caplog.text
    assert "KeyError: 'choices'" in caplog.text


def test_a_time_out_of_the_providers_own_is_one() -> None:
    heard = asking(Fake("one", "Hi", TimeoutError()))
    assert isinstance(heard.error, ProviderTimeout)


@pytest.mark.parametrize("script", [(60_000, "late"), ("Hi", 9_000, "more")])
def test_cancelling_closes_the_stream_at_once(script: tuple[Any, ...]) -> None:
    one, two = Fake("one", *script), Fake("two", "Hi")

    async def scenario() -> None:
        task = asyncio.create_task(listen(llm(one, two)))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtually(scenario)
    assert (one.closed_streams, two.asked) == (1, 0)


def test_a_reader_that_has_enough_closes_the_stream() -> None:
    one = Fake("one", "a", "b", "c")

    async def scenario() -> None:
        events = llm(one).reply(REQUEST, lambda _: None)
        await anext(events)
        await events.aclose()

    run_virtually(scenario)
    assert one.closed_streams == 1


class Sticky(Fake):
    """Does not let go of its stream."""

    async def reply(self, request: ChatRequest) -> AsyncIterator[LLMEvent]:
        try:
            yield TextDelta("Hi")
        finally:
            await asyncio.sleep(3600)


def test_a_stream_that_does_not_close_is_left_after_a_while() -> None:
    async def scenario() -> float:
        loop = asyncio.get_running_loop()
        events = llm(Sticky("one")).reply(REQUEST, lambda _: None)
        await anext(events)
        began = loop.time()
        await events.aclose()
        return (loop.time() - began) * 1000

    assert run_virtually(scenario) == pytest.approx(CLOSE_MS)


# --- speech --------------------------------------------------------------------------------------------


def tts(*providers: Any) -> TTSChain:
    return TTSChain(providers, LIMITS)


def test_speech_is_bounded_by_its_own_limit() -> None:
    heard = asking(Fake("slow", 401, b"x"), Fake("two", b"ab", b"cd"), chain=tts)
    assert ([chunk.audio for chunk in heard.events], heard.served) == ([b"ab", b"cd"], ["two"])
    assert heard.took_ms == pytest.approx(400)


def test_a_sentence_that_breaks_off_is_gone_on_with_by_the_next_voice() -> None:
    one, two = Fake("one", b"ab", unavailable("one")), Fake("two", b"cd")
    heard = asking(one, two, chain=tts)
    assert ([chunk.audio for chunk in heard.events], heard.served) == ([b"ab", b"cd"], ["one", "two"])
    assert heard.error is None
    assert (one.asked, two.asked) == (1, 1)


def test_a_sentence_that_comes_slower_than_it_is_spoken_is_gone_on_with_by_the_next_voice() -> None:
    slow, two = Fake("slow", b"ab", 1_300, b"cd", 60_000, b"ef"), Fake("two", b"gh")
    heard = asking(slow, two, chain=tts)
    assert [chunk.audio for chunk in heard.events] == [b"ab", b"cd", b"gh"]
    assert heard.took_ms == pytest.approx(1_300)
    assert slow.closed_streams == 1


def test_a_slow_voice_that_is_the_only_one_is_heard_to_its_end() -> None:
    heard = asking(Fake("slow", b"ab", 1_300, b"cd", 1_300, b"ef"), chain=tts)
    assert [chunk.audio for chunk in heard.events] == [b"ab", b"cd", b"ef"]


def test_chunks_without_audio_are_not_speech_yet() -> None:
    heard = asking(Fake("one", b"", unavailable("one")), Fake("two", b"ab"), chain=tts)
    assert (b"".join(chunk.audio for chunk in heard.events), heard.served) == (b"ab", ["two"])


# --- recognition ---------------------------------------------------------------------------------------


def stt(*providers: Any) -> STTChain:
    return STTChain(providers, LIMITS)


def opened(chain: STTChain, after: str | None = None) -> Any:
    """Open a stream on virtual time: the opened stream, or the error."""

    async def scenario() -> Any:
        listener: Any = None
        try:
            return await chain.open(PCMU_8K, ("en", "es"), ("hello",), listener, after=after)
        except ProviderError as error:
            return error

    return run_virtually(scenario)


def test_the_first_recogniser_that_opens_is_used_in_the_format_it_wants() -> None:
    one, two = Fake("one", unavailable("one")), Fake("two")
    found = opened(stt(one, two))
    assert (found.provider, found.audio, found.stream) == ("two", linear(16_000), two)
    assert two.seen == [ListenRequest(linear(16_000), ("en", "es"), ("hello",))]


def test_a_recogniser_that_does_not_open_in_time_is_passed_over() -> None:
    assert opened(stt(Fake("slow", 301), Fake("two", 299))).provider == "two"


def test_after_a_failure_the_next_in_the_ring_is_first() -> None:
    names = ("one", "two", "three")
    chain = stt(*(Fake(name) for name in names))
    assert [opened(chain, after=name).provider for name in names] == ["two", "three", "one"]
    assert opened(chain, after="unheard of").provider == "one"


def test_the_only_recogniser_is_tried_again() -> None:
    assert opened(stt(Fake("one")), after="one").provider == "one"


def test_two_of_one_vendor_are_told_apart() -> None:
    chain = stt(Fake("a"), Fake("a"), Fake("b"), Fake("a"))
    assert [name for name, _ in chain.entries] == ["a", "a#2", "b", "a#3"]
    assert opened(chain, after="a").provider == "a#2"
    assert opened(chain, after="a#2").provider == "b"


def test_no_recogniser_at_all_tells_each_cause() -> None:
    error = opened(stt(Fake("one", unavailable("one")), Fake("two", 5000), Fake("three", OSError("gone"))))
    assert str(error) == (
        "stt: all failed: one: refused; two: could not be opened in time; three: OSError: gone"
    )
    assert [cause.provider for cause in error.__cause__.exceptions] == ["one", "two", "three"]


def test_a_format_that_a_recogniser_refuses_is_its_failure() -> None:
    class Picky(Fake):
        def input_format(self, line: AudioFormat) -> AudioFormat:
            raise ProviderRejected(self.name, "no PCMU")

    assert opened(stt(Picky("one"), Fake("two"))).provider == "two"


def test_opening_can_be_cancelled() -> None:
    async def scenario() -> None:
        listener: Any = None
        task = asyncio.create_task(stt(Fake("one", 200), Fake("two")).open(PCMU_8K, ("en",), (), listener))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtually(scenario)


# --- warming and closing -------------------------------------------------------------------------------


def timed(work: Callable[[], Awaitable[None]]) -> float:
    async def scenario() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await work()
        return (loop.time() - began) * 1000

    return run_virtually(scenario)


def test_warming_goes_side_by_side_and_forgives_providers() -> None:
    chain = llm(Fake("one", 100), Fake("two", unavailable("two")), Fake("three", 200))
    assert timed(chain.warm) == pytest.approx(200)
    assert chain.failures == {"two": 1}


def test_warming_does_not_wait_for_ever() -> None:
    chain = llm(Fake("one", 3_600_000))
    assert timed(chain.warm) == pytest.approx(WARM_MS)
    assert chain.failures == {"one": 1}


def test_a_bug_while_warming_is_seen() -> None:
    chain = llm(Fake("one", KeyError("x")))
    with pytest.raises(KeyError):
        timed(chain.warm)


def test_one_that_cannot_be_closed_does_not_keep_the_others_open() -> None:
    providers = [Fake("one", OSError("gone")), Fake("two", 3_600_000), Fake("three")]
    chain = llm(*providers)
    assert timed(chain.close) == pytest.approx(CLOSE_MS)
    assert all(provider.closed for provider in providers)
    assert chain.failures == {"one": 1, "two": 1}


def test_an_empty_chain_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="a llm chain needs a provider"):
        llm()


# --- from the agent file -------------------------------------------------------------------------------


async def test_options_of_a_chain_entry_reach_its_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    contexts: list[ProviderContext] = []

    def load(group: str, name: str) -> Callable[[ProviderContext], Any]:
        def make(context: ProviderContext) -> Fake:
            contexts.append(context)
            return Fake(f"{group} {name}")

        return make

    monkeypatch.setattr("agent.server.load", load)
    text = (
        "name: A\nlanguages: [en]\ngreeting: B\ninstructions: C\n"
        "providers:\n  llm: [{provider: openai, model: m1, extra: {a: [1]}}, {provider: openai, model: m2}]\n"
    )
    agent = parse_agent(text, "a.yaml")
    server = Server(Settings(transports=(), environ={"KEY": "k"}), agent)
    await server.close()
    assert [dict(context.options) for context in contexts] == [
        {}, {"model": "m1", "extra": {"a": [1]}}, {"model": "m2"}, {},
    ]  # fmt: skip
    assert all(context.agent is agent and context.secrets == {"KEY": "k"} for context in contexts)


def test_the_examples_chains_are_the_embedded_ones() -> None:
    chains = load_agent().providers
    for chain in (chains.stt, chains.llm, chains.tts):
        assert [choice.provider for choice in chain] == ["embedded"]
