"""The caller's voice: format, resampling, and what is kept on disk."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from agent.audio.formats import linear
from agent.providers import SpeechChunk, SpeechRequest
from loadtest.speech import CallerVoice, cache_folder, default_voice
from tests.loadtest.fakes import tone


class ToneTTS:
    """Speaks 100 ms of tone per request, in two chunks, at its own rate."""

    name = "tones"

    def __init__(self, rate_hz: int = 8000) -> None:
        self.requests: list[SpeechRequest] = []
        self.closed = False
        self._rate_hz = rate_hz

    async def warm(self) -> None: ...

    async def close(self) -> None:
        self.closed = True

    async def speak(self, request: SpeechRequest) -> AsyncIterator[SpeechChunk]:
        self.requests.append(request)
        time = np.arange(self._rate_hz // 10)
        pcm = (8000 * np.cos(2 * np.pi * 500 / self._rate_hz * time)).astype("<i2").tobytes()
        for half in (pcm[: len(pcm) // 2], pcm[len(pcm) // 2 :]):
            yield SpeechChunk(half, linear(self._rate_hz))


async def test_a_sentence_is_asked_for_as_telephone_audio_in_the_callers_voice() -> None:
    tts = ToneTTS()
    voice = CallerVoice(tts, "en-US", "en-us+m3")
    assert await voice.say("hello") == tone(100)
    (request,) = tts.requests
    assert (request.text, request.language, request.voice) == ("hello", "en-US", "en-us+m3")
    assert request.audio == linear(8000)
    await voice.close()
    assert tts.closed


async def test_a_service_with_its_own_rate_is_resampled() -> None:
    pcm = await CallerVoice(ToneTTS(22050), "en-US").say("hello")
    assert len(pcm) == pytest.approx(1600, abs=4)


async def test_a_sentence_is_synthesised_once_per_voice(tmp_path: Path) -> None:
    tts = ToneTTS()
    for _ in range(2):
        await CallerVoice(tts, "en-US", "a", tmp_path / "new").say("hello")
    assert len(tts.requests) == 1
    await CallerVoice(tts, "en-US", "b", tmp_path / "new").say("hello")
    await CallerVoice(tts, "en-US", "a", tmp_path / "new").say("goodbye")
    assert len(tts.requests) == 3
    assert len(list((tmp_path / "new").iterdir())) == 3


async def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    voice = CallerVoice(ToneTTS(), "en-US", None, tmp_path / "file" / "speech")
    assert await voice.say("hello") == tone(100)


def test_the_cache_follows_the_environment(tmp_path: Path) -> None:
    assert cache_folder({"XDG_CACHE_HOME": "/x"}) == Path("/x/parley/speech")
    assert cache_folder({"HOME": str(tmp_path)}) == tmp_path / ".cache/parley/speech"
    assert cache_folder({}).name.startswith("parley-speech-")


def test_the_caller_does_not_sound_like_the_agent() -> None:
    assert default_voice("en-US") == "en-us+m3"
