"""A simulated Deepgram that knows two sentences, and what a call needs to be heard by it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable

import pytest

from agent.agentfile.load import load_agent
from agent.audio.formats import PCMU_8K
from agent.clock import LoopClock
from agent.providers import ProviderContext, STTStream, Transcript
from loadtest.callers.codec import codec_for
from loadtest.callers.utterance import utterance
from loadtest.simulators.audio_fingerprint import Fingerprints
from loadtest.simulators.deepgram_live import TIMINGS, DeepgramLiveSimulator
from loadtest.simulators.profile import Profile, Timings
from loadtest.speech import embedded_voice
from providers.deepgram import Deepgram

HOURS = "What are your opening hours?"
GOODBYE = "Goodbye."
KEY = "dg-secret"


@pytest.fixture
async def speech() -> dict[str, bytes]:
    """Each sentence as mu-law, with 400 ms of silence behind it."""
    voice = embedded_voice(LoopClock(), os.environ)
    try:
        pcm = {text: b"".join(utterance(text, await voice.say(text)).frames) for text in (HOURS, GOODBYE)}
    finally:
        await voice.close()
    return pcm


@pytest.fixture
async def simulator(speech: dict[str, bytes]) -> AsyncIterator[DeepgramLiveSimulator]:
    """Answers at once."""
    timings = Timings({name: Profile.fixed(0) for name in TIMINGS})
    timings.set("slow_close", Profile.fixed(60_000))
    timings.set("dribble", Profile.fixed(60_000))
    async with DeepgramLiveSimulator(
        LoopClock(), Fingerprints(speech), timings=timings, api_key=KEY
    ) as running:
        yield running


class Listener:
    """Remembers what a stream reported."""

    def __init__(self) -> None:
        self.transcripts: list[Transcript] = []
        self.errors: list[Exception] = []
        self._news = asyncio.Event()

    def transcript(self, transcript: Transcript) -> None:
        self.transcripts.append(transcript)
        self._news.set()

    def stt_failed(self, error: Exception) -> None:
        self.errors.append(error)
        self._news.set()

    @property
    def finals(self) -> list[str]:
        return [found.text for found in self.transcripts if found.final and found.text]

    @property
    def flushed(self) -> int:
        return sum(found.flushed for found in self.transcripts)

    async def until(self, enough: Callable[["Listener"], bool], within_s: float = 5.0) -> None:
        async with asyncio.timeout(within_s):
            while not enough(self):
                self._news.clear()
                await self._news.wait()


def mu_law(pcm: bytes) -> bytes:
    """With 400 ms of silence behind it, as an endpoint has heard them."""
    return codec_for(PCMU_8K).encode(pcm) + PCMU_8K.silence(3200)


def feed(stream: STTStream, audio: bytes) -> None:
    """In frames of 20 ms, faster than real time."""
    for start in range(0, len(audio), PCMU_8K.frame_bytes):
        stream.feed(audio[start : start + PCMU_8K.frame_bytes])


def provider(url: str, key: str | None = KEY, **options: object) -> Deepgram:
    secrets = {"DEEPGRAM_API_KEY": key} if key is not None else {}
    return Deepgram(ProviderContext(load_agent(None), LoopClock(), {"base_url": url, **options}, secrets))


@pytest.fixture
async def deepgram(simulator: DeepgramLiveSimulator) -> AsyncIterator[Deepgram]:
    made = provider(simulator.url)
    yield made
    await made.close()


async def until(condition: Callable[[], bool]) -> None:
    """Poll for at most 3 s."""
    for _ in range(600):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen within 3 s")
