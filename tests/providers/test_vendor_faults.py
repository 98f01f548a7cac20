"""A vendor's fault never ends a call: the caller hears the next provider or an honest sentence.

Whole calls through Deepgram, OpenAI and Cartesia over real sockets, each vendor failing in each way there is.
Both voices say each word as a tone of its own, so what the caller hears is told from the sound that reached
him.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pytest

from agent import wording
from agent.agentfile.load import parse_agent
from agent.audio.codec import make_decoder
from agent.audio.formats import FRAME_MS, PCMU_8K, linear
from agent.chains import LLMChain, STTChain, TTSChain
from agent.providers import Provider, ProviderContext
from agent.records import TurnRecord
from agent.turns.machine import State
from loadtest.simulators import cartesia, deepgram_live, openai_chat
from loadtest.simulators.audio_fingerprint import Fingerprints
from loadtest.simulators.cartesia import CartesiaSimulator
from loadtest.simulators.cartesia_voice import TONES_HZ, tone_of, tones
from loadtest.simulators.deepgram_live import DeepgramLiveSimulator
from loadtest.simulators.faults import ALL_FAULTS, Fault
from loadtest.simulators.openai_chat import OpenAIChatSimulator
from loadtest.simulators.openai_chunks import Answer
from loadtest.simulators.profile import Profile, Timings
from loadtest.simulators.served import Simulator
from providers.cartesia import Cartesia
from providers.deepgram import Deepgram
from providers.openai import OpenAIChat
from providers.openai import chat as _loaded  # noqa: F401  # time must not jump while a thread imports it
from tests import speech
from tests.agent.scripted import Phone
from tests.agent.stage import AGENT, GREETING, Stage
from tests.providers.hurried import run_hurried
from tests.virtual import virtual_clock

P = TypeVar("P", bound=Provider)

QUESTION = "What are your opening hours?"
SPOKEN = speech.speech(QUESTION)
ANSWER = "From eight in the morning until six."
OTHER_ANSWER = "Nine until five."
LIMITS = {"llm_first_token_ms": 2_000, "tts_first_audio_ms": 1_500, "stt_open_ms": 1_500}
THINKS_MS = 1_000.0
"""Before the caller asks. One who asks at once is told that he was not understood where Deepgram stalls: that
it does is only known after three seconds (`providers.deepgram.stream.STALL_MS`)."""
PHRASES = {
    name: wording.phrase(parse_agent(AGENT, "agent.yaml"), name, "en")
    for name in ("apology", "not_understood")
}
ALL_THERE_IS = {
    Fault.DIE_MID_STREAM: f"From eight in {PHRASES['apology']}",
    Fault.DRIBBLE: ANSWER,
    Fault.SLOW_CLOSE: ANSWER,
}
"""What is heard of a model that has begun to answer: no other one can go on with it."""


def answer(body: Mapping[str, Any]) -> Answer:
    return Answer(ANSWER if body["messages"][-1]["content"] == QUESTION else "Pardon?")


def steady(timings: Mapping[str, Profile]) -> Timings:
    """The vendor at its median."""
    return Timings({name: Profile.fixed(profile.median_ms) for name, profile in timings.items()})


def sound(text: str) -> bytes:
    """The sentence in tones, as PCM16 at 8 kHz."""
    speaking = tones(text, "en", linear(8_000))
    try:
        speaking.__await__().__next__()  # it never waits
    except StopIteration as done:
        return bytes(done.value.audio)
    raise AssertionError(text)


class Desk:
    """A process whose providers are the three vendors, each with a scripted one behind it, unless `alone`."""

    def __init__(self, simulators: Mapping[str, Simulator], alone: str) -> None:
        self.simulators = simulators
        self.stage = stage = Stage(limits=LIMITS)
        stage.llm.says(OTHER_ANSWER)
        stage.tts.voice = sound
        stage.stt.answers.append(QUESTION)

        def reached(vendor: str) -> ProviderContext:
            return ProviderContext(stage.agent, stage.clock, {"base_url": simulators[vendor].url})

        def and_a_spare(vendor: P, other: P) -> list[P]:
            return [vendor] if vendor.name == alone else [vendor, other]

        limits = stage.agent.limits
        self.chains = (
            STTChain(and_a_spare(Deepgram(reached("deepgram")), stage.stt), limits),
            LLMChain(and_a_spare(OpenAIChat(reached("openai")), stage.llm), limits),
            TTSChain(and_a_spare(Cartesia(reached("cartesia")), stage.tts), limits),
        )
        stage.services = replace(stage.services, stt=self.chains[0], llm=self.chains[1], tts=self.chains[2])

    async def call(self) -> TurnRecord:
        """The caller is greeted, asks, and hears what comes of it."""
        stage = self.stage
        await asyncio.gather(*(chain.warm() for chain in self.chains))
        phone = stage.ring()
        await self.until(lambda: stage.record.turns[-1].agent)
        await stage.wait(THINKS_MS)
        phone.says(SPOKEN)
        await self.until(lambda: stage.record.turns[1:])
        assert stage.ended == []
        assert not stage.phone.hung_up_ms
        return stage.record.turns[1]

    async def until(self, so: Callable[[], object]) -> None:
        """Go on until that is so, and the agent has nothing more to say."""
        while not (so() and self.stage.state is State.IDLE):
            assert self.stage.phone.now_ms < 30_000, "never came"
            await self.stage.wait(FRAME_MS)

    async def close(self) -> None:
        await self.stage.finish()
        for chain in self.chains:
            await chain.close()


@asynccontextmanager
async def desk(failing: str, fault: Fault, alone: str = "") -> AsyncIterator[Desk]:
    clock = virtual_clock()
    simulators: dict[str, Simulator] = {
        "deepgram": DeepgramLiveSimulator(
            clock, Fingerprints({QUESTION: SPOKEN}), timings=steady(deepgram_live.TIMINGS)
        ),
        "openai": OpenAIChatSimulator(clock, answer, timings=steady(openai_chat.TIMINGS)),
        "cartesia": CartesiaSimulator(clock, timings=steady(cartesia.TIMINGS)),
    }
    async with AsyncExitStack() as stack:
        for simulator in simulators.values():
            await stack.enter_async_context(simulator)
        simulators[failing].faults.switch(1, [fault])
        made = Desk(simulators, alone)
        yield made
        await made.close()
        assert simulators[failing].faults.done[fault]


def heard(phone: Phone) -> list[int]:
    """The tones that reached the caller, in order, in Hz."""
    pcm = np.frombuffer(make_decoder(PCMU_8K).decode(phone.played), "<i2").astype(float)
    loud = np.abs(pcm[: len(pcm) // 40 * 40].reshape(-1, 40)).max(axis=1) > 1_000  # in steps of 5 ms
    edges = np.flatnonzero(np.diff(np.concatenate(([False], loud, [False])).astype(int))) * 40
    spectra = [np.abs(np.fft.rfft(pcm[begin:end], 8_000)) for begin, end in edges.reshape(-1, 2)]
    distances = [np.abs(np.array(TONES_HZ) - spectrum.argmax()) for spectrum in spectra]
    return [TONES_HZ[distance.argmin()] for distance in distances]


def told(text: str) -> list[int]:
    """The tones of a text."""
    return [tone_of(word) for word in text.split()]


def hears(failing: str, fault: Fault, words: str, *, alone: bool, by: Mapping[str, str]) -> None:
    """Assert what the caller hears, greeting included, and who served him."""

    async def story() -> None:
        async with desk(failing, fault, failing if alone else "") as made:
            turn = await made.call()
            assert heard(made.stage.phone) == told(words), made.stage.record.turns
            assert {**turn.providers, **by} == turn.providers

    run_hurried(story)


@pytest.mark.parametrize("fault", ALL_FAULTS)
def test_another_recogniser_hears_what_the_vendor_s_did_not(fault: Fault) -> None:
    well = fault is Fault.SLOW_CLOSE
    by = {"stt": "deepgram" if well else "scripted", "llm": "openai", "tts": "cartesia"}
    hears("deepgram", fault, f"{GREETING} {ANSWER}", alone=False, by=by)


@pytest.mark.parametrize("fault", ALL_FAULTS)
def test_who_is_not_heard_is_told_so(fault: Fault) -> None:
    said = ANSWER if fault is Fault.SLOW_CLOSE else PHRASES["not_understood"]
    hears("deepgram", fault, f"{GREETING} {said}", alone=True, by={})


@pytest.mark.parametrize("fault", ALL_FAULTS)
def test_another_model_answers_or_the_agent_says_that_it_cannot(fault: Fault) -> None:
    said = ALL_THERE_IS.get(fault, OTHER_ANSWER)
    by = {"stt": "deepgram", "llm": "scripted" if said is OTHER_ANSWER else "openai"}
    hears("openai", fault, f"{GREETING} {said}", alone=False, by=by)


@pytest.mark.parametrize("fault", ALL_FAULTS)
def test_with_no_other_model_the_agent_says_that_it_cannot_answer(fault: Fault) -> None:
    said = ALL_THERE_IS.get(fault, PHRASES["apology"])
    hears("openai", fault, f"{GREETING} {said}", alone=True, by={})


@pytest.mark.parametrize("fault", ALL_FAULTS)
def test_another_voice_says_what_the_vendor_s_did_not(fault: Fault) -> None:
    said = f"{GREETING} {ANSWER}"
    if fault is Fault.DRIBBLE:
        # The caller hears the syllable at which it got stuck twice.
        said = f"{GREETING.split()[0]} {GREETING} {ANSWER.split()[0]} {ANSWER}"
    by = {"stt": "deepgram", "llm": "openai", "tts": "cartesia" if fault is Fault.SLOW_CLOSE else "scripted"}
    hears("cartesia", fault, said, alone=False, by=by)


def test_what_is_cut_short_is_given_up_at_the_vendors_within_a_frame() -> None:
    async def story() -> None:
        async with desk("openai", Fault.DRIBBLE) as made:
            stage, model, voice = made.stage, made.simulators["openai"], made.simulators["cartesia"]
            assert isinstance(model, OpenAIChatSimulator)
            assert isinstance(voice, CartesiaSimulator)
            model.answers = lambda _: Answer("Yes. " + ANSWER)
            stage.ring()
            await made.until(lambda: stage.record.turns[-1].agent)
            stage.media.typed(QUESTION)
            while not voice.counts.active:
                await stage.wait(1.0)
            stage.call.replies.cancel()
            await stage.wait(FRAME_MS)
            assert voice.counts.cancelled == 1
            assert model.counts.abandoned == 1

    run_hurried(story)
