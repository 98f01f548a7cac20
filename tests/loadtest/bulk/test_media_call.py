"""One bulk caller, its server played by the test."""

from base64 import b64encode
from typing import Any

import orjson
import pytest

from agent.audio.formats import PCMU_8K
from agent.clock import LoopClock
from loadtest.bulk.dialect import TWILIO
from loadtest.bulk.figures import Figures
from loadtest.bulk.media_call import Doing, MediaCall
from loadtest.bulk.script import Script
from tests.loadtest.bulk.speeches import LOUD, speech
from tests.loadtest.bulk.wire import messages


class Scene:
    """A caller, and time in steps of 20 ms."""

    def __init__(self, script: Script, seed: int = 0) -> None:
        self.figures = Figures()
        stream = TWILIO.open(LoopClock.__new__(LoopClock), {})
        self.call = MediaCall(stream, speech(), script, self.figures, seed)
        self.now_ms = 1_000.0
        self.sent: list[dict[str, Any]] = []

    def pass_ms(self, duration_ms: float) -> None:
        for _ in range(int(duration_ms // 20)):
            self.now_ms += 20.0
            self.sent += messages(self.call.tick(self.now_ms))

    def until(self, doing: Doing, limit_ms: float = 10_000) -> None:
        for _ in range(int(limit_ms // 20)):
            if self.call.doing is doing:
                return
            self.pass_ms(20)
        raise AssertionError(f"still {self.call.doing}")

    def agent_says(self, duration_ms: float) -> None:
        audio = (LOUD * 100)[: int(duration_ms * 8)]
        self.receive({"event": "media", "media": {"payload": b64encode(audio).decode()}})

    def receive(self, message: object) -> None:
        self.sent += messages(self.call.received(orjson.dumps(message), self.now_ms))

    def named(self, event: str) -> list[dict[str, Any]]:
        return [message for message in self.sent if message["event"] == event]


PLAIN = Script(think_ms=(200.0, 200.0), barge_every=0)
BARGING = Script(think_ms=(200.0, 200.0), barge_every=1, barge_after_ms=300.0)


def waiting(script: Script) -> Scene:
    """A caller who has just asked something."""
    scene = Scene(script)
    scene.agent_says(500)
    scene.until(Doing.SPEAKING)
    scene.until(Doing.WAITING)
    return scene


def test_a_quiet_line_is_sent_without_a_gap_until_the_greeting_was_heard() -> None:
    scene = Scene(PLAIN)
    scene.pass_ms(2_000)
    assert scene.call.doing is Doing.GREETED
    media = scene.named("media")
    assert len(media) == 100 == scene.figures.frames_sent
    assert [int(each["sequenceNumber"]) for each in media] == list(range(2, 102))
    assert [int(each["media"]["timestamp"]) for each in media] == list(range(20, 2_020, 20))


def test_the_caller_speaks_after_the_greeting_and_some_thought() -> None:
    scene = Scene(PLAIN)
    scene.agent_says(500)
    begun_ms = scene.now_ms
    scene.until(Doing.SPEAKING)
    # 500 ms of greeting, 400 ms of silence to be sure, 200 ms of thought.
    assert scene.now_ms - begun_ms == pytest.approx(1_100, abs=41)
    assert scene.figures.greetings == 1


def test_voice_to_voice_is_from_the_last_voiced_sample_to_the_first_audible_one() -> None:
    scene = waiting(PLAIN)
    # 100 ms of tone end with its last frame, which was sent in full at this moment.
    scene.pass_ms(340)
    quiet_first = PCMU_8K.silence(80) + LOUD
    scene.receive({"event": "media", "media": {"payload": b64encode(quiet_first).decode()}})
    assert scene.figures.voice_to_voice_ms == [pytest.approx(340 + 10, abs=1)]
    assert scene.call.doing is Doing.LISTENING
    assert scene.figures.turns == 1


def test_a_turn_without_an_answer_is_counted_and_asked_again() -> None:
    scene = waiting(PLAIN)
    scene.pass_ms(5_040)
    assert scene.figures.unanswered == 1
    scene.until(Doing.SPEAKING)


def test_a_barge_in_is_from_its_first_frame_to_the_clear() -> None:
    scene = waiting(BARGING)
    scene.agent_says(2_000)
    scene.until(Doing.INTERRUPTING)
    assert scene.figures.barge_ins == 1
    scene.pass_ms(40)
    scene.receive({"event": "mark", "mark": {"name": "end"}})
    scene.receive({"event": "clear"})
    assert scene.figures.barge_in_ms == [pytest.approx(60, abs=20)]
    assert [each["mark"]["name"] for each in scene.named("mark")] == ["end"], "clear gives marks back at once"
    scene.agent_says(20)
    assert scene.figures.stale == 1, "audio behind a clear"
    scene.until(Doing.WAITING)
    assert scene.figures.missed_barge_ins == 0


def test_an_interruption_without_clear_is_missed() -> None:
    scene = waiting(BARGING)
    scene.agent_says(5_000)
    scene.until(Doing.INTERRUPTING)
    scene.until(Doing.WAITING)
    assert scene.figures.missed_barge_ins == 1
    assert not scene.figures.barge_in_ms


def test_a_mark_comes_back_when_what_was_before_it_has_been_played() -> None:
    scene = waiting(PLAIN)
    scene.agent_says(500)
    scene.receive({"event": "mark", "mark": {"name": "1.1"}})
    scene.pass_ms(480)
    assert not scene.named("mark")
    scene.pass_ms(40)
    assert [each["mark"]["name"] for each in scene.named("mark")] == ["1.1"]


def test_a_gap_is_audio_that_came_too_late_for_a_playout_buffer() -> None:
    scene = waiting(PLAIN)
    scene.agent_says(100)
    scene.pass_ms(140)
    scene.agent_says(100)
    assert scene.figures.gaps == 0, "40 ms late: a buffer of 60 ms hides it"
    scene.pass_ms(200)
    scene.agent_says(100)
    assert scene.figures.gaps == 1
    assert scene.figures.slack_ms == [pytest.approx(-40), pytest.approx(-100)]


def test_audio_while_the_caller_speaks_is_early() -> None:
    scene = Scene(PLAIN)
    scene.agent_says(500)
    scene.until(Doing.SPEAKING)
    scene.agent_says(20)
    assert scene.figures.early == 1


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"[]",
        b'"media"',
        b'{"event":"dance"}',
        b'{"event":"media"}',
        b'{"event":"media","media":{"payload":"*"}}',
    ],
)
def test_nonsense_from_the_server_is_counted(text: bytes) -> None:
    scene = Scene(PLAIN)
    assert scene.call.received(text, scene.now_ms) == b""
    assert scene.figures.bad_messages == 1


def test_hanging_up_says_stop_with_the_next_number() -> None:
    scene = Scene(PLAIN)
    scene.pass_ms(40)
    (stop,) = messages(scene.call.hang_up())
    assert (stop["event"], stop["sequenceNumber"]) == ("stop", "4")


def test_a_frame_that_was_sent_late_is_counted_from_when_it_was_due() -> None:
    scene = Scene(PLAIN)
    scene.agent_says(500)
    scene.until(Doing.SPEAKING)
    # The whole sentence goes out late, as from a process that was held up, and is made up for afterwards.
    scene.now_ms += 30.0
    scene.until(Doing.WAITING)
    last_sent_ms = scene.now_ms
    scene.agent_says(500)
    (answered,) = scene.figures.answered
    assert answered.call_id == scene.call.call_id
    assert answered.asked_ms == last_sent_ms - 30.0
    assert answered.asked_ms + answered.took_ms == last_sent_ms, "heard at once"
