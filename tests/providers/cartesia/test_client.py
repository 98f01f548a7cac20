"""Cartesia over real sockets: one socket for all calls, words on time, and every way to fail."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from agent.audio.formats import G722_16K, PCMA_8K, PCMU_8K, AudioFormat, linear
from agent.clock import LoopClock
from agent.errors import ProviderError, ProviderRejected, ProviderTimeout, ProviderUnavailable
from agent.providers import SpeechChunk
from loadtest.simulators.cartesia import CartesiaSimulator
from loadtest.simulators.cartesia_voice import tones
from loadtest.simulators.faults import Fault
from loadtest.simulators.profile import Profile
from providers.cartesia import Cartesia
from providers.cartesia import client as client_module
from providers.cartesia import socket as socket_module
from providers.cartesia import utterance as utterance_module
from tests.providers.cartesia.conftest import (
    KEY,
    OTHER,
    TEXT,
    at_once,
    audio,
    provider,
    request,
    spoken,
    until,
)


async def test_a_sentence_comes_whole_in_the_line_s_own_format(
    cartesia: Cartesia, simulator: CartesiaSimulator
) -> None:
    chunks = await spoken(cartesia, request())
    expected = await tones(TEXT, "en", PCMU_8K)
    assert audio(chunks) == expected.audio
    assert {chunk.format for chunk in chunks} == {PCMU_8K}
    asked = simulator.requests[-1]
    assert asked["output_format"] == {"container": "raw", "encoding": "pcm_mulaw", "sample_rate": 8000}
    assert asked["continue"] is False
    assert asked["max_buffer_delay_ms"] == 0
    assert asked["language"] == "en"
    await until(lambda: simulator.counts.finished == 1)


async def test_each_word_has_its_place_and_its_time(cartesia: Cartesia) -> None:
    chunks = await spoken(cartesia, request())
    expected = await tones(TEXT, "en", PCMU_8K)
    words = [word for chunk in chunks for word in chunk.words]
    assert [TEXT[word.offset :].split()[0] for word in words] == TEXT.split()
    assert [word.at_ms for word in words] == pytest.approx([start_ms for _, start_ms, _ in expected.words])


@pytest.mark.parametrize(
    ("line", "made"),
    [
        (PCMA_8K, PCMA_8K),
        (linear(24000), linear(24000)),
        (linear(12000), linear(16000)),
        (G722_16K, linear(16000)),
    ],
)
async def test_other_lines_get_what_comes_nearest(
    cartesia: Cartesia, line: AudioFormat, made: AudioFormat
) -> None:
    chunks = await spoken(cartesia, request(audio=line))
    assert {chunk.format for chunk in chunks} == {made}
    assert audio(chunks) == (await tones(TEXT, "en", made)).audio


async def test_many_calls_share_one_socket_and_hear_their_own(
    cartesia: Cartesia, simulator: CartesiaSimulator
) -> None:
    simulator.timings.set("inter_chunk", Profile(5, 10, 20))
    texts = [TEXT if at % 2 else OTHER for at in range(60)]
    heard = await asyncio.gather(*(spoken(cartesia, request(text)) for text in texts))
    for text, chunks in zip(texts, heard, strict=True):
        assert audio(chunks) == (await tones(text, "en", PCMU_8K)).audio
    assert simulator.counts.connections == 1
    assert simulator.counts.most_active > 30
    assert cartesia.connections.opened == 1
    assert cartesia.first_audio.count == 60


async def test_connecting_is_counted_apart_from_the_first_audio(simulator: CartesiaSimulator) -> None:
    simulator.timings.set("connect", Profile.fixed(500))
    simulator.timings.set("first_audio", Profile.fixed(50))
    cartesia = provider(simulator.url)
    await cartesia.warm()
    await spoken(cartesia, request())
    assert cartesia.connections.last_connect_ms >= 500
    assert 50 <= cartesia.first_audio.last_ms < 500
    assert cartesia.connections.reused == 1
    await cartesia.close()


async def test_voice_speed_and_model_are_asked_for(simulator: CartesiaSimulator) -> None:
    cartesia = provider(simulator.url, model="sonic-3", voice={"es": "una-voz"})
    await spoken(cartesia, request(language="es-MX", voice="for-another-provider", speed=2.0))
    asked = simulator.requests[-1]
    assert (asked["model_id"], asked["language"]) == ("sonic-3", "es")
    assert asked["voice"] == {"mode": "id", "id": "una-voz"}
    assert asked["generation_config"] == {"speed": 1.5}
    await spoken(cartesia, request(voice="an-english-voice"))
    assert simulator.requests[-1]["voice"]["id"] == "an-english-voice"
    assert "generation_config" not in simulator.requests[-1]
    await cartesia.close()


# --- barge-in ------------------------------------------------------------------------------------------


async def test_a_caller_who_interrupts_cancels_the_rest(
    cartesia: Cartesia, simulator: CartesiaSimulator
) -> None:
    simulator.timings.set("inter_chunk", Profile.fixed(30))
    async with aclosing(cartesia.speak(request())) as chunks:  # type: ignore[type-var]  # an async generator
        async for _ in chunks:
            break
    await until(lambda: simulator.counts.cancelled == 1)
    assert simulator.requests[-1] == {"context_id": simulator.requests[0]["context_id"], "cancel": True}
    # The service goes on with what it had begun (sheet 2): dropped by its context.
    await until(lambda: cartesia.counts["late"] >= 3)
    assert audio(await spoken(cartesia, request(OTHER))) == (await tones(OTHER, "en", PCMU_8K)).audio


# --- one reply, several sentences ----------------------------------------------------------------------


@pytest.fixture
async def continuing(simulator: CartesiaSimulator) -> AsyncIterator[Cartesia]:
    made = provider(simulator.url, continuations=True)
    yield made
    await made.close()


@pytest.mark.parametrize("position", ["only", "first", "middle", "last", "more"])
async def test_unless_asked_to_no_context_is_kept_open(
    cartesia: Cartesia, simulator: CartesiaSimulator, position: str
) -> None:
    await spoken(cartesia, request(context="reply", position=position))
    assert [asked["continue"] for asked in simulator.requests] == [False]
    assert simulator.counts.active == 0


async def test_a_reply_of_one_sentence_keeps_no_context_open(
    continuing: Cartesia, simulator: CartesiaSimulator
) -> None:
    await spoken(continuing, request(context="reply", position="only"))
    assert [asked["continue"] for asked in simulator.requests] == [False]


async def test_the_sentences_of_a_reply_go_on_in_one_context(
    continuing: Cartesia, simulator: CartesiaSimulator
) -> None:
    first = await spoken(continuing, request(TEXT, context="reply", position="first"))
    middle = await spoken(continuing, request(OTHER, context="reply", position="middle"))
    last = await spoken(continuing, request(TEXT, context="reply", position="last"))
    assert [audio(chunks) for chunks in (first, middle, last)] == [
        (await tones(text, "en", PCMU_8K)).audio for text in (TEXT, OTHER, TEXT)
    ]
    assert simulator.counts.contexts == 1
    assert len({asked["context_id"] for asked in simulator.requests}) == 1
    assert simulator.requests[0]["transcript"] == f"{TEXT} ", "joined verbatim: the space is ours"
    await until(lambda: simulator.counts.finished == 1)
    words = [word for chunk in last for word in chunk.words]
    assert words[0].at_ms == 0, "word times count from the sentence's own start"
    assert [TEXT[word.offset :].split()[0] for word in words] == TEXT.split()


async def test_a_context_that_nobody_goes_on_with_is_ended(
    continuing: Cartesia, simulator: CartesiaSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_module, "LINGER_MS", 30.0)
    await spoken(continuing, request(context="reply"))
    assert simulator.counts.active == 1
    await until(lambda: simulator.counts.finished == 1)
    assert simulator.counts.expired == 0
    await spoken(continuing, request(context="reply"))
    assert simulator.counts.contexts == 2


async def test_sentences_that_are_said_at_once_leave_no_context_behind(
    continuing: Cartesia, simulator: CartesiaSimulator
) -> None:
    await asyncio.gather(
        *(spoken(continuing, request(text, context="reply", position="middle")) for text in (TEXT, OTHER))
    )
    await spoken(continuing, request(TEXT, context="reply", position="last"))
    await until(lambda: simulator.counts.finished == 2)
    assert simulator.counts.active == 0


async def test_two_replies_never_share_a_context(continuing: Cartesia, simulator: CartesiaSimulator) -> None:
    await spoken(continuing, request(context="one", position="first"))
    await spoken(continuing, request(context="two", position="first"))
    assert simulator.counts.contexts == 2


async def test_a_reply_that_changes_its_voice_gets_another_context(
    continuing: Cartesia, simulator: CartesiaSimulator
) -> None:
    await spoken(continuing, request(context="reply", position="first"))
    await spoken(continuing, request(context="reply", position="last", language="es"))
    assert simulator.counts.contexts == 2
    assert not simulator.counts.errors


async def test_a_context_that_the_service_dropped_early_is_begun_anew(
    continuing: Cartesia, simulator: CartesiaSimulator
) -> None:
    simulator.timings.scale = 0.02  # 1 s is 20 ms
    await spoken(continuing, request(context="reply", position="first"))
    await until(lambda: simulator.counts.expired == 1)
    chunks = await spoken(continuing, request(OTHER, context="reply", position="last"))
    assert audio(chunks) == (await tones(OTHER, "en", PCMU_8K)).audio
    assert continuing.counts["again"] == 1


# --- every way to fail ---------------------------------------------------------------------------------


async def collect(into: list[SpeechChunk], chunks: AsyncIterator[SpeechChunk]) -> None:
    async for chunk in chunks:
        into.append(chunk)  # noqa: PERF401  # what came before an error is wanted too


async def failure(cartesia: Cartesia) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await spoken(cartesia, request())
    assert caught.value.provider == "cartesia"
    return caught.value


@pytest.mark.parametrize(
    ("fault", "says"),
    [(Fault.REFUSE, "cannot connect"), (Fault.TOO_MANY_REQUESTS, "429"), (Fault.SERVER_ERROR, "503")],
)
async def test_a_socket_that_cannot_be_opened(fault: Fault, says: str) -> None:
    async with CartesiaSimulator(LoopClock(), timings=at_once()) as simulator:
        simulator.faults.switch(1, [fault])
        cartesia = provider(simulator.url)
        error = await failure(cartesia)
        assert type(error) is ProviderUnavailable
        assert says in str(error)
        simulator.faults.switch(0)
        assert await spoken(cartesia, request()), "the next sentence tries again"
        await cartesia.close()


async def test_a_wrong_key(simulator: CartesiaSimulator) -> None:
    cartesia = provider(simulator.url, "ca-wrong")
    error = await failure(cartesia)
    assert isinstance(error, ProviderRejected)
    assert "check CARTESIA_API_KEY" in str(error)
    assert "ca-wrong" not in str(error)
    await cartesia.close()


async def test_an_unknown_version(simulator: CartesiaSimulator) -> None:
    cartesia = provider(simulator.url, version="1999-12-31")
    assert isinstance(await failure(cartesia), ProviderRejected)
    await cartesia.close()


async def test_without_a_key_the_real_service_is_not_even_asked() -> None:
    cartesia = provider("", key=None)
    with pytest.raises(ProviderRejected, match="set CARTESIA_API_KEY"):
        await cartesia.warm()
    await cartesia.close()


@pytest.mark.parametrize("language", ["zh-HK", "yue", "af-ZA", "xx"])
async def test_a_language_it_does_not_speak_goes_to_the_next_provider(
    cartesia: Cartesia, language: str
) -> None:
    with pytest.raises(ProviderRejected, match="does not speak"):
        await spoken(cartesia, request(language=language))
    assert cartesia.connections.opened == 0


async def test_an_error_of_one_context_harms_no_other(
    cartesia: Cartesia, simulator: CartesiaSimulator
) -> None:
    simulator.timings.set("inter_chunk", Profile.fixed(10))
    other = asyncio.create_task(spoken(cartesia, request(OTHER)))
    await until(lambda: simulator.counts.active == 1)
    simulator.max_contexts = 1
    error = await failure(cartesia)
    assert isinstance(error, ProviderUnavailable)
    assert "429" in str(error)
    assert "concurrency_limited" in str(error)
    simulator.max_contexts = None
    simulator.faults.switch(1, [Fault.SERVER_ERROR], limit=1)
    assert "500" in str(await failure(cartesia))
    assert audio(await other) == (await tones(OTHER, "en", PCMU_8K)).audio
    assert simulator.counts.connections == 1


async def test_a_socket_that_dies_before_anything_was_heard_is_replaced_at_once(
    cartesia: Cartesia, simulator: CartesiaSimulator
) -> None:
    await cartesia.warm()
    simulator.timings.set("first_audio", Profile.fixed(100))
    speaking = asyncio.create_task(spoken(cartesia, request()))
    await until(lambda: simulator.counts.active == 1)
    simulator.cut_all()
    assert audio(await speaking) == (await tones(TEXT, "en", PCMU_8K)).audio
    assert cartesia.counts["again"] == 1
    assert simulator.counts.connections == 2


async def test_a_socket_that_dies_in_the_middle_of_a_sentence(
    cartesia: Cartesia, simulator: CartesiaSimulator
) -> None:
    simulator.timings.set("inter_chunk", Profile.fixed(5))
    simulator.faults.switch(1, [Fault.DIE_MID_STREAM], limit=1)
    chunks: list[SpeechChunk] = []
    with pytest.raises(ProviderUnavailable, match="connection was lost"):
        await collect(chunks, cartesia.speak(request()))
    assert audio(chunks) == (await tones(TEXT, "en", PCMU_8K)).audio[:1600], "what came is not lost"
    assert await spoken(cartesia, request())
    assert cartesia.connections.lost == 1


@pytest.mark.parametrize("fault", [Fault.STALL_OPEN, Fault.DRIBBLE])
async def test_a_sentence_of_which_nothing_more_comes(
    cartesia: Cartesia, simulator: CartesiaSimulator, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(utterance_module, "STALL_MS", 80.0)
    simulator.faults.switch(1, [fault], limit=1)
    assert isinstance(await failure(cartesia), ProviderTimeout)
    assert audio(await spoken(cartesia, request())) == (await tones(TEXT, "en", PCMU_8K)).audio


async def test_garbage_is_counted_and_is_no_speech(cartesia: Cartesia, simulator: CartesiaSimulator) -> None:
    simulator.faults.switch(1, [Fault.GARBAGE], limit=1)
    error = await failure(cartesia)
    assert isinstance(error, ProviderUnavailable)
    assert "without audio" in str(error)
    assert cartesia.counts["bad_json"] > 5
    assert audio(await spoken(cartesia, request())) == (await tones(TEXT, "en", PCMU_8K)).audio
    assert simulator.counts.connections == 1


async def test_a_socket_that_says_nothing_gets_no_new_sentences(
    cartesia: Cartesia, simulator: CartesiaSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_module, "SUSPECT_MS", 30.0)
    simulator.faults.switch(1, [Fault.STALL_OPEN], limit=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await spoken(cartesia, request())
    assert await spoken(cartesia, request())
    assert simulator.counts.connections == 2
    await until(lambda: simulator.counts.open == 1)


async def test_a_sentence_whose_end_is_late_is_not_called_failed(
    cartesia: Cartesia, simulator: CartesiaSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(utterance_module, "END_MS", 50.0)
    simulator.faults.switch(1, [Fault.SLOW_CLOSE], limit=1)
    assert audio(await spoken(cartesia, request())) == (await tones(TEXT, "en", PCMU_8K)).audio


async def test_a_reader_that_does_not_read_fails_alone(
    cartesia: Cartesia, simulator: CartesiaSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(utterance_module, "MAX_PENDING_BYTES", 4_000)
    simulator.timings.set("inter_chunk", Profile.fixed(5))
    async with aclosing(cartesia.speak(request())) as slow:  # type: ignore[type-var]  # an async generator
        await anext(slow)
        await until(lambda: simulator.counts.cancelled == 1)
        with pytest.raises(ProviderUnavailable, match="more audio came"):
            await collect([], slow)
    monkeypatch.setattr(utterance_module, "MAX_PENDING_BYTES", 4_000_000)
    assert await spoken(cartesia, request())


# --- age, idleness, the end ----------------------------------------------------------------------------


async def test_an_old_socket_is_replaced_and_finishes_what_it_carries(
    simulator: CartesiaSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "MAX_AGE_MS", 120.0)
    simulator.timings.set("inter_chunk", Profile.fixed(30))
    cartesia = provider(simulator.url)
    await cartesia.warm()
    chunks = await spoken(cartesia, request())
    assert audio(chunks) == (await tones(TEXT, "en", PCMU_8K)).audio
    await until(lambda: simulator.counts.connections >= 2)
    await until(lambda: simulator.counts.open == 1)
    await cartesia.close()


async def test_the_service_closes_an_idle_socket_and_another_takes_its_place(
    simulator: CartesiaSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.warm.RETRY_MS", (10.0, 100.0))
    simulator.timings.scale = 0.0003  # 5 minutes are 90 ms
    cartesia = provider(simulator.url)
    await cartesia.warm()
    await until(lambda: cartesia.connections.lost == 1)
    simulator.timings.scale = 1.0
    await until(lambda: cartesia.connections.opened >= 2)
    assert await spoken(cartesia, request())
    await cartesia.close()


async def test_closing_fails_what_is_being_said_and_leaves_no_socket(simulator: CartesiaSimulator) -> None:
    simulator.timings.set("inter_chunk", Profile.fixed(50))
    cartesia = provider(simulator.url)
    speaking = asyncio.create_task(spoken(cartesia, request()))
    await until(lambda: simulator.counts.active == 1)
    async with asyncio.timeout(20):
        await cartesia.close()
    with pytest.raises(ProviderUnavailable, match="being closed"):
        await speaking
    await cartesia.close()
    await until(lambda: simulator.counts.open == 0)


async def test_a_service_that_does_not_answer_the_goodbye_keeps_nobody_waiting() -> None:
    async with CartesiaSimulator(LoopClock(), timings=at_once(), api_key=KEY) as simulator:
        simulator.faults.switch(1, [Fault.SLOW_CLOSE])
        cartesia = provider(simulator.url)
        await cartesia.warm()
        async with asyncio.timeout(2.5):
            await cartesia.close()
        await until(lambda: simulator.counts.open == 0)
