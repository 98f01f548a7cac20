"""The recogniser's own process: `python -m providers.embedded.recogniser`.

pocketsphinx decodes in bursts of milliseconds and holds the interpreter while it does, so it must not share
a process with the event loop. This one reads audio of many calls from stdin and writes transcripts to stdout,
in length-prefixed messages (`providers.embedded.messages`); it ends when its stdin does.
"""

import signal
import sys
import traceback
from collections import deque
from typing import BinaryIO

import orjson

from agent.audio.vad import SpeechGate, VoiceDetector
from providers.embedded.decoders import Decoders, PreparedDecoder
from providers.embedded.front_end import FrontEnd, gain
from providers.embedded.messages import AUDIO, CLOSE, FINALIZE, OPEN, pack, read

PRE_ROLL_FRAMES = 15
"""300 ms before the first voiced frame: a whole unvoiced consonant and some silence for the decoder."""
TAIL_FRAMES = 6
"""120 ms of silence end an utterance for the decoder, which then works out the words while the caller's
silence is still being waited for; if the caller goes on, it starts again from the utterance's first frame."""
LEVEL_FRAMES = 10
"""Voiced frames until the speech's level is known well enough to start decoding."""
PARTIAL_FRAMES = 12
"""A partial transcript every 240 ms of speech."""
MAX_FRAMES = 50 * 60
"""A minute: what a caller said before that is forgotten."""
SURE = 0.3
"""Words with less confidence are a guess, and nothing was understood: what nobody expects comes with 0.38 on
average, what is expected with 0.90 (`python -m bench.embedded_stt`)."""
LEVEL_CHANGED = 2.0
"""Decoding starts anew at the end if the level turned out to be that much off."""


class Stream:
    """One call."""

    def __init__(self, decoders: Decoders, rate_hz: int, language: str, phrases: tuple[str, ...]) -> None:
        self._decoders = decoders
        self._rate_hz = rate_hz
        self._language = language
        self._phrases = phrases
        self._frame_bytes = rate_hz // 50 * 2
        self._rest = b""
        self._vad = VoiceDetector(rate_hz)
        self._gate = SpeechGate(40.0, 100.0, 200.0)
        self._before: deque[bytes] = deque(maxlen=PRE_ROLL_FRAMES)
        # The utterance: frames from just before the first voice to the last; and what is known about it.
        self._frames: deque[bytes] = deque(maxlen=MAX_FRAMES)
        self._silent = 0
        self._voiced = 0
        self._decoder: PreparedDecoder | None = None
        self._front_end: FrontEnd | None = None
        self._gain = 1.0
        self._decoded = 0
        self._partial = ""
        self._partial_at = 0
        self._result: tuple[str, float] | None = None

    def audio(self, pcm: bytes) -> str | None:
        """More audio. A new partial transcript, if there is one."""
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % self._frame_bytes
        for start in range(0, whole, self._frame_bytes):
            self._hear(pcm[start : start + self._frame_bytes])
        self._rest = pcm[whole:]
        if self._voiced < LEVEL_FRAMES or self._result is not None:
            return None
        if self._silent >= TAIL_FRAMES:
            self._finish()
            return None
        return self._new_partial() if self._decode() else None

    def finalize(self) -> tuple[str, float]:
        """Words and confidence of what was heard since the last time."""
        result = ("", 0.0)
        if self._voiced:
            if self._result is None:
                self._finish()
            result = self._result or result
        self._reset()
        text, confidence = result
        return (text if confidence >= SURE else ""), confidence

    def close(self) -> None:
        """Give the decoder back."""
        self._reset()

    def _hear(self, frame: bytes) -> None:
        voiced = self._vad.is_voiced(frame)
        self._gate.update(voiced)
        if self._gate.speaking:
            if not self._voiced:
                self._frames.extend(self._before)
                self._before.clear()
            self._frames.append(frame)
            self._voiced += voiced
            self._silent = 0
            if self._result is not None:
                self._rewind()
        elif self._voiced:
            self._silent += 1
            if self._silent <= TAIL_FRAMES:
                self._frames.append(frame)
            else:
                self._before.append(frame)
        else:
            self._before.append(frame)

    def _rewind(self) -> None:
        """The utterance goes on after all: decode it as a whole."""
        self._frames.extend(self._before)
        self._before.clear()
        self._result = None
        self._decoded = 0

    def _decode(self) -> bool:
        """Let the decoder catch up with the frames. False if none is free."""
        if self._decoder is None:
            self._decoder = self._decoders.borrow(self._rate_hz, self._language, self._phrases)
            if self._decoder is None:
                return False
        decoder = self._decoder.decoder
        if self._decoded == 0:
            self._gain = gain(b"".join(self._frames))
            self._front_end = FrontEnd(self._rate_hz, self._gain)
            decoder.set_cmn(self._decoder.mean)
            decoder.start_utt()
        new = list(self._frames)[self._decoded :]
        self._decoded += len(new)
        if new:
            self._feed(b"".join(new))
        return True

    def _feed(self, pcm: bytes, *, last: bool = False) -> None:
        assert self._decoder is not None
        assert self._front_end is not None
        audio = self._front_end.convert(pcm, last=last)
        if audio:
            self._decoder.decoder.process_raw(audio, no_search=False, full_utt=False)

    def _finish(self) -> None:
        if not self._decode():
            return
        assert self._decoder is not None
        factor = gain(b"".join(self._frames)) / self._gain
        if not 1 / LEVEL_CHANGED <= factor <= LEVEL_CHANGED:
            self._decoder.decoder.end_utt()
            self._decoded = 0
            self._decode()
        self._feed(b"", last=True)
        self._decoder.decoder.end_utt()
        self._result = self._decoder.result()

    def _new_partial(self) -> str | None:
        if self._decoded - self._partial_at < PARTIAL_FRAMES:
            return None
        assert self._decoder is not None
        self._partial_at = self._decoded
        text, _ = self._decoder.result()
        if not text or text == self._partial:
            return None
        self._partial = text
        return text

    def _reset(self) -> None:
        if self._decoder is not None:
            if self._decoded and self._result is None:
                self._decoder.decoder.end_utt()
            self._decoders.give_back(self._rate_hz, self._decoder)
            self._decoder = None
        self._frames.clear()
        self._voiced = self._silent = self._decoded = self._partial_at = 0
        self._partial = ""
        self._result = None


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer messages until the source ends."""
    decoders = Decoders()
    streams: dict[int, Stream] = {}
    while (message := read(source)) is not None:
        kind, number, body = message
        if kind == OPEN:
            request = orjson.loads(body)
            rate_hz, language, phrases = request["rate_hz"], request["language"], tuple(request["phrases"])
            if number:
                streams[number] = Stream(decoders, rate_hz, language, phrases)
            else:
                # Warm-up: load the model and make the grammar before anybody waits for it.
                decoder = decoders.borrow(rate_hz, language, phrases)
                if decoder is not None:
                    decoders.give_back(rate_hz, decoder)
                _write(sink, OPEN, 0, b"{}")
        elif (stream := streams.get(number)) is None:
            continue
        else:
            try:
                answer = _answered(stream, kind, body)
            except Exception as error:  # noqa: BLE001  # one call's fault must not silence the others
                traceback.print_exc()
                del streams[number]
                answer = {"error": f"{type(error).__name__}: {error}"}
                kind = CLOSE
            if answer is not None:
                _write(sink, kind, number, orjson.dumps(answer))
            elif kind == CLOSE:
                del streams[number]


def _answered(stream: Stream, kind: int, body: bytes) -> dict[str, object] | None:
    """What a message to a stream calls for."""
    if kind == AUDIO:
        partial = stream.audio(body)
        return None if partial is None else {"text": partial}
    if kind == FINALIZE:
        text, confidence = stream.finalize()
        return {"text": text, "confidence": confidence}
    if kind == CLOSE:
        stream.close()
    return None


def _write(sink: BinaryIO, kind: int, number: int, body: bytes) -> None:
    sink.write(pack(kind, number, body))
    sink.flush()


if __name__ == "__main__":
    # A terminal's Ctrl-C and a service manager's stop reach every process of the server, which then lets its
    # live calls finish: they are still to be heard.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    serve(sys.stdin.buffer, sys.stdout.buffer)
