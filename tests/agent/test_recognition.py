"""One call's recognition through failures, reopenings and late answers: no word is lost or doubled.

All on a virtual clock, with recognisers that do what the test says.
"""

import asyncio
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest

from agent.agentfile.schema import Limits
from agent.audio.formats import PCMA_8K, PCMU_8K, AudioFormat, linear
from agent.chains import STTChain
from agent.clock import LoopClock
from agent.errors import ProviderUnavailable
from agent.latency import CallCounters
from agent.providers import ListenRequest, Transcript, TranscriptListener
from agent.recognition import (
    CLOSE_MS,
    FINAL_LAG_MS,
    LATE_FINAL_MS,
    MAX_RETRY_MS,
    PREROLL_MS,
    RETRY_MS,
    UTTERANCE_MS,
    Recognition,
)
from agent.scope import CallScope
from tests.virtual import run_virtually, virtual_clock


class Stream:
    """A recogniser's stream that says what the test tells it to say."""

    def __init__(self, request: ListenRequest, listener: TranscriptListener) -> None:
        self.request = request
        self.listener = listener
        self.fed: list[bytes] = []
        self.finalized = 0
        self.closed = 0
        self.answer: str | None = None
        self.close_delay_ms = 0.0

    @property
    def frames(self) -> list[int]:
        """Numbers of the frames fed."""
        return [payload[0] for payload in self.fed]

    def feed(self, audio: bytes) -> None:
        self.fed.append(audio)

    def finalize(self) -> None:
        self.finalized += 1
        if self.answer is not None:
            self.say(self.answer, final=True, flushed=True)

    def say(self, text: str, *, final: bool = False, flushed: bool = False) -> None:
        self.listener.transcript(Transcript(text, final, flushed))

    def fail(self) -> None:
        self.listener.stt_failed(ProviderUnavailable("test", "connection lost"))

    async def close(self) -> None:
        self.closed += 1
        await asyncio.sleep(self.close_delay_ms / 1000)


class Recogniser:
    """A provider. `ill`: opening raises; `open_ms`: how long opening takes."""

    def __init__(self, name: str, audio: AudioFormat | None = None) -> None:
        self.name = name
        self.finalizes_pauses = True
        self.audio = audio
        self.ill = False
        self.open_ms = 50.0
        self.tried = 0
        self.streams: list[Stream] = []
        self.on_open: Callable[[Stream], object] = lambda _: None

    @property
    def stream(self) -> Stream:
        return self.streams[-1]

    async def warm(self) -> None: ...

    async def close(self) -> None: ...

    def input_format(self, line: AudioFormat) -> AudioFormat:
        return self.audio or line

    async def open(self, request: ListenRequest, listener: TranscriptListener) -> Stream:
        self.tried += 1
        await asyncio.sleep(self.open_ms / 1000)
        if self.ill:
            raise ProviderUnavailable(self.name, "no")
        stream = Stream(request, listener)
        self.streams.append(stream)
        self.on_open(stream)
        return stream


@pytest.fixture(autouse=True)
def frame_by_frame(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames are fed as they come, so that what was fed can be compared frame by frame."""
    if "in_pieces" not in request.node.name:
        monkeypatch.setattr("agent.recognition.SPEECH_MS", 20.0)
        monkeypatch.setattr("agent.recognition.PAUSE_MS", 20.0)


class Scene:
    """A call's recognition with two recognisers, and a caller who can be made to speak."""

    def __init__(self, *recognisers: Recogniser) -> None:
        self.one, self.two = recognisers or (Recogniser("one"), Recogniser("two"))
        self.clock: LoopClock = virtual_clock()
        self.counters = CallCounters()
        self.faults: list[None] = []
        self.words: list[str] = []
        self.scope = CallScope("test", self.clock, lambda: self.faults.append(None))
        chain = STTChain([self.one, self.two], Limits())
        self.recognition = Recognition(
            chain, self.clock, self.counters, self.scope, lambda heard: self.words.append(heard.text)
        )
        self.recognition.listen_to(PCMU_8K)
        self.frame = 0

    async def open(self) -> None:
        self.recognition.listen(("en-US",), ("hello",))
        await self.wait(60)

    async def wait(self, duration_ms: float) -> None:
        await self.clock.sleep(duration_ms)

    async def hear(self, duration_ms: float, *, speaking: bool = True) -> None:
        """The caller's audio in real time: frames numbered from 0, modulo 256."""
        for _ in range(int(duration_ms / 20)):
            await self.wait(20)
            number = bytes([self.frame % 256])
            self.recognition.feed(number * 160, number * 320, speaking)
            self.frame += 1

    async def close(self) -> None:
        self.scope.stop_timers()
        await self.recognition.close()
        await self.scope.cancel_tasks()
        assert self.faults == []


def scenario(play: Callable[[Scene], Coroutine[Any, Any, None]], *recognisers: Recogniser) -> Scene:
    """Play one scene on a virtual loop."""

    async def whole() -> Scene:
        scene = Scene(*recognisers)
        await play(scene)
        await scene.close()
        return scene

    return run_virtually(whole)


# --- the ordinary turn ---------------------------------------------------------------------------------


def test_words_come_as_they_are_recognised_and_are_collected_at_the_end() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        stream = scene.one.stream
        assert (stream.request.languages, stream.request.phrases) == (("en-US",), ("hello",))
        await scene.hear(500)
        stream.say("what are")
        assert scene.recognition.text.text == "what are"
        stream.answer = "what are your hours"
        assert await scene.recognition.collect() == "what are your hours"
        scene.recognition.taken()
        assert scene.recognition.text.text == ""
        assert scene.words == ["what are", "what are your hours"]
        assert scene.recognition.provider == "one"

    scenario(play)


def test_words_that_were_asked_for_in_the_pause_are_there_when_it_has_become_the_end() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        stream = scene.one.stream
        await scene.hear(500)
        scene.recognition.paused()
        await scene.wait(100)
        stream.say("what are your hours", final=True, flushed=True)
        await scene.wait(60)
        asked_ms = scene.clock.now_ms()
        assert await scene.recognition.collect() == "what are your hours"
        assert scene.clock.now_ms() == asked_ms
        assert stream.finalized == 1
        scene.recognition.taken()
        await scene.hear(200)
        stream.say("and on sunday")
        assert scene.recognition.text.text == "and on sunday", "nothing of the next turn is dropped"

    scenario(play)


def test_an_answer_to_the_pause_that_is_still_to_come_is_waited_for() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        stream = scene.one.stream
        await scene.hear(500)
        scene.recognition.paused()
        collecting = asyncio.create_task(scene.recognition.collect())
        await scene.wait(90)
        assert not collecting.done()
        stream.say("what are your hours", final=True, flushed=True)
        assert await collecting == "what are your hours"
        assert stream.finalized == 1

    scenario(play)


def test_a_caller_who_goes_on_after_a_pause_is_asked_for_his_last_word_again() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        stream = scene.one.stream
        await scene.hear(500)
        stream.answer = "what are your"
        scene.recognition.paused()
        scene.recognition.resumed()
        await scene.hear(500)
        stream.answer = "hours on sunday"
        assert await scene.recognition.collect() == "what are your hours on sunday"
        assert stream.finalized == 2

    scenario(play)


def test_a_recogniser_that_dies_in_the_pause_is_replaced_and_the_turn_is_whole() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        scene.two.on_open = lambda stream: setattr(stream, "answer", "what are your hours")
        await scene.hear(500)
        scene.recognition.paused()
        await scene.wait(40)
        scene.one.stream.fail()
        assert await scene.recognition.collect() == "what are your hours"
        assert scene.two.stream.frames == list(range(25))

    scenario(play)


def test_each_word_asked_for_in_a_pause_counts_as_used_or_wasted_and_once() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        stream, counters, recognition = scene.one.stream, scene.counters, scene.recognition

        def counted() -> tuple[int, int]:
            return counters.finalizes_used, counters.finalizes_wasted

        await scene.hear(500)
        stream.answer = "what are your"
        recognition.paused()
        assert counted() == (0, 0), "it is not known yet"
        recognition.resumed()
        recognition.resumed()
        assert counted() == (0, 1), "the caller went on"
        recognition.paused()
        await recognition.collect()
        recognition.taken()
        assert counted() == (1, 1), "the pause was the end"
        await recognition.collect()
        assert counted() == (1, 1), "what is asked for at the end is not begun early"
        recognition.paused()
        recognition.forget()
        assert counted() == (1, 2), "they were no words"
        stream.answer = None
        recognition.paused()
        collecting = asyncio.create_task(recognition.collect())
        await scene.wait(10)
        collecting.cancel()
        await asyncio.gather(collecting, return_exceptions=True)
        assert counted() == (1, 3), "the caller went on while the answer was waited for"
        recognition.paused()
        stream.fail()
        await scene.wait(100)
        await recognition.collect()
        assert counted() == (1, 4), "who was asked has died"
        recognition.paused()

    scene = scenario(play)
    assert scene.counters.finalizes_wasted == 5, "the call ended in the pause"


def test_a_recogniser_that_wants_sentences_in_one_piece_is_not_asked_in_pauses() -> None:
    async def play(scene: Scene) -> None:
        scene.one.finalizes_pauses = False
        await scene.open()
        await scene.hear(500)
        scene.recognition.paused()
        assert scene.one.stream.finalized == 0
        scene.one.stream.answer = "hello"
        assert await scene.recognition.collect() == "hello"

    scenario(play)


def test_what_is_said_before_recognition_is_open_is_heard_by_it_from_the_first_frame() -> None:
    async def play(scene: Scene) -> None:
        scene.one.open_ms = 1_900
        scene.recognition.listen(("en-US",), ())
        await scene.hear(2_000)
        assert scene.one.stream.frames == list(range(100))

    scenario(play)


def test_a_collect_waits_for_recognition_that_is_still_being_opened() -> None:
    async def play(scene: Scene) -> None:
        scene.one.open_ms = 2_500
        scene.one.on_open = lambda stream: setattr(stream, "answer", "hello")
        scene.recognition.listen(("en-US",), ())
        await scene.hear(500)
        assert await scene.recognition.collect() == "hello"

    scenario(play)


def test_without_a_final_in_time_the_partial_is_used() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        scene.one.stream.say("opening hours")
        began_ms = scene.clock.now_ms()
        assert await scene.recognition.collect() == "opening hours"
        assert scene.clock.now_ms() - began_ms == pytest.approx(800)

    scenario(play)


def test_a_final_that_comes_after_its_turn_was_answered_is_not_the_next_turn() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        stream = scene.one.stream
        stream.say("opening hours")
        await scene.recognition.collect()
        scene.recognition.taken()
        await scene.wait(500)
        stream.say("what are your opening hours", final=True, flushed=True)
        assert scene.recognition.text.text == ""
        stream.say("thank you")
        assert scene.recognition.text.text == "thank you"

    scenario(play)


def test_an_answer_that_never_comes_does_not_make_recognition_deaf() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        scene.one.stream.say("opening hours")
        await scene.recognition.collect()
        scene.recognition.taken()
        await scene.wait(LATE_FINAL_MS)
        scene.one.stream.say("thank you")
        assert scene.recognition.text.text == "thank you"

    scenario(play)


def test_late_words_of_a_turn_that_had_none_are_a_turn() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        assert await scene.recognition.collect() == ""
        scene.recognition.taken()
        scene.one.stream.say("hello", final=True, flushed=True)
        assert scene.recognition.text.text == "hello"

    scenario(play)


def test_the_words_of_a_caller_who_goes_on_stay() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        stream = scene.one.stream
        stream.say("my number is", final=True)
        collecting = asyncio.create_task(scene.recognition.collect())
        await scene.wait(100)
        collecting.cancel()
        await asyncio.wait({collecting})
        stream.say("", final=True, flushed=True)
        stream.answer = "five five five"
        assert await scene.recognition.collect() == "my number is five five five"

    scenario(play)


def test_a_question_aside_is_answered_once() -> None:
    async def play(scene: Scene) -> None:
        answers: list[str] = []
        scene.recognition.ask(lambda: answers.append("deaf"))
        await scene.open()
        scene.recognition.ask(lambda: answers.append(scene.recognition.text.text))
        scene.one.stream.say("mhm", final=True, flushed=True)
        scene.one.stream.say("what", final=True, flushed=True)
        assert answers == ["mhm"]

    scenario(play)


# --- formats -------------------------------------------------------------------------------------------


def test_a_recogniser_that_wants_linear_audio_gets_what_was_decoded_already() -> None:
    async def play(scene: Scene) -> None:
        await scene.hear(40)
        await scene.open()
        await scene.hear(20)
        assert [len(audio) for audio in scene.one.stream.fed] == [320, 320, 320]

    scenario(play, Recogniser("one", linear(8_000)), Recogniser("two"))


def test_a_recogniser_that_wants_another_rate_gets_all_of_the_audio_in_it() -> None:
    async def play(scene: Scene) -> None:
        await scene.hear(400)
        await scene.open()
        await scene.hear(1_600)
        assert sum(map(len, scene.one.stream.fed)) == pytest.approx(2_000 * 32, abs=30 * 32)

    scenario(play, Recogniser("one", linear(16_000)), Recogniser("two"))


def test_a_call_that_goes_on_over_another_codec_is_heard_in_that() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        await scene.hear(200)
        scene.recognition.listen_to(PCMA_8K)
        scene.recognition.reopen(after=None)
        await scene.wait(60)
        await scene.hear(40)
        assert scene.one.stream.request.audio == PCMA_8K
        assert scene.one.stream.frames == [10, 11]

    scenario(play)


# --- failures ------------------------------------------------------------------------------------------


def test_the_next_recogniser_hears_what_the_one_that_died_had_not_answered() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        await scene.hear(3_000)
        scene.one.stream.say("I would like")
        scene.one.stream.fail()
        await scene.hear(100)
        assert scene.recognition.provider == "two"
        assert scene.two.stream.frames == list(range(155))
        scene.two.stream.answer = "I would like to book"
        assert await scene.recognition.collect() == "I would like to book"
        assert scene.one.stream.closed == 1
        assert scene.counters.provider_failures == 1

    scenario(play)


def test_words_that_are_certain_are_neither_lost_nor_said_twice() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        await scene.hear(2_000)
        scene.one.stream.say("my number is", final=True)
        await scene.hear(1_000)
        scene.one.stream.say("five five")
        scene.one.stream.fail()
        await scene.wait(60)
        replayed = scene.two.stream.frames
        assert replayed[-1] == 149
        assert len(replayed) * 20 == pytest.approx(1_000 + FINAL_LAG_MS, abs=60)
        assert scene.recognition.text.text == "my number is"
        scene.two.stream.answer = "five five five"
        assert await scene.recognition.collect() == "my number is five five five"

    scenario(play)


def test_a_failure_while_the_turn_is_collected_costs_no_word() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        await scene.hear(1_000)
        scene.one.stream.say("hello")
        scene.two.on_open = lambda stream: setattr(stream, "answer", "hello there")
        collecting = asyncio.create_task(scene.recognition.collect())
        await scene.wait(200)
        scene.one.stream.fail()
        assert await collecting == "hello there"

    scenario(play)


def test_partial_words_that_nobody_can_give_again_are_kept() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        await scene.hear(1_000)
        scene.one.stream.say("hello")
        scene.one.ill = scene.two.ill = True
        scene.one.stream.fail()
        assert await scene.recognition.collect() == "hello"

    scenario(play)


def test_of_an_utterance_longer_than_what_is_kept_the_words_stay_and_the_rest_is_replayed() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        await scene.hear(UTTERANCE_MS + 4_000)
        scene.one.stream.say("a very long story")
        await scene.hear(1_000)
        scene.one.stream.fail()
        await scene.wait(60)
        assert scene.recognition.text.text == "a very long story"
        assert len(scene.two.stream.fed) * 20 == pytest.approx(1_000 + FINAL_LAG_MS, abs=60)

    scenario(play)


def test_a_dead_stream_is_not_listened_to_any_more() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        dead = scene.one.stream
        dead.fail()
        dead.say("ghost", final=True)
        dead.fail()
        await scene.wait(60)
        dead.say("ghost", final=True)
        assert scene.recognition.text.text == ""
        assert scene.counters.provider_failures == 1

    scenario(play)


def test_a_line_on_which_nobody_spoke_is_replayed_with_a_little_pre_roll_only() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        await scene.hear(20_000, speaking=False)
        scene.one.stream.fail()
        await scene.wait(60)
        assert len(scene.two.stream.fed) * 20 == pytest.approx(PREROLL_MS, abs=20)

    scenario(play)


def test_a_turn_that_was_answered_is_not_replayed() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        await scene.hear(3_000)
        scene.one.stream.answer = "what are your hours"
        await scene.recognition.collect()
        scene.recognition.taken()
        await scene.hear(200, speaking=False)
        scene.one.stream.fail()
        await scene.wait(60)
        assert len(scene.two.stream.fed) * 20 == pytest.approx(200, abs=60)

    scenario(play)


def test_when_none_can_be_opened_it_is_tried_again_at_growing_intervals() -> None:
    async def play(scene: Scene) -> None:
        scene.one.ill = scene.two.ill = True
        tries: list[float] = []
        scene.recognition.listen(("en-US",), ())
        known = 0
        for _ in range(1_300):
            await scene.wait(100)
            if scene.one.tried > known:
                known = scene.one.tried
                tries.append(scene.clock.now_ms())
        pauses = [later - earlier for earlier, later in pairwise(tries)]
        expected = [RETRY_MS * 2**number for number in range(4)]
        assert pauses[:4] == pytest.approx([min(pause, MAX_RETRY_MS) + 100 for pause in expected], abs=150)
        assert all(pause <= MAX_RETRY_MS + 200 for pause in pauses)

    scenario(play)


def test_recognition_that_recovers_hears_what_was_said_meanwhile() -> None:
    async def play(scene: Scene) -> None:
        scene.one.ill = scene.two.ill = True
        scene.recognition.listen(("en-US",), ())
        await scene.hear(1_000)
        scene.one.ill = False
        await scene.hear(2_500)
        assert scene.one.stream.frames[0] == 0

    scenario(play)


def test_two_recognisers_that_die_at_once_are_not_opened_in_turn_without_end() -> None:
    async def play(scene: Scene) -> None:
        for recogniser in (scene.one, scene.two):
            recogniser.on_open = lambda stream: asyncio.get_running_loop().call_later(0.1, stream.fail)
        scene.recognition.listen(("en-US",), ())
        await scene.wait(10_000)
        assert 4 <= scene.one.tried + scene.two.tried <= 8

    scenario(play)


def test_words_reset_the_back_off() -> None:
    async def play(scene: Scene) -> None:
        scene.one.ill = scene.two.ill = True
        scene.recognition.listen(("en-US",), ())
        await scene.wait(10_500)  # two pauses: 3 s and 6 s
        scene.one.ill = False
        await scene.wait(15_000)
        scene.one.stream.say("hello", final=True)
        scene.one.ill = True
        tried = scene.one.tried
        scene.one.stream.fail()
        await scene.wait(RETRY_MS + 500)
        assert scene.one.tried == tried + 2

    scenario(play)


@pytest.mark.parametrize("when", ["in open", "in replay"])
def test_a_recogniser_that_fails_while_it_is_opened_is_passed_over(when: str) -> None:
    async def play(scene: Scene) -> None:
        if when == "in open":
            scene.one.on_open = lambda stream: stream.fail()
        else:
            scene.one.on_open = lambda stream: setattr(stream, "feed", lambda _: stream.fail())
        await scene.hear(100)
        await scene.open()
        await scene.wait(200)
        assert scene.recognition.provider == "two"
        assert scene.one.tried == 1
        assert scene.one.stream.closed == 1

    scenario(play)


# --- reopening and closing -----------------------------------------------------------------------------


def test_another_language_hears_the_utterance_again() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        await scene.hear(1_000)
        scene.one.stream.say("ola")
        first = scene.one.stream
        scene.recognition.listen(("es-ES", "en-US"), ("hola",))
        await scene.hear(100)
        assert first.closed == 1
        assert scene.one.stream.request.languages == ("es-ES", "en-US")
        assert scene.one.stream.frames == list(range(55))
        scene.one.stream.answer = "hola"
        assert await scene.recognition.collect() == "hola"

    scenario(play)


def test_a_second_switch_overtakes_the_first() -> None:
    async def play(scene: Scene) -> None:
        scene.recognition.listen(("es-ES",), ())
        await scene.wait(20)
        scene.recognition.listen(("de-DE",), ())
        await scene.wait(100)
        assert [stream.request.languages for stream in scene.one.streams] == [("de-DE",)]

    scenario(play)


def test_a_language_switch_during_the_back_off_is_not_reopened_by_the_old_timer() -> None:
    async def play(scene: Scene) -> None:
        scene.one.ill = scene.two.ill = True
        scene.recognition.listen(("en-US",), ())
        await scene.wait(1_000)
        scene.one.ill = False
        scene.recognition.listen(("es-ES",), ())
        await scene.wait(10_000)
        assert len(scene.one.streams) == 1

    scenario(play)


def test_closing_stops_everything_within_its_bound() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        scene.one.stream.close_delay_ms = 60_000
        began_ms = scene.clock.now_ms()
        await scene.recognition.close()
        assert scene.clock.now_ms() - began_ms == pytest.approx(CLOSE_MS)
        scene.one.stream.say("ghost", final=True)
        scene.recognition.reopen(after=None)
        assert scene.recognition.text.text == ""
        assert len(scene.one.streams) == 1

    scenario(play)


def test_closing_while_it_is_opened_leaves_nothing_behind() -> None:
    async def play(scene: Scene) -> None:
        scene.one.open_ms = 2_000
        scene.recognition.listen(("en-US",), ())
        await scene.wait(100)
        await scene.recognition.close()
        assert scene.one.streams == []

    scenario(play)


def test_nothing_is_fed_twice_to_a_stream() -> None:
    async def play(scene: Scene) -> None:
        scene.one.open_ms = 310
        scene.recognition.listen(("en-US",), ())
        await scene.hear(3_000)
        assert scene.one.stream.frames == list(range(150))

    scenario(play)


# --- pieces --------------------------------------------------------------------------------------------


def heard_by(stream: Stream) -> list[int]:
    """Numbers of the frames in all pieces fed: 160 bytes of PCMU each."""
    return list(b"".join(stream.fed)[::160])


def test_audio_is_fed_in_pieces_and_the_last_word_is_asked_of_all_of_it() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        stream = scene.one.stream
        await scene.hear(280, speaking=False)
        assert heard_by(stream) == list(range(10)), "200 ms while nobody speaks"
        await scene.hear(20)
        assert heard_by(stream) == list(range(15)), "the first voiced frame takes along what was left"
        await scene.hear(160)
        assert heard_by(stream) == list(range(20)), "100 ms while the caller speaks"
        scene.recognition.ask(lambda: None)
        assert heard_by(stream) == list(range(23)), "a turn's end waits for nothing"

    scenario(play)


def test_what_was_held_in_pieces_goes_to_the_next_recogniser_once() -> None:
    async def play(scene: Scene) -> None:
        await scene.open()
        await scene.hear(100)
        assert heard_by(scene.one.stream) == [0]
        scene.one.stream.fail()
        await scene.hear(100)
        scene.recognition.ask(lambda: None)
        assert heard_by(scene.two.stream) == list(range(10))

    scenario(play)
