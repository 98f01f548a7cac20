"""The recogniser's own process: `python -m providers.embedded.recogniser`.

pocketsphinx decodes in bursts of milliseconds and holds the interpreter while it does, so it must not share
a process with the event loop. This one reads audio of many calls from stdin and writes transcripts to stdout,
in length-prefixed messages (`providers.embedded.messages`); it ends when its stdin does.
"""

import sys
from collections import deque
from typing import BinaryIO

import numpy as np
import orjson
import soxr
from pocketsphinx import Config, Decoder

from agent.audio.vad import SpeechGate, VoiceDetector
from providers.embedded.jsgf import make_grammar
from providers.embedded.messages import AUDIO, CLOSE, FINALIZE, OPEN, pack, read

MODEL_HZ = 16_000
"""Rate of the stock en-us model."""
PRE_ROLL_FRAMES = 15
"""300 ms before the first voiced frame: a whole unvoiced consonant and some silence for the decoder."""
TAIL_FRAMES = 25
"""500 ms of silence go to the decoder; the rest of a pause would only cost time."""
PARTIAL_FRAMES = 12
"""A partial transcript every 240 ms of speech."""
MAX_DECODERS = 8
"""Utterances decoded at once; the model takes about 40 MB for each. More wait, and catch up at 100 x."""


class Decoders:
    """A few decoders that calls borrow for an utterance each."""

    def __init__(self) -> None:
        self._idle: list[Decoder] = []
        self._made = 0
        self._grammars: dict[tuple[str, ...], str] = {}

    def borrow(self, phrases: tuple[str, ...]) -> Decoder | None:
        """A decoder set to the phrases' grammar; None while all are out."""
        decoder = self._idle.pop() if self._idle else self._make()
        if decoder is None:
            return None
        name = str(hash(phrases))
        if name not in decoder.known:
            grammar, _ = make_grammar(phrases, lambda word: decoder.lookup_word(word) is not None)
            decoder.add_jsgf_string(name, grammar)
            decoder.known.add(name)
        decoder.activate_search(name)
        return decoder

    def give_back(self, decoder: Decoder) -> None:
        self._idle.append(decoder)

    def _make(self) -> Decoder | None:
        if self._made == MAX_DECODERS:
            return None
        self._made += 1
        return _KnowingDecoder(Config(samprate=MODEL_HZ, lm=None, cmn="batch", loglevel="FATAL"))


class _KnowingDecoder(Decoder):  # type: ignore[misc]  # no stubs
    """A decoder that remembers which grammars it has."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.known: set[str] = set()


class Stream:
    """One call."""

    def __init__(self, decoders: Decoders, rate_hz: int, phrases: tuple[str, ...]) -> None:
        self._decoders = decoders
        self._phrases = phrases
        self._rate_hz = rate_hz
        self._frame = rate_hz // 50 * 2
        self._rest = b""
        self._vad = VoiceDetector(rate_hz)
        self._gate = SpeechGate(40.0, 100.0, 200.0)
        self._before: deque[bytes] = deque(maxlen=PRE_ROLL_FRAMES)
        self._speech: list[bytes] = []
        self._whole = bytearray()
        self._resampler: soxr.ResampleStream | None = None
        self._decoder: Decoder | None = None
        self._silent = 0
        self._voiced = 0
        self._since_partial = 0
        self._partial = ""

    def audio(self, pcm: bytes) -> str | None:
        """More audio. A new partial transcript, if there is one."""
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % self._frame
        for start in range(0, whole, self._frame):
            self._hear(pcm[start : start + self._frame])
        self._rest = pcm[whole:]
        return self._decode()

    def finalize(self) -> tuple[str, float]:
        """Words and confidence of what was heard since the last time."""
        text, confidence = "", 0.0
        if self._voiced:
            while self._decoder is None and not self._begin():
                return "", 0.0
            self._decode()
            decoder = self._decoder
            assert decoder is not None
            self._process(decoder, b"", last=True)
            decoder.end_utt()
            # The partials were decoded with a running mean of the channel; the whole utterance, with its own
            # mean, comes out right more often and takes some 50 ms.
            decoder.start_utt()
            decoder.process_raw(bytes(self._whole), no_search=False, full_utt=True)
            before = decoder.hyp()
            decoder.end_utt()
            # A path that ends a sentence is sure; one that was cut short is the best there is.
            hypothesis = decoder.hyp()
            text = hypothesis.hypstr if hypothesis else ""
            confidence = 1.0 if text else 0.5
            text = text or (before.hypstr if before else "")
        self._reset()
        return text, confidence

    def close(self) -> None:
        """Give the decoder back."""
        if self._decoder is not None:
            self._decoder.end_utt()
        self._reset()

    def _hear(self, frame: bytes) -> None:
        voiced = self._vad.is_voiced(frame)
        self._gate.update(voiced)
        if self._gate.speaking:
            if not self._voiced:
                self._speech.extend(self._before)
                self._before.clear()
            self._speech.append(frame)
            self._voiced += voiced
            self._silent = 0
        elif self._voiced and self._silent < TAIL_FRAMES:
            self._silent += 1
            self._speech.append(frame)
        else:
            self._before.append(frame)

    def _begin(self) -> bool:
        self._decoder = self._decoders.borrow(self._phrases)
        if self._decoder is None:
            return False
        self._resampler = soxr.ResampleStream(self._rate_hz, MODEL_HZ, 1, dtype="int16", quality="MQ")
        self._decoder.start_utt()
        return True

    def _decode(self) -> str | None:
        if not self._speech or (self._decoder is None and not self._begin()):
            return None
        decoder = self._decoder
        assert decoder is not None
        speech, self._speech = self._speech, []
        self._process(decoder, b"".join(speech), last=False)
        self._since_partial += len(speech)
        if self._since_partial < PARTIAL_FRAMES:
            return None
        self._since_partial = 0
        hypothesis = decoder.hyp()
        text = hypothesis.hypstr if hypothesis else ""
        if not text or text == self._partial:
            return None
        self._partial = text
        return text

    def _process(self, decoder: Decoder, pcm: bytes, *, last: bool) -> None:
        if self._rate_hz == MODEL_HZ:
            audio = pcm
        else:
            assert self._resampler is not None
            samples = np.frombuffer(pcm, dtype="<i2")
            audio = self._resampler.resample_chunk(samples, last=last).tobytes()
        if audio:
            self._whole += audio
            decoder.process_raw(audio, no_search=False, full_utt=False)

    def _reset(self) -> None:
        if self._decoder is not None:
            self._decoders.give_back(self._decoder)
            self._decoder = None
        self._speech.clear()
        self._whole.clear()
        self._voiced = self._silent = self._since_partial = 0
        self._partial = ""


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer messages until the source ends."""
    decoders = Decoders()
    streams: dict[int, Stream] = {}
    while (message := read(source)) is not None:
        kind, number, body = message
        if kind == OPEN:
            request = orjson.loads(body)
            phrases = tuple(request["phrases"])
            if number:
                streams[number] = Stream(decoders, request["rate_hz"], phrases)
            else:
                # Warm-up: load the model and compile the grammar before anybody waits for it.
                decoder = decoders.borrow(phrases)
                if decoder is not None:
                    decoders.give_back(decoder)
                _write(sink, OPEN, 0, b"{}")
        elif (stream := streams.get(number)) is None:
            continue
        elif kind == AUDIO:
            partial = stream.audio(body)
            if partial is not None:
                _write(sink, AUDIO, number, orjson.dumps({"text": partial}))
        elif kind == FINALIZE:
            text, confidence = stream.finalize()
            _write(sink, FINALIZE, number, orjson.dumps({"text": text, "confidence": confidence}))
        elif kind == CLOSE:
            stream.close()
            del streams[number]


def _write(sink: BinaryIO, kind: int, number: int, body: bytes) -> None:
    sink.write(pack(kind, number, body))
    sink.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
