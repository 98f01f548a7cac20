"""Streaming sample-rate conversion. The filter's state lives from chunk to chunk, so joins do not click."""

import numpy as np
import soxr

QUALITY = "HQ"
"""Costs the same as the lower settings on 20 ms chunks; no audible aliasing at 8 kHz."""


class Resampler:
    """PCM16 mono from one rate to another."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._same = from_hz == to_hz
        self._odd = b""
        self._stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="int16", quality=QUALITY)

    def process(self, pcm: bytes) -> bytes:
        """Converted audio as far as the filter can tell; it holds some milliseconds back until `flush`."""
        return self._run(pcm, last=False)

    def flush(self) -> bytes:
        """The rest. The resampler is used up."""
        return self._run(b"", last=True)

    def _run(self, pcm: bytes, *, last: bool) -> bytes:
        if self._odd:
            pcm = self._odd + pcm
        whole = len(pcm) // 2 * 2
        self._odd = pcm[whole:]
        if self._same:
            return pcm[:whole]
        samples = np.frombuffer(pcm[:whole], dtype="<i2")
        converted: bytes = self._stream.resample_chunk(samples, last=last).tobytes()
        return converted
