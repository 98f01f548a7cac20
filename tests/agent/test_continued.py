"""A sentence whose voice breaks off is said to its end by others."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from agent.audio.formats import PCMU_8K, AudioFormat, linear
from agent.continued import MAX_VOICES, continued
from agent.errors import ProviderError, ProviderUnavailable
from agent.providers import SpeechChunk, SpeechRequest, WordTime
from tests.virtual import run_virtually

TEXT = "We are open from eight until six."
WORD_MS = 250.0
"""Each word of the voices here takes so long."""
BROKEN = ProviderUnavailable("voice", "the connection was lost")


class Voice:
    """Says a word per chunk, and so many of them."""

    def __init__(
        self, words: int = 99, *, audio: AudioFormat = PCMU_8K, times: bool = True, gap_ms: float = 0.0
    ) -> None:
        self.words, self.audio, self.times, self.gap_ms = words, audio, times, gap_ms
        self.closed = False

    async def speak(self, text: str) -> AsyncGenerator[SpeechChunk, None]:
        try:
            at = 0
            for number, word in enumerate(text.split()):
                if number == self.words:
                    raise BROKEN
                at = text.index(word, at)
                times = (WordTime(at, number * WORD_MS),) if self.times else ()
                yield SpeechChunk(bytes(int(self.audio.bytes_per_ms * WORD_MS)), self.audio, times)
                await asyncio.sleep(self.gap_ms / 1000)
            if self.words == 0:
                raise BROKEN
        finally:
            self.closed = True


class Cast:
    """Voices that take over from each other."""

    def __init__(self, voices: Sequence[Voice]) -> None:
        self.voices = list(voices)
        self.asked: list[SpeechRequest] = []
        self.slow: list[float] = []

    def speak(self, request: SpeechRequest) -> AsyncGenerator[SpeechChunk, None]:
        self.asked.append(request)
        return self.voices[len(self.asked) - 1].speak(request.text)

    def too_slow(self, behind_ms: float) -> bool:
        self.slow.append(behind_ms)
        return len(self.asked) < len(self.voices)

    @property
    def texts(self) -> list[str]:
        return [request.text for request in self.asked]


class Result:
    chunks: list[SpeechChunk]
    error: ProviderError | None

    @property
    def words(self) -> list[tuple[int, float]]:
        return [(word.offset, word.at_ms) for chunk in self.chunks for word in chunk.words]

    @property
    def audio_ms(self) -> float:
        return sum(chunk.format.duration_ms(len(chunk.audio)) for chunk in self.chunks)


def said(cast: Cast, text: str = TEXT) -> Result:
    result = Result()
    result.chunks, result.error = [], None

    async def read() -> None:
        request = SpeechRequest(text, "en", PCMU_8K, context="reply", position="last")
        try:
            async for chunk in continued(request, cast):
                result.chunks.append(chunk)  # what came before an error is wanted too
        except ProviderError as error:
            result.error = error

    run_virtually(read)
    assert all(voice.closed for voice in cast.voices[: len(cast.asked)])
    return result


def test_a_voice_that_is_well_is_heard_as_it_is() -> None:
    cast = Cast([Voice()])
    result = said(cast)
    assert cast.asked[0].position == "last"
    assert [offset for offset, _ in result.words] == [0, 3, 7, 12, 17, 23, 29]
    assert result.error is None
    assert len(cast.asked) == 1


def test_the_rest_begins_at_the_word_that_was_cut_and_is_placed_in_the_whole_sentence() -> None:
    cast = Cast([Voice(3), Voice()])
    result = said(cast)
    assert cast.texts == [TEXT, "open from eight until six."]
    assert (cast.asked[1].context, cast.asked[1].position) == ("", "only")
    assert [offset for offset, _ in result.words] == [0, 3, 7, 7, 12, 17, 23, 29]
    assert [at_ms for _, at_ms in result.words] == [number * WORD_MS for number in range(8)]
    assert result.error is None


def test_without_word_times_the_rest_is_estimated() -> None:
    cast = Cast([Voice(3, times=False), Voice(times=False)])
    said(cast)
    # 750 ms hold some ten letters.
    assert cast.texts == [TEXT, "open from eight until six."]


def test_a_last_word_that_was_heard_is_not_said_again() -> None:
    cast = Cast([Voice(2), Voice()])
    result = said(cast, "Yes I . . .")  # what breaks off is the silence behind it
    assert cast.texts == ["Yes I . . ."]
    assert result.error is None


def test_another_format_is_made_the_first_one_s() -> None:
    cast = Cast([Voice(2), Voice(audio=linear(24_000))])
    result = said(cast)
    assert {chunk.format for chunk in result.chunks} == {PCMU_8K}
    assert result.audio_ms == pytest.approx(8 * WORD_MS, abs=20)


def test_nothing_heard_is_a_failure() -> None:
    cast = Cast([Voice(0), Voice()])
    assert said(cast).error is BROKEN
    assert cast.texts == [TEXT]


def test_nobody_left_for_the_rest_is_a_failure() -> None:
    cast = Cast([Voice(2), Voice(0)])
    result = said(cast)
    assert result.error is BROKEN
    assert len(result.chunks) == 2


def test_a_sentence_has_so_many_voices_at_most() -> None:
    cast = Cast([Voice(1)] * (MAX_VOICES + 1))
    assert said(cast).error is BROKEN
    assert len(cast.asked) == MAX_VOICES


def test_a_voice_slower_than_speech_is_left_for_another() -> None:
    cast = Cast([Voice(gap_ms=1_000.0), Voice()])
    result = said(cast)
    assert cast.slow == [pytest.approx(2 * (1_000 - WORD_MS))]
    assert cast.texts == [TEXT, "open from eight until six."]
    assert [offset for offset, _ in result.words] == [0, 3, 7, 7, 12, 17, 23, 29]


def test_a_voice_as_fast_as_speech_is_not() -> None:
    cast = Cast([Voice(gap_ms=WORD_MS), Voice()])
    said(cast)
    assert cast.slow == []


def test_a_slow_voice_is_heard_to_its_end_where_there_is_no_other() -> None:
    cast = Cast([Voice(gap_ms=1_000.0)])
    result = said(cast)
    assert cast.slow
    assert result.audio_ms == 7 * WORD_MS
