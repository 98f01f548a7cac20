"""What the ears make of frames and transcripts, apart from a whole call."""

from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from agent.agentfile.load import parse_agent
from agent.audio.codec import make_encoder
from agent.audio.formats import PCMU_8K
from agent.chains import STTChain
from agent.ears import Ears
from agent.latency import CallCounters
from agent.scope import CallScope
from agent.turns.endpointing import Endpointer
from agent.turns.expectation import ANYTHING, Expect, Expectation
from agent.turns.machine import State
from tests import speech
from tests.agent.scripted import Phone, ScriptedSTT
from tests.agent.stage import AGENT, QUESTION
from tests.virtual import run_virtually, virtual_clock


class Scene:
    """Ears, and a call that only notes what they tell; its state is set by hand."""

    def __init__(self, **turns: Any) -> None:
        agent = parse_agent(AGENT, "agent.yaml")
        self.clock = virtual_clock()
        self.scope = CallScope("c1", self.clock, lambda: pytest.fail("a fault"))
        self.counters = CallCounters()
        self.stt = ScriptedSTT()
        self.state = State.IDLE
        self.language = "en"
        self.expectation = ANYTHING
        self.told: list[str] = []
        self.endpoints_ms: list[float] = []
        chain = STTChain([self.stt], agent.limits)
        settings = agent.turns.model_copy(update=turns)
        phone = Phone(lambda: pytest.fail("no call"))
        self.ears = Ears(
            phone, chain, settings, Endpointer(settings, ()), None, self.scope, self.counters, self
        )  # fmt: skip
        self.ears.recognition.listen(("en",), ())
        self.stream_ms = 0.0
        self._encoder = make_encoder(PCMU_8K)

    def recently_said(self) -> str:
        return "we are open from Monday to Friday"

    def voice(self) -> None:
        self.told.append("voice")
        self.state = State.HEARING

    def partial(self, text: str) -> None:
        self.told.append(text)

    def barge(self, onset_ms: float) -> None:
        self.told.append("barge")
        self.state = State.YIELDED

    def words(self) -> None:
        self.told.append("words")
        self.state = State.HEARING

    def quiet(self) -> None:
        self.told.append("quiet")
        self.state = State.SPEAKING

    def endpoint(self, last_voiced_ms: float) -> None:
        self.told.append("endpoint")
        self.endpoints_ms.append(last_voiced_ms)
        self.state = State.REPLYING

    async def hear(self, pcm: bytes, piece_ms: int = 20) -> None:
        """Feed `pcm` in pieces of that length, in real time."""
        mu_law = self._encoder.encode(pcm)
        for start in range(0, len(mu_law), piece_ms * 8):
            await self.clock.sleep(piece_ms)
            self.ears.hear(mu_law[start : start + piece_ms * 8], self.stream_ms)
            self.stream_ms += piece_ms


def scenario(play: Callable[[Scene], Coroutine[Any, Any, None]], **turns: Any) -> None:
    async def whole() -> None:
        scene = Scene(**turns)
        await play(scene)
        scene.scope.stop_timers()
        await scene.scope.cancel_tasks()
        await scene.ears.recognition.close()

    run_virtually(whole)


@pytest.mark.parametrize("piece_ms", [20, 30, 10, 100, 7])
def test_payloads_of_any_length_are_heard_alike(piece_ms: int) -> None:
    async def play(scene: Scene) -> None:
        began_ms = scene.clock.now_ms()
        await scene.hear(speech.silence(400) + QUESTION + speech.silence(800), piece_ms)
        assert scene.told == ["voice", "endpoint"]
        spoken_ms = 400 + len(QUESTION) / 16
        assert scene.endpoints_ms[0] - began_ms == pytest.approx(spoken_ms, abs=160 + piece_ms)

    scenario(play)


@pytest.mark.parametrize("before_ms", [1_000, 1_800, 3_000, 5_200])
def test_a_soft_last_sound_is_the_end_of_a_turn_whatever_the_line_carried_before(before_ms: int) -> None:
    """The "t" of "visit", behind a closure: voice detection alone hears it on one line and not on another."""
    said = speech.trimmed(speech.speech("How much is a first visit?", voice="en-us+m3"), below_peak_db=30.0)
    said = said[: len(said) // 320 * 320]

    async def play(scene: Scene) -> None:
        began_ms = scene.clock.now_ms()
        await scene.hear(speech.noise("white", before_ms, -76.0))
        await scene.hear(said + speech.noise("white", 1_200, -76.0))
        spoken_ms = before_ms + len(said) / 16
        assert scene.endpoints_ms[-1] - began_ms == pytest.approx(spoken_ms, abs=21)

    scenario(play)


def test_a_frame_that_the_network_held_up_counts_as_late() -> None:
    async def play(scene: Scene) -> None:
        await scene.hear(speech.silence(200))
        await scene.clock.sleep(60)
        await scene.hear(speech.silence(20))
        assert scene.counters.frames_in == 11
        assert scene.counters.frames_late == 1

    scenario(play)


def test_a_turn_that_a_pause_of_thought_interrupts_goes_on() -> None:
    async def play(scene: Scene) -> None:
        await scene.hear(QUESTION + speech.silence(480) + QUESTION + speech.silence(700))
        assert scene.told == ["voice", "endpoint"]

    scenario(play)


def test_recognition_is_asked_for_the_last_word_once_in_each_pause() -> None:
    async def play(scene: Scene) -> None:
        scene.stt.finalizes_pauses = True
        await scene.clock.sleep(100)
        await scene.hear(QUESTION + speech.silence(100))
        assert scene.stt.running == 1
        before = scene.stt.stream.finalized
        await scene.hear(speech.silence(160))
        assert scene.stt.stream.finalized == before + 1
        await scene.hear(speech.silence(160))
        assert scene.stt.stream.finalized == before + 1
        await scene.hear(QUESTION + speech.silence(700))
        assert scene.stt.stream.finalized > before + 1
        assert scene.told == ["voice", "endpoint"]

    scenario(play)


@pytest.mark.parametrize(
    ("text", "confidence", "expectation", "decides"),
    [
        ("stop it please", None, ANYTHING, True),
        ("stop", 0.9, ANYTHING, True),
        ("stop", 0.1, ANYTHING, False),
        ("mhm", None, ANYTHING, False),
        ("yeah", None, ANYTHING, False),
        ("yeah", None, Expectation(Expect.YES_NO), True),
        ("open from monday", None, ANYTHING, False),
    ],
)
def test_which_words_end_the_agents_turn(
    text: str, confidence: float | None, expectation: Expectation, *, decides: bool
) -> None:
    async def play(scene: Scene) -> None:
        scene.state = State.YIELDED
        scene.expectation = expectation
        await scene.hear(speech.silence(40))
        scene.stt.partial(text, confidence)
        assert scene.told == (["words"] if decides else [])

    scenario(play)


def test_a_sound_that_has_lasted_too_long_is_ignored_until_it_pauses() -> None:
    async def play(scene: Scene) -> None:
        await scene.hear(QUESTION)
        scene.ears.ignore_voice()
        scene.state = State.IDLE
        scene.told.clear()
        await scene.hear(QUESTION)
        assert scene.told == []
        await scene.hear(speech.silence(400) + QUESTION)
        assert scene.told == ["voice"]

    scenario(play)


def test_silence_and_noise_are_nothing() -> None:
    async def play(scene: Scene) -> None:
        await scene.hear(speech.noise("comfort", 4_000, -60) + speech.clicks(5, 200))
        assert scene.told == []

    scenario(play)


def test_any_bytes_are_borne() -> None:
    async def play(scene: Scene) -> None:
        random = np.random.default_rng(1)
        for length in (0, 1, 159, 161, 4_000):
            scene.ears.hear(bytes(random.integers(0, 256, length, np.uint8)), 0.0)
            await scene.clock.sleep(20)

    scenario(play)
