"""Known sentences are recognised by their sound: as sent, transcoded, amid other sound."""

import os
from functools import cache

import numpy as np
import pytest

from agent.audio.convert import make_converter
from agent.audio.formats import G722_16K, PCMA_8K, PCMU_8K, AudioFormat, linear
from agent.clock import LoopClock
from loadtest.bulk.payload import payload_for
from loadtest.callers.codec import codec_for
from loadtest.callers.utterance import utterance
from loadtest.simulators.audio_fingerprint import FORGET_MS, Fingerprints, HeardWord, Hearing
from loadtest.speech import embedded_voice

SENTENCES = (
    "What are your opening hours?",
    "How much is a first visit?",
    "Do you have time on Tuesday morning?",
    "Where are you?",
    "Is there parking?",
    "Goodbye.",
)
UNKNOWN = "My neighbour keeps seven yellow bicycles."


async def spoken(*texts: str) -> dict[str, bytes]:
    voice = embedded_voice(LoopClock(), os.environ)
    try:
        return {text: b"".join(utterance(text, await voice.say(text)).frames) for text in texts}
    finally:
        await voice.close()


@pytest.fixture
async def sounds() -> dict[str, bytes]:
    return await spoken(*SENTENCES, UNKNOWN)


@pytest.fixture
def known(sounds: dict[str, bytes]) -> Fingerprints:
    return Fingerprints({text: sounds[text] for text in SENTENCES})


@cache
def quiet(audio: AudioFormat, duration_ms: int) -> bytes:
    noise = np.random.default_rng(1).choice((-8, 0, 0, 8), duration_ms * audio.rate_hz // 1000)
    return codec_for(audio).encode(noise.astype("<i2").tobytes())


def said(words: list[HeardWord]) -> str:
    return " ".join(word.text for word in words)


def hear(hearing: Hearing, audio: bytes, piece: int = 480) -> None:
    for start in range(0, len(audio), piece):
        hearing.feed(audio[start : start + piece])


@pytest.mark.parametrize("audio", [PCMU_8K, PCMA_8K, linear(8000)])
@pytest.mark.parametrize("text", SENTENCES)
def test_a_sentence_that_passed_straight_through_is_recognised(
    known: Fingerprints, sounds: dict[str, bytes], text: str, audio: AudioFormat
) -> None:
    hearing = known.stream(audio)
    hear(hearing, quiet(audio, 300) + codec_for(audio).encode(sounds[text]) + quiet(audio, 300))
    words = hearing.take()
    assert said(words) == text
    assert words[0].start_ms == 300
    assert words[-1].end_ms == pytest.approx(300 + len(sounds[text]) / 16)
    assert hearing.take() == []


@pytest.mark.parametrize("audio", [PCMU_8K, PCMA_8K, linear(8000)])
def test_frames_as_callers_encode_them_are_looked_up_whole(
    known: Fingerprints, sounds: dict[str, bytes], audio: AudioFormat
) -> None:
    frames = known.frames(audio)
    sent = payload_for(audio).encode(sounds[SENTENCES[0]][at : at + 320] for at in range(0, 15_000, 320))
    found = [frames[frame] for frame in sent if frame in frames]
    assert len(found) >= len(sent) * 0.9
    assert {number for number, _ in found} == {0}


@pytest.mark.parametrize("text", SENTENCES)
def test_a_sentence_that_was_transcoded_on_the_way_is_recognised(
    known: Fingerprints, sounds: dict[str, bytes], text: str
) -> None:
    wide = make_converter(linear(8000), G722_16K)
    narrow = make_converter(G722_16K, PCMU_8K)
    lead, tail = quiet(linear(8000), 313), quiet(linear(8000), 400)
    audio = narrow.convert(wide.convert(lead + sounds[text] + tail) + wide.flush()) + narrow.flush()
    hearing = known.stream(PCMU_8K)
    hear(hearing, audio)
    words = hearing.take()
    assert said(words) == text
    assert words[0].start_ms == pytest.approx(313, abs=100)


@pytest.mark.parametrize("text", SENTENCES)
def test_a_sentence_at_half_the_volume_and_another_rate_is_recognised(
    known: Fingerprints, sounds: dict[str, bytes], text: str
) -> None:
    softer = (np.frombuffer(sounds[text], "<i2") // 2).astype("<i2").tobytes()
    wide = make_converter(linear(8000), linear(16000))
    audio = wide.convert(softer + bytes(6400)) + wide.flush()
    hearing = known.stream(linear(16000))
    hear(hearing, audio, piece=1920)
    assert said(hearing.take()) == text


def test_words_come_as_they_are_spoken(known: Fingerprints, sounds: dict[str, bytes]) -> None:
    text = SENTENCES[2]
    audio = codec_for(PCMU_8K).encode(sounds[text])
    hearing = known.stream(PCMU_8K)
    growing = []
    for start in range(0, len(audio), 800):
        hearing.feed(audio[start : start + 800])
        growing.append(said(hearing.words()))
    assert all(text.startswith(part) for part in growing)
    assert len(set(growing)) >= 6
    assert growing[0] == ""


def test_taken_words_do_not_come_again(known: Fingerprints, sounds: dict[str, bytes]) -> None:
    text = SENTENCES[2]
    audio = codec_for(PCMU_8K).encode(sounds[text])
    hearing = known.stream(PCMU_8K)
    hear(hearing, audio[: len(audio) // 2])
    first = said(hearing.take())
    hear(hearing, audio[len(audio) // 2 :] + quiet(PCMU_8K, 300))
    assert f"{first} {said(hearing.take())}" == text


def test_sentences_that_follow_each_other_are_all_kept(known: Fingerprints, sounds: dict[str, bytes]) -> None:
    encode = codec_for(PCMU_8K).encode
    hearing = known.stream(PCMU_8K)
    for text in (SENTENCES[0], SENTENCES[0], SENTENCES[3]):
        hear(hearing, encode(sounds[text]) + quiet(PCMU_8K, 600))
    assert said(hearing.take()) == f"{SENTENCES[0]} {SENTENCES[0]} {SENTENCES[3]}"


def test_an_unknown_sentence_gives_no_words_and_is_counted(
    known: Fingerprints, sounds: dict[str, bytes]
) -> None:
    encode = codec_for(PCMU_8K).encode
    hearing = known.stream(PCMU_8K)
    hear(hearing, encode(sounds[UNKNOWN]) + quiet(PCMU_8K, int(FORGET_MS) + 100))
    assert hearing.take() == []
    hear(hearing, encode(sounds[SENTENCES[1]]) + quiet(PCMU_8K, 300))
    assert said(hearing.take()) == SENTENCES[1]
    hear(hearing, quiet(PCMU_8K, 500) + encode(sounds[UNKNOWN]) + quiet(PCMU_8K, 500))
    hear(hearing, encode(sounds[UNKNOWN]))
    assert hearing.unknown_ms > 500


def test_silence_is_nothing(known: Fingerprints) -> None:
    hearing = known.stream(PCMU_8K)
    hear(hearing, quiet(PCMU_8K, 2000))
    assert hearing.take() == []
    assert hearing.position_ms == hearing.silent_ms == 2000
    assert hearing.unknown_ms == 0


def test_pieces_of_any_length_are_put_together(known: Fingerprints, sounds: dict[str, bytes]) -> None:
    hearing = known.stream(PCMU_8K)
    hear(hearing, codec_for(PCMU_8K).encode(sounds[SENTENCES[0]]) + quiet(PCMU_8K, 300), piece=37)
    assert said(hearing.take()) == SENTENCES[0]


def test_g722_has_no_frames_to_look_up(known: Fingerprints) -> None:
    with pytest.raises(ValueError, match="decoded"):
        known.stream(G722_16K)
