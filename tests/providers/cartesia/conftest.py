"""A simulated Cartesia that answers at once, and what is needed to hear it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from agent.agentfile.load import load_agent
from agent.audio.formats import PCMU_8K
from agent.clock import LoopClock
from agent.providers import ProviderContext, SpeechChunk, SpeechRequest
from loadtest.simulators.cartesia import TIMINGS, CartesiaSimulator
from loadtest.simulators.profile import Profile, Timings
from providers.cartesia import Cartesia

TEXT = "We are open from eight to six."
OTHER = "The first visit is free of charge."
KEY = "ca-secret"


def at_once() -> Timings:
    timings = Timings({name: Profile.fixed(0) for name in TIMINGS})
    timings.set("slow_close", Profile.fixed(60_000))
    timings.set("dribble", Profile.fixed(60_000))
    return timings


@pytest.fixture
async def simulator() -> AsyncIterator[CartesiaSimulator]:
    async with CartesiaSimulator(
        LoopClock(), timings=at_once(), faults_per_context=True, api_key=KEY
    ) as running:
        yield running


def provider(url: str, key: str | None = KEY, **options: object) -> Cartesia:
    secrets = {"CARTESIA_API_KEY": key} if key is not None else {}
    return Cartesia(ProviderContext(load_agent(None), LoopClock(), {"base_url": url, **options}, secrets))


@pytest.fixture
async def cartesia(simulator: CartesiaSimulator) -> AsyncIterator[Cartesia]:
    made = provider(simulator.url)
    yield made
    await made.close()


def request(text: str = TEXT, **fields: Any) -> SpeechRequest:
    defaults: dict[str, Any] = {"language": "en-US", "audio": PCMU_8K}
    return SpeechRequest(text, **{**defaults, **fields})


async def spoken(cartesia: Cartesia, asked: SpeechRequest) -> list[SpeechChunk]:
    return [chunk async for chunk in cartesia.speak(asked)]


def audio(chunks: list[SpeechChunk]) -> bytes:
    return b"".join(chunk.audio for chunk in chunks)


async def until(condition: Callable[[], bool]) -> None:
    """Poll for at most 3 s."""
    for _ in range(600):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen within 3 s")
