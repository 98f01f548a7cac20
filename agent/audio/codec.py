"""Payload to linear audio and back: one decoder and one encoder per direction of a line."""

from typing import Protocol

import numpy as np
from G722 import G722

from agent.audio import g711
from agent.audio.formats import AudioFormat, Encoding

_G722_BIT_RATE = 64_000
"""The only rate that RTP uses (RFC 3551, 4.5.2)."""


class Decoder(Protocol):
    """Payload to PCM16 little-endian mono at the format's rate."""

    def decode(self, payload: bytes) -> bytes:
        """Any length; half a sample at the end is dropped. Never raises."""


class Encoder(Protocol):
    """PCM16 little-endian mono at the format's rate to payload."""

    def encode(self, pcm: bytes) -> bytes:
        """Any length; half a sample at the end is dropped. Never raises."""


class _Linear:
    def decode(self, payload: bytes) -> bytes:
        return payload if len(payload) % 2 == 0 else payload[:-1]

    encode = decode


class _MuLaw:
    def decode(self, payload: bytes) -> bytes:
        return g711.ulaw2lin(payload, 2)

    def encode(self, pcm: bytes) -> bytes:
        return g711.lin2ulaw(pcm if len(pcm) % 2 == 0 else pcm[:-1], 2)


class _ALaw:
    def decode(self, payload: bytes) -> bytes:
        return g711.alaw2lin(payload, 2)

    def encode(self, pcm: bytes) -> bytes:
        return g711.lin2alaw(pcm if len(pcm) % 2 == 0 else pcm[:-1], 2)


class _G722:
    """Stateful: an object per direction."""

    def __init__(self) -> None:
        self._codec = G722(16_000, _G722_BIT_RATE)
        self._odd = b""  # G.722 codes samples in pairs: one without its neighbour waits for the next call

    def decode(self, payload: bytes) -> bytes:
        return np.asarray(self._codec.decode(payload), dtype="<i2").tobytes()

    def encode(self, pcm: bytes) -> bytes:
        pcm = self._odd + pcm[: len(pcm) // 2 * 2]
        whole = len(pcm) // 4 * 4
        self._odd = pcm[whole:]
        return bytes(self._codec.encode(np.frombuffer(pcm[:whole], dtype="<i2")))


def make_decoder(audio: AudioFormat) -> Decoder:
    """A decoder for one direction of one line."""
    return _codec(audio)


def make_encoder(audio: AudioFormat) -> Encoder:
    """An encoder for one direction of one line."""
    return _codec(audio)


def _codec(audio: AudioFormat) -> _Linear | _MuLaw | _ALaw | _G722:
    match audio.encoding:
        case Encoding.PCMU:
            return _MuLaw()
        case Encoding.PCMA:
            return _ALaw()
        case Encoding.G722:
            return _G722()
        case Encoding.L16:
            return _Linear()
