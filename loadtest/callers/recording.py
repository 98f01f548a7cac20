"""WAV files: what a caller says from one, and both sides of a call into one."""

import wave
from pathlib import Path

import numpy as np
import soxr

from loadtest.callers.codec import CALLER_RATE_HZ
from loadtest.callers.play import FRAME_BYTES


def read_speech(path: Path) -> bytes:
    """A WAV file as PCM16 at 8 kHz, channels mixed. Raises `ValueError` that names the file and the cure."""
    try:
        with wave.open(str(path), "rb") as file:
            width, rate_hz, channels = file.getsampwidth(), file.getframerate(), file.getnchannels()
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path}: not a WAV file that can be read ({error})") from None
    if width != 2:
        raise ValueError(f"{path}: {width * 8}-bit samples; convert it to 16-bit PCM")
    samples = np.frombuffer(data, "<i2").reshape(-1, channels).mean(axis=1)
    if rate_hz != CALLER_RATE_HZ:
        samples = soxr.resample(samples, rate_hz, CALLER_RATE_HZ)
    return bytes(np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes())


def write_call(path: Path, sent: bytes | bytearray, heard: bytes | bytearray) -> None:
    """Both sides as one stereo WAV at 8 kHz: the caller left, the agent right.

    `sent` and `heard` are PCM16, tick by tick. A frame that is sent at a tick was spoken in the 20 ms before
    it, one that begins to play at a tick is heard in the 20 ms after it: so the right side is moved by one.
    """
    left = np.frombuffer(bytes(sent), "<i2")
    right = np.frombuffer(bytes(FRAME_BYTES) + bytes(heard), "<i2")
    both = np.zeros((max(len(left), len(right)), 2), "<i2")
    both[: len(left), 0] = left
    both[: len(right), 1] = right
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(CALLER_RATE_HZ)
        file.writeframes(both.tobytes())
