"""The synthesiser's thread."""

import threading

import pytest

from providers.embedded.espeak import Espeak, EspeakError, Job


class Heard:
    """What one job reported."""

    def __init__(self) -> None:
        self.audio = b""
        self.words: list[tuple[int, float]] = []
        self.error: Exception | None = None
        self.over = threading.Event()

    def job(self, text: str = "Hello there.", voice: str = "en-us") -> Job:
        return Job(text, voice, 165, self._audio, self._ended)

    def _audio(self, pcm: bytes, words: list[tuple[int, float]]) -> None:
        self.audio += pcm
        self.words += words

    def _ended(self, error: Exception | None) -> None:
        self.error = error
        self.over.set()


def test_it_speaks_and_tells_where_words_begin() -> None:
    espeak, heard = Espeak(), Heard()
    espeak.wait_ready(5.0)
    espeak.speak(heard.job())
    assert heard.over.wait(5.0)
    espeak.close()
    assert heard.error is None
    assert len(heard.audio) / 2 / espeak.rate_hz > 0.4
    assert [offset for offset, _ in heard.words] == [0, 6]


def test_an_unknown_voice_fails_its_job_and_no_other() -> None:
    espeak, wrong, right = Espeak(), Heard(), Heard()
    espeak.speak(wrong.job(voice="nobody"))
    espeak.speak(right.job())
    assert right.over.wait(5.0)
    espeak.close()
    assert str(wrong.error) == "espeak-ng has no voice 'nobody'"
    assert right.error is None


def test_a_job_cancelled_before_its_turn_is_not_spoken() -> None:
    espeak, cancelled, other = Espeak(), Heard(), Heard()
    job = cancelled.job()
    job.cancelled.set()
    espeak.speak(job)
    espeak.speak(other.job())
    assert other.over.wait(5.0)
    espeak.close()
    assert not cancelled.over.is_set()
    assert cancelled.audio == b""


def test_closing_ends_every_job_that_waits() -> None:
    espeak = Espeak()
    waiting = [Heard() for _ in range(20)]
    for heard in waiting:
        espeak.speak(heard.job("Hello there. " * 200))
    espeak.close()
    assert all(heard.over.is_set() for heard in waiting)
    assert all(isinstance(heard.error, EspeakError) for heard in waiting)
    with pytest.raises(EspeakError, match="closed"):
        espeak.speak(Heard().job())
    espeak.close()
