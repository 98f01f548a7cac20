"""One bulk caller in a browser, the server's packets made by the test."""

import numpy as np

from agent.audio.formats import FRAME_MS
from loadtest.bulk.figures import Figures
from loadtest.bulk.media_call import DONE_MS, Doing
from loadtest.bulk.script import Script
from loadtest.bulk.speech import CallerSpeech, Spoken
from loadtest.bulk.webrtc_call import WebRtcCall, opus_speech
from loadtest.bulk.webrtc_peer import STEP
from loadtest.callers.utterance import utterance
from tests.loadtest.fakes import tone
from transports.webrtc.opus import SILENCE, OpusDecoder, OpusEncoder
from transports.webrtc.rtp import RtpPacket

SCRIPT = Script(think_ms=(100.0, 100.0), barge_every=1, barge_after_ms=200.0)


def speech() -> CallerSpeech:
    """A question of 200 ms, an interruption of a second."""
    return opus_speech(Spoken((utterance("one", tone(200)),), utterance("stop", tone(1_000))))


class Scene:
    """A caller, an agent that speaks or not, and time in steps of 20 ms."""

    def __init__(self) -> None:
        self.figures = Figures()
        self.call = WebRtcCall("w-1", speech(), SCRIPT, self.figures, 0)
        self.now_ms = 1_000.0
        self.sent: list[bytes] = []
        self._encoder = OpusEncoder(24_000, 32_000, 5)
        self._frame = np.resize(np.frombuffer(tone(20), "<i2"), 480).tobytes()
        self._timestamp = 4_000_000_000

    def pass_ms(self, duration_ms: float, *, agent: bool = False, late_ms: float = 0.0) -> None:
        for _ in range(int(duration_ms // FRAME_MS)):
            self.now_ms += FRAME_MS
            self._timestamp = self._timestamp + STEP & 0xFFFFFFFF
            self.sent.append(self.call.tick(self.now_ms))
            if agent:
                self.receive(self._encoder.encode(self._frame), late_ms)

    def receive(self, payload: bytes, late_ms: float = 0.0) -> None:
        self.call.packet(RtpPacket(111, 0, self._timestamp, 1, payload), self.now_ms + late_ms)

    def until(self, doing: Doing, *, agent: bool = False) -> None:
        for _ in range(500):
            if self.call.doing is doing:
                return
            self.pass_ms(FRAME_MS, agent=agent)
        raise AssertionError(f"still {self.call.doing}")


def waiting() -> Scene:
    scene = Scene()
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


def test_what_is_no_opus_is_counted() -> None:
    scene = Scene()
    scene.receive(b"\xff\xff\xff\xff\xff")
    assert scene.figures.bad_messages == 1
