from pathlib import Path

import pytest

from agent.audio.formats import PCMU_8K
from agent.errors import ConfigError
from loadtest.stubs.recogniser import StubRecogniser
from loadtest.stubs.script import StubScript


def test_options_are_read_and_others_left_alone() -> None:
    script = StubScript.from_options({"tokens": "8", "token_ms": 2, "address": "127.0.0.1:1"})
    assert (script.tokens, script.token_ms) == (8, 2.0)


@pytest.mark.parametrize(
    "options", [{"tokens": "many"}, {"tokens": 0}, {"chars_per_s": 0}, {"token_ms": -1}, {"tokens": None}]
)
def test_an_option_that_makes_no_sense_is_a_mistake_of_the_agent_file(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="stub"):
        StubScript.from_options(options)


def test_the_reply_is_cut_into_the_wanted_number_of_tokens_and_nothing_is_lost() -> None:
    script = StubScript()
    texts = script.token_texts()
    assert len(texts) == 40
    assert "".join(texts) == script.reply


def test_a_sentence_takes_as_long_as_its_letters_and_is_audible_at_once(tmp_path: Path) -> None:
    file = tmp_path / "voice.ulaw"
    file.write_bytes(b"\x10\x90" * 400)
    script = StubScript(speech=str(file), chars_per_s=10)
    chunks = script.speech_chunks("twenty letters, yes.", script.speech_source())
    assert PCMU_8K.duration_ms(sum(map(len, chunks))) == 2000
    assert chunks[0][:2] == b"\x10\x90"


@pytest.mark.parametrize("content", [None, b""])
def test_a_speech_file_that_is_missing_or_empty_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "voice.ulaw"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"voice\.ulaw"):
        StubScript(speech=str(file)).speech_source()


def test_the_synthetic_voice_is_voiced_and_silence_is_not() -> None:
    script = StubScript()
    recogniser = StubRecogniser(script)
    quiet = PCMU_8K.silence(160)
    assert [recogniser.feed(quiet) for _ in range(100)] == [None] * 100
    assert recogniser.finalize() == ""
    voice = script.speech_source()
    heard = [recogniser.feed(voice[at : at + 160]) for at in range(0, 16_000, 160)]
    assert heard.count(script.heard) >= 4
    assert recogniser.finalize() == script.heard
    assert recogniser.finalize() == ""


def test_the_wait_for_the_first_sentence_is_known_in_advance() -> None:
    script = StubScript(reply="We are open on Monday and on Tuesday. And so on.", tokens=24, token_ms=5.0)
    # Two letters a token: the space behind the full stop is in the 19th.
    assert script.token_texts()[18] == ". "
    assert script.first_sentence_ms == 90.0
    assert StubScript(reply="No end", tokens=3, token_ms=5.0, first_token_ms=7.0).first_sentence_ms == 17.0
