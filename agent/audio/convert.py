"""From one audio format to another, streaming."""

from typing import Protocol

from agent.audio.codec import make_decoder, make_encoder
from agent.audio.formats import AudioFormat
from agent.audio.resample import Resampler


class Converter(Protocol):
    """One stream's conversion. Stateful: one per stream."""

    def convert(self, audio: bytes) -> bytes:
        """The next piece, any length."""

    def flush(self) -> bytes:
        """What is still held back; the stream is over."""


class _Same:
    def convert(self, audio: bytes) -> bytes:
        return audio

    def flush(self) -> bytes:
        return b""


class _Transcoder:
    def __init__(self, source: AudioFormat, target: AudioFormat) -> None:
        self._decoder = make_decoder(source)
        self._resampler = Resampler(source.rate_hz, target.rate_hz)
        self._encoder = make_encoder(target)
        self._linear = source.is_linear

    def convert(self, audio: bytes) -> bytes:
        # The resampler carries a split sample over to the next piece; only linear audio can have one.
        pcm = audio if self._linear else self._decoder.decode(audio)
        return self._encoder.encode(self._resampler.process(pcm))

    def flush(self) -> bytes:
        return self._encoder.encode(self._resampler.flush())


def make_converter(source: AudioFormat, target: AudioFormat) -> Converter:
    """A converter for one stream; passes audio through where the formats are the same."""
    return _Same() if source == target else _Transcoder(source, target)
