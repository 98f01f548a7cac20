"""Deepgram over real sockets: heard straight through, warm before it is needed, and every way to fail."""

import asyncio
import gc

import pytest

from agent.agentfile.load import load_agent
from agent.audio.formats import G722_16K, PCMA_8K, PCMU_8K, AudioFormat, linear
from agent.clock import LoopClock
from agent.errors import ProviderError, ProviderRejected, ProviderTimeout, ProviderUnavailable
from agent.providers import ListenRequest, ProviderContext, STTStream
from loadtest.simulators.audio_fingerprint import Fingerprints
from loadtest.simulators.deepgram_live import DeepgramLiveSimulator
from loadtest.simulators.faults import Fault
from loadtest.simulators.profile import Profile
from providers.deepgram import Deepgram
from providers.deepgram import stream as stream_module
from tests.providers.deepgram.conftest import GOODBYE, HOURS, KEY, Listener, feed, mu_law, provider, until

REQUEST = ListenRequest(PCMU_8K, ("en-US",))


async def opened(deepgram: Deepgram, listener: Listener) -> STTStream:
    return await deepgram.open(REQUEST, listener)


async def test_the_final_comes_when_the_endpoint_asks_for_it(
    deepgram: Deepgram, simulator: DeepgramLiveSimulator, speech: dict[str, bytes]
) -> None:
    listener = Listener()
    stream = await opened(deepgram, listener)
    feed(stream, mu_law(speech[HOURS]))
    assert listener.finals == []
    stream.finalize()
    await listener.until(lambda heard: heard.flushed == 1)
    final = listener.transcripts[-1]
    assert (final.text, final.final, final.flushed) == (HOURS, True, True)
    assert final.confidence == pytest.approx(0.98)
    assert listener.transcripts[0].final is False, "an interim result came before"
    assert HOURS.startswith(listener.transcripts[0].text)
    await stream.close()
    await until(lambda: simulator.counts.finished == 1)
    assert simulator.counts.audio_ms == pytest.approx(len(mu_law(speech[HOURS])) / 8 + 20, abs=60)
    assert deepgram.connections.dropped_sends == 0


async def test_each_turn_gets_its_own_words(deepgram: Deepgram, speech: dict[str, bytes]) -> None:
    listener = Listener()
    stream = await opened(deepgram, listener)
    for turn, text in enumerate((HOURS, GOODBYE, HOURS), 1):
        feed(stream, mu_law(speech[text]))
        stream.finalize()
        await listener.until(lambda heard: heard.flushed == turn)  # noqa: B023  # awaited before the next
    assert listener.finals == [HOURS, GOODBYE, HOURS]
    await stream.close()


async def test_silence_is_answered_with_an_empty_final(deepgram: Deepgram) -> None:
    listener = Listener()
    stream = await opened(deepgram, listener)
    feed(stream, PCMU_8K.silence(8000))
    stream.finalize()
    await listener.until(lambda heard: heard.flushed == 1)
    assert [found.text for found in listener.transcripts] == [""]
    await stream.close()


async def test_a_finalize_that_deepgram_ignores_is_answered_all_the_same(
    deepgram: Deepgram,
    simulator: DeepgramLiveSimulator,
    speech: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_module, "FINAL_MS", 60.0)
    simulator.finalize_needs_ms = 60_000
    listener = Listener()
    opened_stream = await opened(deepgram, listener)
    feed(opened_stream, mu_law(speech[HOURS]))
    await listener.until(lambda heard: bool(heard.transcripts))
    opened_stream.finalize()
    await listener.until(lambda heard: heard.flushed == 1)
    assert HOURS.startswith(listener.finals[0]), "what the interim results had said by then"
    assert listener.errors == []
    await opened_stream.close()


async def test_two_finalizes_get_two_answers(deepgram: Deepgram, speech: dict[str, bytes]) -> None:
    listener = Listener()
    stream = await opened(deepgram, listener)
    feed(stream, mu_law(speech[GOODBYE]))
    stream.finalize()
    stream.finalize()
    await listener.until(lambda heard: heard.flushed == 2)
    assert listener.finals == [GOODBYE]
    await stream.close()


@pytest.mark.parametrize("line", [PCMU_8K, PCMA_8K, linear(16000)])
async def test_what_deepgram_takes_goes_straight_through(
    deepgram: Deepgram, simulator: DeepgramLiveSimulator, line: AudioFormat
) -> None:
    assert deepgram.input_format(line) == line
    stream = await deepgram.open(ListenRequest(line, ("en-US",)), Listener())
    assert simulator.queries[0].audio == line
    await stream.close()


async def test_g722_is_fed_as_linear_audio() -> None:
    assert provider("ws://localhost:1").input_format(G722_16K) == linear(16000)


async def test_the_call_s_language_and_words_are_asked_for(simulator: DeepgramLiveSimulator) -> None:
    deepgram = provider(simulator.url, keyterms=["Mill Street"])
    phrases = ("do you take insurance", "how much is a consultation", "where are you")
    stream = await deepgram.open(ListenRequest(PCMU_8K, ("es-MX",), phrases), Listener())
    query = simulator.queries[0]
    assert query.language == "es"
    assert query.keyterms == ("Mill Street", "consultation", "insurance")
    assert query.endpointing_ms is None
    assert query.interim_results
    await stream.close()
    await deepgram.close()


async def test_a_warm_socket_waits_for_the_call_and_another_opens_behind_it(
    deepgram: Deepgram, simulator: DeepgramLiveSimulator, speech: dict[str, bytes]
) -> None:
    await deepgram.warm()
    assert deepgram.connections.opened == 1
    simulator.timings.set("connect", Profile.fixed(200))
    agent = provider(simulator.url)
    listener = Listener()
    stream = await deepgram.open(ListenRequest(PCMU_8K, agent._languages, agent._phrases), listener)
    assert deepgram.connections.reused == 1
    assert simulator.counts.connections == 1, "no handshake was waited for"
    feed(stream, mu_law(speech[HOURS]))
    stream.finalize()
    await listener.until(lambda heard: heard.finals == [HOURS])
    await until(lambda: deepgram.connections.opened == 2)
    assert deepgram.connections.last_connect_ms >= 200
    await stream.close()


async def test_a_hundred_calls_at_once_have_a_socket_each(
    deepgram: Deepgram, simulator: DeepgramLiveSimulator, speech: dict[str, bytes]
) -> None:
    listeners = [Listener() for _ in range(100)]
    streams = await asyncio.gather(*(opened(deepgram, listener) for listener in listeners))
    for at, stream in enumerate(streams):
        feed(stream, mu_law(speech[HOURS if at % 2 else GOODBYE]))
        stream.finalize()
    for at, listener in enumerate(listeners):
        await listener.until(lambda heard: heard.flushed == 1)
        assert listener.finals == [HOURS if at % 2 else GOODBYE]
    for stream in streams:
        await stream.close()
    await deepgram.close()
    await until(lambda: simulator.counts.open == 0)


async def test_keep_alive_holds_a_socket_that_gets_no_audio(
    simulator: DeepgramLiveSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator.timings.scale = 0.02  # 10 s are 200 ms
    monkeypatch.setattr(stream_module, "KEEP_ALIVE_MS", 60.0)
    deepgram = provider(simulator.url)
    listener = Listener()
    held = await opened(deepgram, listener)
    await asyncio.sleep(0.5)
    assert listener.errors == []
    assert simulator.counts.idle == 0
    await held.close()
    await deepgram.close()


async def test_a_socket_that_is_not_kept_alive_is_told_why(
    simulator: DeepgramLiveSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator.timings.scale = 0.01
    monkeypatch.setattr(stream_module, "KEEP_ALIVE_MS", 60_000.0)
    deepgram = provider(simulator.url, spares=False)
    listener = Listener()
    held = await opened(deepgram, listener)
    await listener.until(lambda heard: bool(heard.errors))
    assert isinstance(listener.errors[0], ProviderUnavailable)
    assert "NET-0001" in str(listener.errors[0])
    assert deepgram.connections.lost == 1
    await held.close()
    await deepgram.close()


# --- every way to fail ---------------------------------------------------------------------------------


async def fails_to_open(simulator: DeepgramLiveSimulator, key: str = KEY, **options: object) -> ProviderError:
    deepgram = provider(simulator.url, key, **options)
    with pytest.raises(ProviderError) as caught:
        await opened(deepgram, Listener())
    await deepgram.close()
    assert deepgram.connections.opened == 0
    assert deepgram.connections.failed >= 1
    return caught.value


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (Fault.REFUSE, ProviderUnavailable, "cannot connect"),
        (Fault.TOO_MANY_REQUESTS, ProviderUnavailable, "429"),
        (Fault.SERVER_ERROR, ProviderUnavailable, "503"),
    ],
)
async def test_an_upgrade_that_fails(
    simulator: DeepgramLiveSimulator, fault: Fault, kind: type[ProviderError], says: str
) -> None:
    simulator.faults.switch(1, [fault])
    error = await fails_to_open(simulator)
    assert type(error) is kind
    assert says in str(error)
    assert error.provider == "deepgram"


async def test_a_wrong_key(simulator: DeepgramLiveSimulator) -> None:
    error = await fails_to_open(simulator, key="dg-wrong")
    assert isinstance(error, ProviderRejected)
    assert "check DEEPGRAM_API_KEY" in str(error)
    assert "dg-wrong" not in str(error)


async def test_a_wrong_parameter_is_told_in_deepgram_s_words(simulator: DeepgramLiveSimulator) -> None:
    error = await fails_to_open(simulator, model="nebula-1")
    assert isinstance(error, ProviderRejected)
    assert "No such model/language combination" in str(error)


async def test_without_a_key_the_real_service_is_not_even_asked() -> None:
    deepgram = provider("", key=None)
    with pytest.raises(ProviderRejected, match="set DEEPGRAM_API_KEY"):
        await deepgram.warm()


async def test_the_key_may_have_a_name_of_its_own(simulator: DeepgramLiveSimulator) -> None:
    secrets = {"DEEPGRAM_API_KEY": "wrong", "CLINIC_KEY": KEY}
    options = {"base_url": simulator.url, "api_key_name": "CLINIC_KEY", "spares": False}
    deepgram = Deepgram(ProviderContext(load_agent(None), LoopClock(), options, secrets))
    stream = await opened(deepgram, Listener())
    await stream.close()
    await deepgram.close()


async def test_nobody_listens() -> None:
    deepgram = provider("ws://127.0.0.1:1")
    with pytest.raises(ProviderUnavailable, match="cannot connect"):
        await opened(deepgram, Listener())
    await deepgram.close()


async def test_a_socket_that_dies_in_the_middle_is_reported_once(
    deepgram: Deepgram, simulator: DeepgramLiveSimulator, speech: dict[str, bytes]
) -> None:
    simulator.faults.switch(1, [Fault.DIE_MID_STREAM], limit=1)
    listener = Listener()
    stream = await opened(deepgram, listener)
    feed(stream, mu_law(speech[HOURS]))
    stream.finalize()
    await listener.until(lambda heard: bool(heard.errors))
    assert isinstance(listener.errors[0], ProviderUnavailable)
    assert listener.flushed == 1, "the finalize was answered first, with what there was"
    feed(stream, mu_law(speech[HOURS]))
    stream.finalize()
    await asyncio.sleep(0.02)
    assert len(listener.errors) == 1
    await stream.close()

    again = Listener()
    stream = await opened(deepgram, again)
    feed(stream, mu_law(speech[HOURS]))
    stream.finalize()
    await again.until(lambda heard: heard.finals == [HOURS])
    await stream.close()


@pytest.mark.parametrize("fault", [Fault.STALL_OPEN, Fault.DRIBBLE, Fault.GARBAGE])
async def test_an_open_socket_that_says_nothing_is_given_up(
    simulator: DeepgramLiveSimulator,
    speech: dict[str, bytes],
    fault: Fault,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_module, "FINAL_MS", 100.0)
    monkeypatch.setattr(stream_module, "STALL_MS", 90.0)
    monkeypatch.setattr(stream_module, "CLOSE_MS", 100.0)
    simulator.faults.switch(1, [fault], limit=1)
    deepgram = provider(simulator.url, spares=False)
    listener = Listener()
    stalled = await opened(deepgram, listener)
    feed(stalled, mu_law(speech[HOURS]))
    stalled.finalize()
    await listener.until(lambda heard: bool(heard.errors))
    assert type(listener.errors[0]) is ProviderTimeout
    assert listener.flushed == 0, "there are no words: the failure is the answer"
    assert bool(deepgram.bad_messages) == (fault is Fault.GARBAGE)
    await stalled.close()
    await deepgram.close()
    await until(lambda: simulator.counts.open == 0)


async def test_words_that_come_too_late_for_any_reply_are_a_failure(
    simulator: DeepgramLiveSimulator, speech: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "LAG_MS", 150.0)
    simulator.timings.set("interim", Profile.fixed(300))
    deepgram = provider(simulator.url, spares=False)
    listener = Listener()
    stream = await opened(deepgram, listener)
    feed(stream, mu_law(speech[HOURS]))
    await asyncio.sleep(0.1)
    feed(stream, mu_law(speech[HOURS]))  # behind what the late words are about
    await listener.until(lambda heard: bool(heard.errors))
    assert isinstance(listener.errors[0], ProviderTimeout)
    assert "ms after the audio" in str(listener.errors[0])
    await stream.close()
    await deepgram.close()
    await until(lambda: simulator.counts.open == 0)


async def test_a_goodbye_that_is_not_answered_keeps_nobody_waiting(
    simulator: DeepgramLiveSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "CLOSE_MS", 500.0)
    simulator.timings.set("slow_close", Profile.fixed(60_000))
    simulator.faults.switch(1, [Fault.SLOW_CLOSE])
    deepgram = provider(simulator.url, spares=False)
    slow = await opened(deepgram, Listener())
    async with asyncio.timeout(0.4):
        await slow.close()
    await slow.close()
    async with asyncio.timeout(20):
        await deepgram.close()
    await until(lambda: simulator.counts.open == 0)


async def test_nothing_is_reported_after_close(
    deepgram: Deepgram, simulator: DeepgramLiveSimulator, speech: dict[str, bytes]
) -> None:
    listener = Listener()
    stream = await opened(deepgram, listener)
    feed(stream, mu_law(speech[HOURS]))
    stream.finalize()
    await stream.close()
    stream.feed(b"\xff" * 160)
    stream.finalize()
    await until(lambda: simulator.counts.finished == 1)
    assert listener.transcripts == []
    assert listener.errors == []


async def test_a_waiting_socket_that_dies_is_replaced(
    deepgram: Deepgram,
    simulator: DeepgramLiveSimulator,
    speech: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("providers.warm.RETRY_MS", (10.0, 100.0))
    monkeypatch.setattr(stream_module, "KEEP_ALIVE_MS", 60_000.0)
    simulator.timings.scale = 0.01
    waiting = provider(simulator.url)
    await waiting.warm()
    await until(lambda: waiting.connections.lost >= 1)
    await until(lambda: waiting.connections.opened >= 2)
    await waiting.close()


async def test_a_vendor_that_does_not_read_loses_audio_instead_of_growing_our_memory(
    simulator: DeepgramLiveSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.connections.MAX_UNSENT_BYTES", 1_000)
    deepgram = provider(simulator.url, spares=False)
    listener = Listener()
    stream = await opened(deepgram, listener)
    # No await: the event loop cannot write, as with a peer that does not read.
    feed(stream, PCMU_8K.silence(8_000_000))
    await stream.close()
    assert deepgram.connections.dropped_sends > 100
    await deepgram.close()


async def test_opening_may_be_cancelled_and_leaves_nothing(simulator: DeepgramLiveSimulator) -> None:
    simulator.timings.set("connect", Profile.fixed(300))
    deepgram = provider(simulator.url, spares=False)
    opening = asyncio.create_task(deepgram.open(REQUEST, Listener()))
    await asyncio.sleep(0.05)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await deepgram.close()
    await asyncio.sleep(0.3)
    assert simulator.counts.open == 0
    gc.collect()


async def test_an_unknown_sentence_is_silence(speech: dict[str, bytes]) -> None:
    async with DeepgramLiveSimulator(LoopClock(), Fingerprints({HOURS: speech[HOURS]})) as simulator:
        simulator.timings.scale = 0.01
        deepgram = provider(simulator.url, spares=False)
        listener = Listener()
        stream = await opened(deepgram, listener)
        feed(stream, mu_law(speech[GOODBYE]))
        stream.finalize()
        await listener.until(lambda heard: heard.flushed == 1)
        assert listener.finals == []
        await stream.close()
        await deepgram.close()
