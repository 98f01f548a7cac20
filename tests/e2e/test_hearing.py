"""The measure that the calls are judged by tells what it is meant to tell."""

import io
import subprocess
import wave
from functools import cache

import numpy as np
import pytest
import soxr

from agent.audio.formats import PCMA_8K, PCMU_8K
from loadtest.callers.codec import codec_for
from tests.e2e.hearing import likeness

HOURS = "We are open from Monday to Friday, from eight to six."
PRICE = "A consultation costs sixty euros, and the first one is free."
MULAW, ALAW = codec_for(PCMU_8K), codec_for(PCMA_8K)


@cache
def speech(text: str, voice: str = "en-us") -> bytes:
    made = subprocess.run(["espeak-ng", "-v", voice, "--stdout", text], capture_output=True, check=True)
    with wave.open(io.BytesIO(made.stdout)) as file:
        rate_hz, data = file.getframerate(), file.readframes(10**9)
    samples = np.frombuffer(data[: len(data) // 2 * 2], "<i2")
    return bytes(soxr.resample(samples, rate_hz, 8000).astype("<i2").tobytes())


def line(text: str) -> bytes:
    """The sentence within a call, through mu-law."""
    return bytes(6666) + MULAW.decode(MULAW.encode(speech(text))) + bytes(8000)


def test_the_same_sentence_is_found_wherever_it_is() -> None:
    assert likeness(line(HOURS), speech(HOURS)) > 0.98


@pytest.mark.parametrize(
    "heard",
    [
        line(PRICE),
        ALAW.decode(MULAW.encode(speech(HOURS))),
        b"".join(line(HOURS)[at : at + 1280] for at in range(0, len(line(HOURS)), 1600)),
        np.frombuffer(line(HOURS), "<i2").byteswap().tobytes(),
        bytes(80_000),
        b"",
    ],
    ids=["other words", "wrong law", "lost frames", "wrong byte order", "silence", "nothing"],
)
def test_anything_else_is_not(heard: bytes) -> None:
    assert likeness(heard, speech(HOURS)) < 0.75
