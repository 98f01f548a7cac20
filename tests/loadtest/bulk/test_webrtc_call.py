"""One bulk caller in a browser, the server's packets made by the test."""

from dataclasses import replace

import numpy as np
import pytest

from agent.audio.formats import FRAME_MS
from loadtest.bulk.figures import Figures
from loadtest.bulk.first_word import Expected
from loadtest.bulk.media_call import DONE_MS, Doing
from loadtest.bulk.script import Script
from loadtest.bulk.speech import CallerSpeech, Spoken
from loadtest.bulk.webrtc_call import WebRtcCall
from loadtest.bulk.webrtc_codec import OPUS
from loadtest.callers.utterance import utterance
from tests import speech as spoken
from tests.loadtest.fakes import tone
from transports.webrtc.opus import SILENCE, OpusDecoder, OpusEncoder
from transports.webrtc.rtp import RtpPacket

SCRIPT = Script(think_ms=(100.0, 100.0), barge_every=1, barge_after_ms=200.0)


def speech() -> CallerSpeech:
    """A question of 200 ms, an interruption of a second."""
    return OPUS.speech(Spoken((utterance("one", tone(200)),), utterance("stop", tone(1_000))))


class Scene:
    """A caller, an agent that speaks or not, and time in steps of 20 ms."""

    def __init__(self, script: Script = SCRIPT) -> None:
        self.figures = Figures()
        self.pressed: list[str] = []
        self.call = WebRtcCall("w-1", speech(), script, self.figures, 0, press=self.pressed.append)
        self.now_ms = 1_000.0
        self.sent: list[bytes] = []
        self._encoder = OpusEncoder(24_000, 32_000, 5)
        self._frame = np.resize(np.frombuffer(tone(20), "<i2"), 480).tobytes()
        self._timestamp = 4_000_000_000

    def pass_ms(self, duration_ms: float, *, agent: bool = False, late_ms: float = 0.0) -> None:
        for _ in range(int(duration_ms // FRAME_MS)):
            self.now_ms += FRAME_MS
            self._timestamp = self._timestamp + OPUS.step & 0xFFFFFFFF
            self.sent.append(self.call.tick(self.now_ms))
            if agent:
                self.receive(self._encoder.encode(self._frame), late_ms)

    def fall_silent(self) -> None:
        """At both ends of the codec: its memory of the last sound fades."""
        for _ in range(5):
            self.receive(self._encoder.encode(bytes(960)))

    def receive(self, payload: bytes, late_ms: float = 0.0) -> None:
        self.call.packet(RtpPacket(111, 0, self._timestamp, 1, payload), self.now_ms + late_ms)

    def until(self, doing: Doing, *, agent: bool = False) -> None:
        for _ in range(500):
            if self.call.doing is doing:
                return
            self.pass_ms(FRAME_MS, agent=agent)
        raise AssertionError(f"still {self.call.doing}")


def waiting(script: Script = SCRIPT) -> Scene:
    scene = Scene(script)
    scene.pass_ms(300, agent=True)
    scene.until(Doing.WAITING)
    return scene


def test_every_tick_is_a_packet_of_what_the_caller_says() -> None:
    scene = waiting()
    decoder = OpusDecoder(8_000)
    loudness = [float(np.abs(np.frombuffer(decoder.decode(each), "<i2")).max()) for each in scene.sent]
    loud = [index for index, value in enumerate(loudness) if value > 2_000]
    assert 9 <= len(loud) <= 12, "200 ms of speech"
    assert loud[-1] - loud[0] == len(loud) - 1, "without a gap"


def test_the_wait_ends_with_the_first_audible_packet() -> None:
    scene = waiting()
    scene.pass_ms(300)
    scene.receive(SILENCE)
    assert scene.call.doing is Doing.WAITING, "silence is no answer"
    scene.until(Doing.LISTENING, agent=True)
    (took_ms,) = scene.figures.voice_to_voice_ms
    assert 300 <= took_ms <= 300 + 4 * FRAME_MS


def test_an_interruption_ends_when_the_agent_is_silent() -> None:
    scene = waiting()
    scene.until(Doing.LISTENING, agent=True)
    scene.until(Doing.INTERRUPTING, agent=True)
    scene.pass_ms(140, agent=True)
    scene.pass_ms(DONE_MS + 3 * FRAME_MS)
    (stopped_ms,) = scene.figures.barge_in_ms
    assert 140 <= stopped_ms <= 140 + 2 * FRAME_MS
    scene.until(Doing.WAITING)
    assert scene.figures.missed_barge_ins == 0


def test_an_agent_that_speaks_on_is_a_missed_interruption() -> None:
    scene = waiting()
    scene.until(Doing.LISTENING, agent=True)
    scene.until(Doing.INTERRUPTING, agent=True)
    scene.pass_ms(1_000 + 4 * FRAME_MS, agent=True)
    assert scene.figures.missed_barge_ins == 1
    assert scene.figures.barge_in_ms == []


def test_a_pause_between_spurts_is_no_jitter_but_an_uneven_spurt_is() -> None:
    scene = Scene()
    scene.pass_ms(100, agent=True)
    scene.pass_ms(300)
    scene.pass_ms(100, agent=True)
    assert max(scene.figures.jitter_ms) == 0
    assert scene.figures.gaps == 0
    scene.pass_ms(20, agent=True, late_ms=9.0)
    assert scene.figures.jitter_ms[-1] == 9.0


def test_the_answer_to_compare_with_the_servers_comes_without_the_codecs_delay() -> None:
    scene = Scene()
    scene.pass_ms(300, agent=True)
    scene.fall_silent()
    scene.until(Doing.WAITING)
    scene.until(Doing.LISTENING, agent=True)
    (answered,) = scene.figures.answered
    (took_ms,) = scene.figures.voice_to_voice_ms
    rest_of_frame_ms = FRAME_MS - scene.call._speech.sentences[0].last_voiced_offset_ms
    assert took_ms - rest_of_frame_ms - answered.took_ms == pytest.approx(6.5, abs=1.0)
    assert answered.took_ms % FRAME_MS == pytest.approx(0, abs=2.0), "packets come at whole frames here"


def greeted(cut_frames: int = 0, held_up_ms: float = 0.0) -> Figures:
    """A caller hears a word, a pause of 100 ms in which nothing is sent for 60, another word.

    Without the first `cut_frames`; the server is held up for so long in the middle of the first word.
    """
    words = [spoken.trimmed(spoken.speech(word))[:3_200] for word in ("good", "morning")]
    samples = np.frombuffer(words[0] + bytes(1_600) + words[1] + bytes(16_000), "<i2")
    pause = len(words[0]) // 320 + 1
    said = replace(speech(), greetings=(Expected.of(samples),))
    figures = Figures()
    call = WebRtcCall("w-1", said, SCRIPT, figures, 0)
    encoder = OpusEncoder(8_000, 32_000, 5)
    for at, frame in enumerate(samples[: len(samples) // 160 * 160].reshape(-1, 160)):
        late_ms = held_up_ms if at >= 6 else 0.0
        now_ms = 1_000.0 + at * FRAME_MS + late_ms
        call.tick(now_ms)
        payload = encoder.encode(frame.tobytes())
        if at >= cut_frames and not pause < at <= pause + 3:
            timestamp = 1_000 + at * OPUS.step + int(late_ms) * 48
            call.packet(RtpPacket(111, 0, timestamp, 1, payload), now_ms, begins=bool(late_ms) and at == 6)
    assert figures.first_words == 1
    assert figures.first_words_unknown == 0
    return figures


def test_a_first_word_that_is_whole_is_found_whole_through_opus() -> None:
    assert greeted().first_word_lost_ms == []


def test_what_is_missing_of_a_first_word_is_told_through_opus() -> None:
    assert greeted(cut_frames=5).first_word_lost_ms == [pytest.approx(100, abs=15)]


def test_a_first_word_that_comes_in_two_spurts_is_whole() -> None:
    figures = greeted(held_up_ms=200.0)
    assert figures.first_word_lost_ms == []


def coughed() -> Scene:
    """The agent has been stopped by a cough of 160 ms, 100 ms after it began."""
    scene = waiting(Script(think_ms=(100.0, 100.0), barge_every=0, cough_every=1, barge_after_ms=200.0))
    scene.until(Doing.LISTENING, agent=True)
    scene.until(Doing.COUGHING, agent=True)
    scene.pass_ms(100, agent=True)
    return scene


def test_an_agent_that_a_cough_stops_has_to_go_on() -> None:
    scene = coughed()
    scene.pass_ms(760)
    assert scene.call.doing is Doing.LISTENING, "the caller waits for the rest"
    scene.pass_ms(200, agent=True)
    figures = scene.figures
    assert (figures.coughs, figures.cough_stops, figures.not_resumed) == (1, 1, 0)
    assert figures.resume_ms == [pytest.approx(700, abs=41)]


def test_an_agent_that_a_cough_silences_is_an_error() -> None:
    scene = coughed()
    scene.pass_ms(6_000)
    assert (scene.figures.cough_stops, scene.figures.not_resumed, scene.figures.failures) == (1, 1, 1)


def test_an_agent_that_speaks_on_was_not_stopped_even_if_it_ends_soon_after() -> None:
    scene = coughed()
    scene.pass_ms(500, agent=True)
    scene.pass_ms(2_000)
    assert (scene.figures.coughs, scene.figures.cough_stops, scene.figures.failures) == (1, 0, 0)


def test_keys_are_pressed_and_the_answer_to_them_is_timed() -> None:
    scene = Scene(Script(think_ms=(100.0, 100.0), barge_every=0, keys_every=1, keys="12#"))
    scene.pass_ms(300, agent=True)
    scene.until(Doing.WAITING)
    assert scene.pressed == ["1", "2", "#"]
    scene.pass_ms(100)
    scene.until(Doing.LISTENING, agent=True)
    assert len(scene.figures.keys_to_voice_ms) == 1
    assert not scene.figures.voice_to_voice_ms


def test_what_is_no_opus_is_counted() -> None:
    scene = Scene()
    scene.receive(b"\xff\xff\xff\xff\xff")
    assert scene.figures.bad_messages == 1
