"""WAV files in and out."""

import wave
from pathlib import Path

import numpy as np
import pytest

from loadtest.callers.ear import audible_span
from loadtest.callers.recording import read_speech, write_call
from tests.loadtest.fakes import silence, tone


def write(path: Path, data: bytes, rate_hz: int = 8000, channels: int = 1, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(data)
    return path


def test_a_call_is_saved_with_the_caller_left_and_the_agent_right(tmp_path: Path) -> None:
    write_call(tmp_path / "call.wav", tone(40) + silence(60), silence(60) + tone(40, amplitude=4000))
    with wave.open(str(tmp_path / "call.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (2, 8000, 2)
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    left, right = both[:, 0].tobytes(), both[:, 1].tobytes()
    assert audible_span(left) == (0, 319)
    # What begins to play at a tick is heard 20 ms after what was sent at it had been spoken.
    assert audible_span(right) == (640, 959)


def test_speech_is_read_at_8_khz_from_any_rate_and_channels(tmp_path: Path) -> None:
    time = np.arange(16000)
    wide = (8000 * np.cos(2 * np.pi * 500 / 16000 * time)).astype("<i2")
    stereo = np.stack([wide, wide], axis=1)
    pcm = read_speech(write(tmp_path / "a.wav", stereo.tobytes(), rate_hz=16000, channels=2))
    assert len(pcm) == 16000
    middle = np.frombuffer(pcm, "<i2")[1000:7000].astype(float)
    assert middle.std() == pytest.approx(8000 / np.sqrt(2), rel=0.01)


def test_a_file_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("hello")
    with pytest.raises(ValueError, match=r"text\.wav: not a WAV file"):
        read_speech(tmp_path / "text.wav")
    eight_bit = write(tmp_path / "8.wav", bytes(100), width=1)
    with pytest.raises(ValueError, match="convert it to 16-bit PCM"):
        read_speech(eight_bit)
