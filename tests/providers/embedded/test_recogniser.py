"""Real speech through the recogniser's own loop: words, pauses, strangers' sentences, many calls."""

import io

import orjson
import pytest

from agent.agentfile import load_agent
from agent.agentfile.expected import caller_phrases
from providers.embedded import decoders as decoders_module
from providers.embedded.decoders import Decoders
from providers.embedded.messages import AUDIO, CLOSE, FINALIZE, OPEN, pack, read
from providers.embedded.recogniser import Stream, serve
from tests.speech import SPEECH_DBFS, at_level, cough, noise, speech

PHRASES = caller_phrases(load_agent(None), "en")
SILENCE = bytes(2 * 8_000 * 3 // 10)


@pytest.fixture(scope="module")
def decoders() -> Decoders:
    return Decoders()


def stream(decoders: Decoders, rate_hz: int = 8_000) -> Stream:
    return Stream(decoders, rate_hz, "en", PHRASES)


def feed(to: Stream, pcm: bytes) -> list[str]:
    partials = [to.audio(pcm[at : at + 1_600]) for at in range(0, len(pcm), 1_600)]
    return [partial for partial in partials if partial]


@pytest.mark.parametrize("voice", ["en-us", "en-gb", "en-us+f3"])
@pytest.mark.parametrize("text", ["what are your opening hours", "on tuesday", "yes", "is there parking"])
def test_what_the_agent_file_expects_is_understood(decoders: Decoders, text: str, voice: str) -> None:
    call = stream(decoders)
    feed(call, SILENCE + speech(text, voice=voice) + SILENCE)
    words, confidence = call.finalize()
    assert words == text
    assert confidence > 0.5


def test_wide_band_lines_have_their_own_model(decoders: Decoders) -> None:
    call = stream(decoders, 16_000)
    said = speech("do you take my insurance", 16_000, mu_law_roundtrip=False)
    feed(call, SILENCE * 2 + said + SILENCE * 2)
    assert call.finalize()[0] == "do you take my insurance"


def test_words_come_while_the_caller_speaks(decoders: Decoders) -> None:
    call = stream(decoders)
    partials = feed(call, SILENCE + speech("i would like to book an appointment"))
    assert len(partials) >= 3
    assert "appointment".startswith(partials[-1].split()[-1][:3]) or "book" in partials[-1]
    call.close()


def test_a_pause_in_the_middle_does_not_cut_the_sentence(decoders: Decoders) -> None:
    call = stream(decoders)
    feed(call, SILENCE + speech("i would like to book") + bytes(2 * 8_000 // 4) + speech("an appointment"))
    feed(call, SILENCE)
    assert call.finalize()[0] == "i would like to book an appointment"


def test_sentences_after_each_other_are_apart(decoders: Decoders) -> None:
    call = stream(decoders)
    for text in ("hello", "are you open on sunday"):
        feed(call, SILENCE + speech(text) + SILENCE)
        assert call.finalize()[0] == text


def test_a_whisper_on_a_bad_line_is_brought_up(decoders: Decoders) -> None:
    call = stream(decoders)
    feed(call, SILENCE + at_level(speech("what are your opening hours"), SPEECH_DBFS - 14) + SILENCE)
    assert call.finalize()[0] == "what are your opening hours"


@pytest.mark.parametrize("sound", [b"", SILENCE, cough(), noise("white", 1_000.0)])
def test_sounds_that_are_no_speech_have_no_words(decoders: Decoders, sound: bytes) -> None:
    call = stream(decoders)
    feed(call, SILENCE + sound + SILENCE)
    words, confidence = call.finalize()
    assert words == "" or confidence < 0.75


def test_what_nobody_expects_is_mostly_not_understood(decoders: Decoders) -> None:
    understood = 0
    for text in ("tell me about quantum physics", "who won the football game last night"):
        for voice in ("en-us", "en-gb"):
            call = stream(decoders)
            feed(call, SILENCE + speech(text, voice=voice) + SILENCE)
            understood += bool(call.finalize()[0])
    assert understood <= 1


def test_a_call_without_a_free_decoder_catches_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders_module, "MAX_DECODERS", 1)
    few = Decoders()
    first, second = stream(few), stream(few)
    feed(first, SILENCE + speech("yes"))
    feed(second, SILENCE + speech("is there parking"))
    feed(first, SILENCE)
    assert first.finalize()[0] == "yes"
    assert second.finalize()[0] == "is there parking"


def test_a_decoder_learns_the_words_of_its_grammars_and_no_others() -> None:
    decoder = Decoders().borrow(8_000, "en", ("crimson pelicans",))
    assert decoder is not None
    known = decoder.decoder.lookup_word
    assert known("pelicans") == "P EH L IH K AH N Z"
    assert known("aardvark") is None
    decoder.choose("en", ("an aardvark",))
    assert known("aardvark") == "AA R D V AA R K"
    decoder.choose("en", ("crimson pelicans", "an aardvark"))
    assert known("aardvark(3)") is None, "a word is not taught twice"


def test_the_process_answers_in_order_and_ends_with_its_input(capfd: pytest.CaptureFixture[str]) -> None:
    def opening(phrases: tuple[str, ...]) -> bytes:
        return orjson.dumps({"rate_hz": 8_000, "language": "en", "phrases": phrases})

    source = io.BytesIO(
        b"".join(
            (
                pack(OPEN, 0, opening(PHRASES)), pack(OPEN, 1, opening(PHRASES)),
                pack(OPEN, 2, opening(PHRASES)),
                pack(AUDIO, 1, SILENCE + speech("thank you") + SILENCE), pack(AUDIO, 9, SILENCE),
                pack(AUDIO, 2, b"\x01"), pack(FINALIZE, 2), pack(FINALIZE, 1), pack(CLOSE, 1),
                pack(AUDIO, 1, b""),
            )
        )
    )  # fmt: skip
    sink = io.BytesIO()
    serve(source, sink)
    sink.seek(0)
    answers = []
    while (message := read(sink)) is not None:
        answers.append((message[0], message[1], orjson.loads(message[2])))
    finals = [(number, body["text"]) for kind, number, body in answers if kind == FINALIZE]
    assert answers[0][:2] == (OPEN, 0)
    assert finals == [(2, ""), (1, "thank you")]


def test_one_calls_fault_is_told_and_leaves_the_others_alone(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    real = Stream.audio

    def broken(self: Stream, pcm: bytes) -> str | None:
        if pcm == b"broken":
            raise ValueError("no audio")
        return real(self, pcm)

    monkeypatch.setattr(Stream, "audio", broken)
    opening = orjson.dumps({"rate_hz": 8_000, "language": "en", "phrases": PHRASES})
    said = SILENCE + speech("goodbye") + SILENCE
    source = io.BytesIO(
        pack(OPEN, 1, opening) + pack(OPEN, 2, opening) + pack(AUDIO, 1, b"broken") + pack(AUDIO, 2, said)
        + pack(FINALIZE, 2)
    )  # fmt: skip
    sink = io.BytesIO()
    serve(source, sink)
    sink.seek(0)
    answers = {}
    while (message := read(sink)) is not None:
        answers[message[0], message[1]] = orjson.loads(message[2])
    assert answers[CLOSE, 1] == {"error": "ValueError: no audio"}
    assert answers[FINALIZE, 2]["text"] == "goodbye"
    assert "ValueError" in capfd.readouterr().err
