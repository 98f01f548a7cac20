import numpy as np
import pytest

from agent.audio.formats import G722_16K, PCMA_8K, PCMU_8K, AudioFormat, linear
from loadtest.bulk.payload import payload_for
from tests.loadtest.fakes import silence, tone

FORMATS = [PCMU_8K, PCMA_8K, linear(8000), linear(16_000)]


@pytest.mark.parametrize("audio", FORMATS, ids=str)
def test_a_frame_keeps_its_duration_and_its_sound(audio: AudioFormat) -> None:
    line = payload_for(audio)
    (frame,) = line.encode([tone(20)])
    assert len(frame) == audio.frame_bytes
    heard = line.decode(frame).astype(float)
    said = np.frombuffer(tone(20), "<i2").astype(float)
    assert len(heard) == len(said)
    assert np.corrcoef(heard, said)[0, 1] > 0.99


@pytest.mark.parametrize("audio", FORMATS, ids=str)
def test_the_first_audible_sample_is_found(audio: AudioFormat) -> None:
    line = payload_for(audio)
    payload = b"".join(line.encode([silence(60), tone(40)]))
    assert line.first_audible_ms(payload) == pytest.approx(60, abs=0.5)
    assert line.first_audible_ms(b"".join(line.encode([silence(60)]))) is None


@pytest.mark.parametrize("audio", [G722_16K, linear(11_025)], ids=str)
def test_other_formats_are_refused(audio: AudioFormat) -> None:
    with pytest.raises(ValueError, match="bulk callers speak"):
        payload_for(audio)
