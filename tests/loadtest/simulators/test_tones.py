"""Tones that stand for words: as long as the text, the same for the same, different for different words."""

import numpy as np
import pytest

from agent.audio.formats import PCMU_8K, AudioFormat, Encoding, linear
from agent.audio.vad import VoiceDetector
from loadtest.simulators.tones import MAX_CACHED, MS_PER_CHARACTER, Tones, frequencies


@pytest.mark.parametrize(
    "audio", [PCMU_8K, AudioFormat(Encoding.PCMA, 8_000), linear(8_000), linear(24_000), linear(48_000)]
)
def test_length_follows_the_text_in_every_format(audio: AudioFormat) -> None:
    spoken = Tones(audio).speak("We are open today.")
    assert audio.duration_ms(len(spoken)) == pytest.approx(19 * MS_PER_CHARACTER, rel=0.02)
    assert len(spoken) % (2 if audio.is_linear else 1) == 0


def test_speed() -> None:
    slow, fast = (len(Tones(PCMU_8K, speed).speak("hello there")) for speed in (1.0, 2.0))
    assert fast == pytest.approx(slow / 2, rel=0.02)


def test_a_word_can_be_told_by_its_tones() -> None:
    audio = linear(8_000)
    pcm = np.frombuffer(Tones(audio).speak("appointment"), "<i2")
    spectrum = np.abs(np.fft.rfft(pcm))
    hz = np.fft.rfftfreq(len(pcm), 1 / 8_000)
    low, high = frequencies("appointment")
    loudest = hz[np.argsort(spectrum)[-2:]]
    assert sorted(loudest) == pytest.approx([low, high], abs=3)
    assert frequencies("appointment") != frequencies("appointments")


def test_it_is_heard_as_voice_by_the_servers_detector() -> None:
    spoken = Tones(linear(8_000)).speak("We are open from Monday to Friday.")
    detector = VoiceDetector(8_000)
    frames = [spoken[at : at + 320] for at in range(0, len(spoken) - 319, 320)]
    assert sum(detector.is_voiced(frame) for frame in frames) > 0.5 * len(frames)


def test_the_cache_is_bounded() -> None:
    tones = Tones(PCMU_8K)
    for number in range(MAX_CACHED + 10):
        tones.speak(str(number))
    assert len(tones._words) <= MAX_CACHED
