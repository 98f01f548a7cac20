"""Payloads of a media line to and from the caller's own audio: PCM16 little-endian mono at 8 kHz.

Written apart from the server's codecs on purpose, straight from ITU-T G.711, so that a mistake there is
not repeated here and thereby hidden.
"""

from typing import Any, Protocol

import G722
import numpy as np
import numpy.typing as npt
import soxr

from agent.audio.formats import AudioFormat, Encoding

CALLER_RATE_HZ = 8000
"""Rate of everything that a synthetic caller says and hears: a telephone."""
_BIAS = 132  # G.711 mu-law: added before the logarithm
_CLIP = 32635


def _mulaw_decode_table() -> npt.NDArray[Any]:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = (((code & 0x0F) << 3) + _BIAS << ((code & 0x70) >> 4)) - _BIAS
    return np.asarray(np.where(code & 0x80, -magnitude, magnitude), "<i2")


def _alaw_decode_table() -> npt.NDArray[Any]:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent, mantissa = (code & 0x70) >> 4, (code & 0x0F) << 4
    magnitude = np.where(exponent == 0, mantissa + 8, mantissa + 0x108 << np.maximum(exponent - 1, 0))
    return np.asarray(np.where(code & 0x80, magnitude, -magnitude), "<i2")


def _mulaw_encode_table() -> npt.NDArray[Any]:
    sample = np.arange(65536, dtype=np.int32).astype(np.uint16).astype(np.int16).astype(np.int32)
    biased = np.minimum(np.abs(sample), _CLIP) + _BIAS
    exponent = np.floor(np.log2(biased)).astype(np.int32) - 7
    code = (np.where(sample < 0, 0x80, 0) | exponent << 4 | biased >> exponent + 3 & 0x0F) ^ 0xFF
    return np.asarray(code, np.uint8)


def _alaw_encode_table() -> npt.NDArray[Any]:
    sample = np.arange(65536, dtype=np.int32).astype(np.uint16).astype(np.int16).astype(np.int32)
    magnitude = np.minimum(np.where(sample < 0, ~sample, sample), 32767) >> 4
    exponent = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int32) - 4, 0)
    mantissa = np.where(exponent <= 0, magnitude & 0x0F, magnitude >> exponent & 0x0F)
    segment = np.where(magnitude < 16, 0, exponent + 1)
    mantissa = np.where(magnitude < 16, magnitude, mantissa)
    code = (np.where(sample < 0, 0, 0x80) | segment << 4 | mantissa) ^ 0x55
    return np.asarray(code, np.uint8)


_DECODE = {Encoding.PCMU: _mulaw_decode_table(), Encoding.PCMA: _alaw_decode_table()}
_ENCODE = {Encoding.PCMU: _mulaw_encode_table(), Encoding.PCMA: _alaw_encode_table()}


class Codec(Protocol):
    """One direction's encoder and decoder; one per call, since some keep state."""

    def encode(self, pcm: bytes) -> bytes:
        """Caller's audio (PCM16 at 8 kHz) to payload."""

    def decode(self, payload: bytes) -> bytes:
        """Payload to PCM16 at 8 kHz. Raises `ValueError` if it cannot be whole samples."""


class G711Codec:
    """PCMU or PCMA: one byte per sample, no state."""

    def __init__(self, encoding: Encoding) -> None:
        self._encode, self._decode = _ENCODE[encoding], _DECODE[encoding]

    def encode(self, pcm: bytes) -> bytes:
        return bytes(self._encode[np.frombuffer(pcm, "<u2")].tobytes())

    def decode(self, payload: bytes) -> bytes:
        return bytes(self._decode[np.frombuffer(payload, np.uint8)].tobytes())


class LinearCodec:
    """L16 at any rate, little-endian as live reports of Telnyx have it."""

    def __init__(self, rate_hz: int) -> None:
        self._up = soxr.ResampleStream(CALLER_RATE_HZ, rate_hz, 1, dtype="int16")
        self._down = soxr.ResampleStream(rate_hz, CALLER_RATE_HZ, 1, dtype="int16")

    def encode(self, pcm: bytes) -> bytes:
        return bytes(self._up.resample_chunk(np.frombuffer(pcm, "<i2")).astype("<i2").tobytes())

    def decode(self, payload: bytes) -> bytes:
        return bytes(self._down.resample_chunk(np.frombuffer(payload, "<i2")).astype("<i2").tobytes())


class G722Codec:
    """G.722 at 64 kbit/s: 16 kHz audio inside, adaptive, so one object per direction of a call."""

    def __init__(self) -> None:
        self._linear = LinearCodec(16000)
        self._g722 = G722.G722(16000, 64000)

    def encode(self, pcm: bytes) -> bytes:
        return bytes(self._g722.encode(np.frombuffer(self._linear.encode(pcm), "<i2")))

    def decode(self, payload: bytes) -> bytes:
        samples = np.asarray(self._g722.decode(payload), dtype="<i2")
        return self._linear.decode(samples.tobytes())


def codec_for(audio: AudioFormat) -> Codec:
    """The codec of a line's format."""
    if audio.encoding in _DECODE:
        return G711Codec(audio.encoding)
    if audio.encoding is Encoding.G722:
        return G722Codec()
    return LinearCodec(audio.rate_hz)
