"""How well and how fast the embedded recogniser understands callers of the example agent.

    python -m bench.embedded_stt [--language en] [--rate 8000] [--line wide] [--level 1.0] [--mean]

Says the agent file's phrases, dates, times and digits in several espeak-ng voices, sends them through mu-law
(unless `--line wide`) and the recogniser, and counts the sentences whose words are all right. Figures are CPU
time. `--mean` prints the cepstral mean to put into `providers.embedded.decoders`.
"""

import argparse
import statistics
import time
from collections.abc import Sequence

import numpy as np

from agent.agentfile import load_agent
from agent.agentfile.expected import caller_phrases
from providers.embedded.decoders import Decoders
from providers.embedded.front_end import MODEL_HZ, FrontEnd, gain
from providers.embedded.recogniser import Stream
from providers.embedded.vocabulary import spoken
from tests.speech import speech

VOICES = {
    "en": ("en-us", "en-gb", "en-us+m3", "en-us+f3", "en-gb+f2"),
    "es": ("es", "es-419", "es+m3", "es+f3"),
}
SENTENCES = {
    "en": (
        "on tuesday", "tuesday", "monday", "friday", "ten", "three",
        "half past nine", "ten thirty", "on friday", "three o'clock",
        "five five five one two three four",
        "the third of march", "tuesday at ten", "no on friday", "seven seven two oh nine",
    ),
    "es": ("el martes", "a las nueve", "el viernes por la mañana", "sí", "cinco cinco uno dos tres cuatro"),
}  # fmt: skip
"""Besides the agent file's phrases."""
STRANGE = {
    "en": (
        "my cat likes purple bananas and dancing", "tell me about quantum physics",
        "the weather is nice in paris",
        "who won the football game last night",
    ),
    "es": ("mi gato come plátanos morados", "el tiempo es bueno en parís"),
}  # fmt: skip
"""What no agent expects: these should come with low confidence."""
_FRAME_S = 0.02


def _silence(rate_hz: int, seconds: float) -> bytes:
    return bytes(2 * int(rate_hz * seconds))


def recognise(stream: Stream, pcm: bytes, rate_hz: int) -> tuple[str, float, float, float]:
    """Feed a sentence as a call does. Words, confidence, CPU seconds while it was said, and at its end."""
    audio = _silence(rate_hz, 0.3) + pcm + _silence(rate_hz, 0.3)
    step = int(rate_hz * _FRAME_S) * 2 * 5
    begin_s = time.process_time()
    for at in range(0, len(audio), step):
        stream.audio(audio[at : at + step])
    said_s = time.process_time()
    text, confidence = stream.finalize()
    return text, confidence, said_s - begin_s, time.process_time() - said_s


def cepstral_mean(sentences: Sequence[bytes], rate_hz: int, decoders: Decoders) -> str:
    """Mean of the cepstra of all `sentences`, as pocketsphinx writes it."""
    prepared = decoders.borrow(rate_hz, "en", ("yes",))
    assert prepared is not None
    means: list[list[float]] = []
    for pcm in sentences:
        audio = _silence(rate_hz, 0.2) + pcm + _silence(rate_hz, 0.2)
        front_end = FrontEnd(rate_hz, gain(pcm))
        prepared.decoder.set_cmn(prepared.mean)
        prepared.decoder.start_utt()
        prepared.decoder.process_raw(front_end.convert(audio, last=True), no_search=True, full_utt=True)
        prepared.decoder.end_utt()
        means.append([float(value) for value in prepared.decoder.get_cmn(True).split(",")])
    decoders.give_back(rate_hz, prepared)
    return ",".join(f"{value:.2f}" for value in np.mean(means, axis=0))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--language", default="en", help="one of the example agent's (default: en)")
    parser.add_argument("--rate", type=int, choices=(8_000, MODEL_HZ), default=8_000, help="of the line, Hz")
    parser.add_argument("--level", type=float, default=1.0, help="factor on the caller's level (default: 1)")
    parser.add_argument("--mean", action="store_true", help="print the cepstral mean and stop")
    parser.add_argument("--wrong", action="store_true", help="list what was misheard")
    options = parser.parse_args()
    agent = load_agent(None)
    primary = options.language.split("-")[0]
    language = next(name for name in agent.languages if name.split("-")[0] == primary)
    phrases = caller_phrases(agent, language)
    said = [" ".join(spoken(phrase)) for phrase in (*phrases[::2], *SENTENCES[primary])]
    decoders = Decoders()

    def pcm(text: str, voice: str) -> bytes:
        made = speech(text, options.rate, voice, mu_law_roundtrip=options.rate == 8_000, words_per_minute=150)
        return bytes((np.frombuffer(made, "<i2") * options.level).astype("<i2").data)

    voices = VOICES[primary]
    if options.mean:
        print(cepstral_mean([pcm(text, voices[0]) for text in said[:60]], options.rate, decoders))
        return
    audio_s = live_s = right = 0.0
    ends_ms: list[float] = []
    sure: list[float] = []
    for voice in voices:
        before = right
        for text in said:
            stream = Stream(decoders, options.rate, primary, phrases)
            sound = pcm(text, voice)
            words, confidence, while_s, end_s = recognise(stream, sound, options.rate)
            right += words == text
            sure.append(confidence)
            audio_s += len(sound) / 2 / options.rate
            live_s += while_s
            ends_ms.append(end_s * 1000)
            if options.wrong and words != text:
                print(f"  {voice}: {text!r} -> {words!r} ({confidence:.2f})")
        print(f"{voice}: {right - before:.0f} of {len(said)} sentences with every word right")
    strange = [
        recognise(Stream(decoders, options.rate, primary, phrases), pcm(text, voice), options.rate)[:2]
        for text in STRANGE[primary]
        for voice in voices
    ]
    total = len(said) * len(voices)
    print(f"all: {right:.0f} of {total} ({right / total:.1%})")
    print(f"confidence: {statistics.mean(sure):.2f} of these, "
          f"{statistics.mean(value for _, value in strange):.2f} of what nobody expects")  # fmt: skip
    print(f"CPU: {live_s / audio_s:.3f} s per second of speech; at "
          f"the end {statistics.median(ends_ms):.1f} ms, p95 {np.percentile(ends_ms, 95):.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
