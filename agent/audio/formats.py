"""Audio formats as the platforms name them, and their sizes.

Inside Parley, linear audio is always 16-bit signed little-endian mono (`L16` here); a transport whose
wire is big-endian swaps at its border. G.711 sizes and silence bytes: ITU-T G.711, RFC 3551.
"""

from dataclasses import dataclass
from enum import StrEnum

FRAME_MS = 20
"""One frame of audio on a media line."""


class Encoding(StrEnum):
    """Payload encodings, by their RTP names (RFC 3551)."""

    PCMU = "PCMU"
    PCMA = "PCMA"
    G722 = "G722"
    L16 = "L16"


_BYTES_PER_SAMPLE = {Encoding.PCMU: 1.0, Encoding.PCMA: 1.0, Encoding.G722: 0.5, Encoding.L16: 2.0}
# Mu-law 0xFF and A-law 0xD5 are +0; 0x00 in mu-law would be -32124, a loud click. G.722 has no silence
# byte of its own: its encoder is stateful, so silence is encoded, never filled in.
_SILENCE = {Encoding.PCMU: b"\xff", Encoding.PCMA: b"\xd5", Encoding.L16: b"\x00"}


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """An encoding at a sample rate, mono.

    `rate_hz` is the rate of the audio itself: 16,000 for G.722, whose RTP clock says 8,000.
    """

    encoding: Encoding
    rate_hz: int

    @property
    def bytes_per_ms(self) -> float:
        """Payload bytes per millisecond: 8 for PCMU, PCMA and G.722, 32 for L16 at 16 kHz."""
        return self.rate_hz * _BYTES_PER_SAMPLE[self.encoding] / 1000

    @property
    def frame_bytes(self) -> int:
        """Payload bytes of one 20 ms frame."""
        return int(self.bytes_per_ms * FRAME_MS)

    @property
    def is_linear(self) -> bool:
        """True where the payload is PCM16 already."""
        return self.encoding is Encoding.L16

    def duration_ms(self, size_bytes: int) -> float:
        """Milliseconds of audio in `size_bytes` of payload."""
        return size_bytes / self.bytes_per_ms

    def silence(self, size_bytes: int) -> bytes:
        """`size_bytes` of silence. Raises `ValueError` for G.722, where silence has to be encoded."""
        fill = _SILENCE.get(self.encoding)
        if fill is None:
            raise ValueError(f"{self.encoding} is stateful: encode silence instead of filling it in")
        return fill * (size_bytes // len(fill))


PCMU_8K = AudioFormat(Encoding.PCMU, 8000)
PCMA_8K = AudioFormat(Encoding.PCMA, 8000)
G722_16K = AudioFormat(Encoding.G722, 16000)


def linear(rate_hz: int) -> AudioFormat:
    """PCM16 little-endian mono at `rate_hz`."""
    return AudioFormat(Encoding.L16, rate_hz)
