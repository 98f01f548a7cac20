import os

import numpy as np
import pytest
import soxr

from agent.audio.formats import PCMA_8K, PCMU_8K, AudioFormat, linear
from agent.clock import LoopClock
from loadtest.bulk.first_word import Expected, lost_ms
from loadtest.bulk.payload import payload_for
from loadtest.simulators.cartesia_voice import tones
from loadtest.speech import embedded_voice
from transports.webrtc.opus import OpusDecoder, OpusEncoder

GREETING = "Hello, this is the clinic, how can I help you?"
FORMATS = [PCMU_8K, PCMA_8K, linear(8000), linear(16_000)]


@pytest.fixture(params=["speech", "tones"])
async def voice(request: pytest.FixtureRequest) -> np.ndarray:
    """A greeting, as real speech or as the tones of a simulated vendor."""
    if request.param == "tones":
        spoken = await tones(GREETING, "en", linear(8000))
        return np.frombuffer(spoken.audio, "<i2")
    voice = embedded_voice(LoopClock(), os.environ)
    try:
        return np.frombuffer(await voice.say(GREETING), "<i2")
    finally:
        await voice.close()


def on_the_line(samples: np.ndarray, audio: AudioFormat) -> bytes:
    pcm = samples.astype("<i2").tobytes()
    return b"".join(payload_for(audio).encode([pcm]))


@pytest.mark.parametrize("audio", FORMATS, ids=str)
def test_a_whole_beginning_has_lost_nothing_in_any_format(voice: np.ndarray, audio: AudioFormat) -> None:
    expected = (Expected.of(voice.astype(np.int16)),)
    begins = np.concatenate((np.zeros(800, np.int16), voice[: 8 * 900]))
    assert lost_ms(on_the_line(begins, audio), payload_for(audio), expected) == 0.0


@pytest.mark.parametrize("cut_ms", [60, 150, 300, 450])
def test_what_is_missing_is_told(voice: np.ndarray, cut_ms: int) -> None:
    whole = Expected.of(voice.astype(np.int16))
    missing = whole.samples[cut_ms * 8 :]
    line = payload_for(PCMU_8K)
    lost = lost_ms(on_the_line(missing[: 8 * 500], PCMU_8K), line, (whole,))
    assert lost is not None
    # Silence behind the cut is missing too, up to the next sound: a comma's, here.
    assert cut_ms - 10 <= lost <= cut_ms + 170


def test_something_else_altogether_and_too_little_cannot_be_told(voice: np.ndarray) -> None:
    expected = (Expected.of(voice.astype(np.int16)),)
    noise = np.random.default_rng(1).normal(0, 4000, 8 * 500)
    line = payload_for(PCMU_8K)
    assert lost_ms(on_the_line(noise, PCMU_8K), line, expected) is None
    assert lost_ms(on_the_line(voice[: 8 * 30], PCMU_8K), line, expected) is None


def test_the_way_of_beginning_that_fits_counts(voice: np.ndarray) -> None:
    other = Expected.of(np.random.default_rng(2).normal(0, 4000, 8 * 900).astype(np.int16))
    line = payload_for(PCMU_8K)
    right = Expected.of(voice.astype(np.int16))
    assert lost_ms(on_the_line(voice[: 8 * 900], PCMU_8K), line, (other, right)) == 0.0


@pytest.mark.parametrize("cut_ms", [0, 60, 200])
def test_opus_does_not_hide_what_is_missing(voice: np.ndarray, cut_ms: int) -> None:
    whole = Expected.of(voice.astype(np.int16))
    spoken = soxr.resample(whole.samples[cut_ms * 8 :], 8_000, 24_000).astype("<i2")
    encoder, decoder = OpusEncoder(24_000, 32_000, 5), OpusDecoder(8_000)
    frames = [np.zeros(480, "<i2")] * 20 + [spoken[at : at + 480] for at in range(0, 480 * 25, 480)]
    heard = b"".join(decoder.decode(encoder.encode(frame.tobytes())) for frame in frames)
    lost = lost_ms(heard, payload_for(linear(8000)), (whole,))
    assert lost is not None
    assert cut_ms - 10 <= lost <= (cut_ms and cut_ms + 170)


async def test_an_apology_in_the_same_voice_is_something_else() -> None:
    """What a server says when a provider fails: it must pass neither for the answer nor for a part of it."""
    voice = embedded_voice(LoopClock(), os.environ)
    try:
        right = np.frombuffer(await voice.say(GREETING), "<i2")
        apologies = [
            np.frombuffer(await voice.say(text), "<i2")
            for text in ("I am sorry, something went wrong.", "One moment please.", "Are you still there?")
        ]
    finally:
        await voice.close()
    line, expected = payload_for(PCMU_8K), (Expected.of(right.astype(np.int16)),)
    for apology in apologies:
        assert lost_ms(on_the_line(apology[: 8 * 900], PCMU_8K), line, expected) is None
