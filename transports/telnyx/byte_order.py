"""The byte order of L16 at the border: Parley is little-endian inside, Telnyx may be either (sheet 11)."""

from array import array

import numpy as np

from transports.telnyx.options import ByteOrderChoice

DETECT_MS = 500.0
"""Audio after which the decision stands (sheet 11)."""


class ByteOrder:
    """Order of one stream: as configured, or found out from what the caller sends.

    Samples of sound, even of line noise, differ little from their neighbours. Read in the wrong order they
    are white noise: the mean difference is tens to hundreds of times larger. While it is still being found
    out, each payload is read in the order that has looked better so far, so nothing is delayed.
    """

    __slots__ = ("_big", "_left", "_little", "_undecided", "swapped")

    def __init__(self, choice: ByteOrderChoice, rate_hz: int) -> None:
        self.swapped = choice is ByteOrderChoice.BIG
        """True if the wire is taken to be big-endian."""
        self._undecided = choice is ByteOrderChoice.DETECT
        self._left = int(rate_hz * DETECT_MS / 1000)
        self._little = 0
        self._big = 0

    def read(self, payload: bytes) -> bytes:
        """From the wire to little-endian. `payload` is whole samples."""
        if self._undecided:
            self._weigh(payload)
        return _swap(payload) if self.swapped else payload

    def write(self, audio: bytes) -> bytes:
        """From little-endian to the wire."""
        return _swap(audio) if self.swapped else audio

    def _weigh(self, payload: bytes) -> None:
        self._little += _roughness(payload, "<i2")
        self._big += _roughness(payload, ">i2")
        self._left -= len(payload) // 2
        # Digital silence reads the same both ways and tells nothing.
        if self._little != self._big:
            self.swapped = self._big < self._little
            self._undecided = self._left > 0


def _roughness(payload: bytes, order: str) -> int:
    samples = np.frombuffer(payload, dtype=order).astype(np.int32)
    return int(np.abs(np.diff(samples)).sum())


def _swap(audio: bytes) -> bytes:
    samples = array("h", audio)
    samples.byteswap()
    return samples.tobytes()
