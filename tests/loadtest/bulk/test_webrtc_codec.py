"""What browsers' callers say and hear, in each codec that browsers must have."""

import numpy as np
import pytest

from agent.audio.formats import FRAME_MS
from loadtest.bulk.speech import Spoken
from loadtest.bulk.webrtc_codec import OPUS, PCMA, PCMU, BrowserCodec
from loadtest.callers.utterance import utterance
from tests.loadtest.fakes import tone
from transports.webrtc.codecs import CLOCK_HZ
from transports.webrtc.opus import SILENCE

CODECS = pytest.mark.parametrize("codec", [OPUS, PCMU, PCMA], ids=lambda codec: codec.name)
SPOKEN = Spoken((utterance("one", tone(200)),), utterance("stop", tone(1_000)))


@CODECS
def test_what_is_said_is_heard(codec: BrowserCodec) -> None:
    speech = codec.speech(SPOKEN)
    decode = codec.decoder()
    said = [*speech.sentences[0].frames, *speech.noise[:1] * 2]
    heard = speech.hears.decode(b"".join(map(decode, said))).astype(float)
    assert len(heard) == len(said) * FRAME_MS * 8
    loud = np.flatnonzero(np.abs(heard) > 1_000)
    assert loud[0] / 8 == pytest.approx(codec.delay_ms, abs=2)
    assert loud[-1] / 8 == pytest.approx(200 + codec.delay_ms, abs=8)
    assert speech.cough is not None
    assert len(speech.cough.frames) == 8
    assert speech.interruption.last_voiced == len(speech.interruption.frames) - 1


@CODECS
def test_silence_is_told_from_speech(codec: BrowserCodec) -> None:
    speech = codec.speech(SPOKEN)
    assert codec.is_silent(SILENCE if codec is OPUS else codec.heard.silence(160))
    assert not any(map(codec.is_silent, speech.sentences[0].frames))


@CODECS
def test_a_packet_is_20_ms_of_its_clock(codec: BrowserCodec) -> None:
    assert codec.step == CLOCK_HZ[codec.name] * FRAME_MS // 1000
