"""Embedded speech: format, level, timing, cancellation, mistakes."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable

import numpy as np
import numpy.typing as npt
import pytest

from agent.agentfile import AgentFile, load_agent
from agent.audio.codec import make_decoder
from agent.audio.formats import G722_16K, PCMA_8K, PCMU_8K, AudioFormat, linear
from agent.clock import LoopClock
from agent.errors import ConfigError, ProviderRejected, ProviderTimeout, ProviderUnavailable
from agent.providers import ProviderContext, SpeechChunk, SpeechRequest, WordTime
from providers.embedded import tts as module
from providers.embedded.espeak import MAX_JOBS, Espeak
from providers.embedded.tts import MAX_TEXT_CHARS, EmbeddedTTS, spoken

SENTENCE = "We are open from nine in the morning to five in the evening, Monday to Friday."
PCM16 = linear(16_000)
Samples = npt.NDArray[np.int64]


def agent(**changes: object) -> AgentFile:
    return AgentFile.model_validate({**load_agent().model_dump(), **changes})


def make(persona: AgentFile | None = None) -> EmbeddedTTS:
    return EmbeddedTTS(ProviderContext(persona or load_agent(), LoopClock()))


@pytest.fixture
async def tts() -> AsyncIterator[EmbeddedTTS]:
    speech = make()
    await speech.warm()
    yield speech
    await speech.close()


async def chunks(
    speech: EmbeddedTTS, text: str, audio: AudioFormat = PCM16, **more: object
) -> list[SpeechChunk]:
    request = SpeechRequest(**{"text": text, "language": "en", "audio": audio, **more})  # type: ignore[arg-type]  # spread
    return [chunk async for chunk in speech.speak(request)]


async def pcm(speech: EmbeddedTTS, text: str, audio: AudioFormat = PCM16, **more: object) -> Samples:
    said = b"".join(chunk.audio for chunk in await chunks(speech, text, audio, **more))
    return np.frombuffer(make_decoder(audio).decode(said), "<i2").astype(np.int64)


def alike(one: Samples, other: Samples) -> bool:
    """The same words in the same voice. espeak's breath is random, and what it said before leaves traces; the
    course of loudness stays."""
    if abs(len(one) - len(other)) > max(len(one) // 100, 320):
        return False
    blocks = min(len(one), len(other)) // 320
    course, like = (
        np.abs(samples[: blocks * 320]).reshape(blocks, 320).mean(axis=1) for samples in (one, other)
    )
    return float(np.corrcoef(course, like)[0, 1]) > 0.9


def active_dbfs(samples: Samples) -> float:
    loud = samples[np.abs(samples) > 300].astype(np.float64)
    return float(20 * np.log10(np.sqrt((loud**2).mean()) / 32_768))


@pytest.mark.parametrize(
    "audio",
    [PCMU_8K, PCMA_8K, G722_16K, linear(8_000), PCM16, linear(22_050), linear(24_000), linear(48_000)],
    ids=str,
)
async def test_the_same_speech_comes_in_every_format(tts: EmbeddedTTS, audio: AudioFormat) -> None:
    said = await chunks(tts, SENTENCE, audio)
    assert {chunk.format for chunk in said} == {audio}
    duration_ms = audio.duration_ms(sum(len(chunk.audio) for chunk in said))
    assert duration_ms == pytest.approx(3_980, abs=40)
    if audio.is_linear:
        assert all(len(chunk.audio) % 2 == 0 for chunk in said)
    assert -24 < active_dbfs(await pcm(tts, SENTENCE, audio)) < -17


@pytest.mark.parametrize(
    "language", ["en", "en-GB", "es", "es-MX", "fr", "fr-FR", "de", "it", "pt-BR", "nl", "zh-CN", "hi", "tr"]
)
async def test_a_language_is_spoken_at_once_and_never_clips(tts: EmbeddedTTS, language: str) -> None:
    samples = await pcm(tts, "1 2 3 4 5, Riverside. 10:30", language=language)
    assert len(samples) > 16_000
    assert np.abs(samples).max() < 30_000
    assert np.flatnonzero(np.abs(samples) > 300)[0] < 60 * 16, "leading silence above 60 ms"


async def test_languages_and_voices_differ(tts: EmbeddedTTS) -> None:
    voices = (("en", None), ("es", None), ("en", "en-gb"))
    said = [await pcm(tts, SENTENCE, language=language, voice=voice) for language, voice in voices]
    assert not [pair for pair in itertools.combinations(said, 2) if alike(*pair)]


async def test_speed(tts: EmbeddedTTS) -> None:
    usual = len(await pcm(tts, SENTENCE))
    assert len(await pcm(tts, SENTENCE, speed=2.0)) < 0.7 * usual
    assert len(await pcm(tts, SENTENCE, speed=0.5)) > 1.5 * usual


async def test_the_first_sound_comes_long_before_the_last(tts: EmbeddedTTS) -> None:
    said = await chunks(tts, SENTENCE)
    assert PCM16.duration_ms(len(said[0].audio)) <= 60
    assert len(said) > 10


async def test_words_come_in_order_with_their_places_in_the_text(tts: EmbeddedTTS) -> None:
    text = "We are *open* from nine"
    words = [word for chunk in await chunks(tts, text) for word in chunk.words]
    assert [word.offset for word in words] == [0, 3, 8, 14, 19]
    assert words[0] == WordTime(0, 0.0)
    times = [word.at_ms for word in words]
    assert times == sorted(times)


@pytest.mark.parametrize("text", ["", " ", "...", "***", "\U0001f600", "\x00\x07", "[]<>"])
async def test_what_cannot_be_said_is_silent_and_ends(tts: EmbeddedTTS, text: str) -> None:
    assert sum(len(chunk.audio) for chunk in await chunks(tts, text)) == 0


async def test_markup_and_pictures_are_not_read_out(tts: EmbeddedTTS) -> None:
    plain = await pcm(tts, "  open  from nine")
    marked = await pcm(tts, "**open** from nine\U0001f600")
    assert len(marked) == pytest.approx(len(plain), rel=0.05)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("**bold** `code` # heading", "  bold    code    heading"),
        ("<b>five</b> [a](b)", " b five /b   a (b)"),
        ("20 \N{DEGREE SIGN}, $5 & 50 % \N{EURO SIGN}9", "20 \N{DEGREE SIGN}, $5 & 50 % \N{EURO SIGN}9"),
        ("hi \U0001f44d\U0001f3fd\n", "hi    "),
        ("", " "),
    ],
)
def test_only_what_is_meant_to_be_heard_is_spoken(text: str, said: str) -> None:
    assert spoken(text) == said


async def test_the_event_loop_goes_on_turning_while_speech_is_made(tts: EmbeddedTTS) -> None:
    speaking = asyncio.create_task(chunks(tts, SENTENCE * 20, PCMU_8K))
    turns = 0
    while not speaking.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 100
    assert len(speaking.result()) > 100


@pytest.mark.parametrize("after", [0, 1, 3])
async def test_a_reply_cut_off_at_any_point_leaves_the_next_one_unharmed(
    tts: EmbeddedTTS, after: int
) -> None:
    whole = await pcm(tts, "Goodbye.")
    stream = tts.speak(SpeechRequest(SENTENCE * 40, "en", PCM16))
    for _ in range(after):
        await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]  # an async generator, which the protocol leaves open
    async with asyncio.timeout(1.0):
        assert alike(await pcm(tts, "Goodbye."), whole)


async def test_a_task_cancelled_while_it_waits_for_its_turn_costs_nothing(tts: EmbeddedTTS) -> None:
    waiting = [asyncio.create_task(chunks(tts, SENTENCE * 40)) for _ in range(50)]
    await asyncio.sleep(0.02)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    async with asyncio.timeout(1.0):
        assert len(await pcm(tts, "Goodbye.")) > 0


async def test_more_requests_than_can_wait_are_refused(tts: EmbeddedTTS) -> None:
    results = await asyncio.gather(
        *(chunks(tts, "Goodbye.", PCMU_8K) for _ in range(MAX_JOBS + 50)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, ProviderUnavailable)]
    served = [result for result in results if isinstance(result, list)]
    assert len(refused) + len(served) == MAX_JOBS + 50
    assert 0 < len(refused) <= 50
    assert "wait already" in str(refused[0])


async def test_closing_ends_what_is_spoken_and_the_thread() -> None:
    speech = make()
    speaking = [asyncio.create_task(chunks(speech, SENTENCE * 40)) for _ in range(3)]
    await asyncio.sleep(0.02)
    await speech.close()
    async with asyncio.timeout(2.0):
        results = await asyncio.gather(*speaking, return_exceptions=True)
    assert all(isinstance(result, ProviderUnavailable) for result in results)
    assert not [thread for thread in threading.enumerate() if thread.name == "espeak"]
    await speech.close()


async def test_it_can_be_used_again_after_closing() -> None:
    speech = make()
    for _ in range(2):
        assert len(await pcm(speech, "Goodbye.")) > 0
        await speech.close()


async def test_two_synthesisers_share_the_library() -> None:
    """The library has one voice for the process; each request still gets its own."""
    one, other = make(), make()
    expected = [await pcm(one, SENTENCE), await pcm(other, SENTENCE, language="es")]
    for _ in range(5):
        said = await asyncio.gather(pcm(one, SENTENCE), pcm(other, SENTENCE, language="es"))
        assert all(alike(heard, wanted) for heard, wanted in zip(said, expected, strict=True))
    await one.close()
    await other.close()


async def test_a_text_beyond_all_measure_is_rejected(tts: EmbeddedTTS) -> None:
    with pytest.raises(ProviderRejected, match="longer than"):
        await chunks(tts, "x" * (MAX_TEXT_CHARS + 1))


async def test_a_synthesiser_that_hangs_is_a_timeout(
    tts: EmbeddedTTS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STALL_S", 0.02)
    monkeypatch.setattr(Espeak, "speak", lambda self, job: None)
    with pytest.raises(ProviderTimeout):
        await chunks(tts, "Goodbye.")


async def test_a_conversion_that_fails_fails_the_sentence_only(
    tts: EmbeddedTTS, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Callable[[bytes], bytes]:
        raise ValueError("no such rate")

    with monkeypatch.context() as patched:
        patched.setattr(module, "make_converter", broken)
        with pytest.raises(ProviderUnavailable, match="no such rate"):
            await chunks(tts, "Goodbye.")
    assert len(await pcm(tts, "Goodbye.")) > 0


async def test_an_unknown_voice_is_a_mistake_of_the_agent_file_that_lists_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"voices\.en: .*'nobody'; allowed: af, .*en-us.*\+f2: .*whisper"):
        make(agent(voices={"en": {"name": "nobody"}}))
    with pytest.raises(ConfigError, match=r"no voice 'en-us\+nobody'"):
        make(agent(voices={"en": {"name": "en-us+nobody"}}))


async def test_a_language_nobody_speaks_is_a_mistake_of_the_agent_file() -> None:
    with pytest.raises(ConfigError, match="no 'xx'; allowed: "):
        make(agent(languages=["xx"], voices={}))


async def test_behind_another_service_its_voice_names_do_not_matter() -> None:
    chain = {"stt": [{"provider": "embedded"}], "llm": [{"provider": "embedded"}]}
    behind = agent(
        voices={"en": {"name": "a0e99841-438c"}},
        providers={**chain, "tts": [{"provider": "cartesia"}, {"provider": "embedded"}]},
    )
    speech = make(behind)
    assert alike(await pcm(speech, "Hello", voice="a0e99841-438c"), await pcm(speech, "Hello"))
    with pytest.raises(ProviderRejected, match="does not speak 'xx'"):
        await chunks(speech, "Hello", language="xx")
    await speech.close()


async def test_a_library_that_is_missing_makes_the_provider_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("providers.embedded.espeak.espeakng_loader.get_library_path", lambda: "/nowhere.so")
    speech = make()
    with pytest.raises(ProviderUnavailable):
        await speech.warm()
    with pytest.raises(ProviderUnavailable):
        await chunks(speech, "Hello")
    await speech.close()
