"""Payloads of a media line as bulk callers see them: one set of tables per format, no state per call.

G.722 is left out: its decoder has a state and costs a hundred times as much, and `parley call` covers it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.audio.formats import AudioFormat, Encoding
from loadtest.callers.codec import CALLER_RATE_HZ, codec_for
from loadtest.callers.ear import AUDIBLE_SAMPLE

Samples = npt.NDArray[np.int16]
"""PCM at 8 kHz."""


@dataclass(frozen=True, slots=True)
class Payload:
    """One format's encoder, decoder and ear."""

    audio: AudioFormat
    quiet: bytes
    """Codes that nobody hears, for formats of one byte a sample; empty for others."""

    def encode(self, pcm: Iterable[bytes]) -> list[bytes]:
        """Frames of PCM16 at 8 kHz, one utterance, to payloads of the same durations."""
        if self.audio.encoding is not Encoding.L16:
            codec = codec_for(self.audio)
            return [codec.encode(frame) for frame in pcm]
        times = self.audio.rate_hz // CALLER_RATE_HZ
        # Each sample repeated: images above 4 kHz, which no telephone voice detector looks at, and no delay.
        return [np.repeat(np.frombuffer(frame, "<i2"), times).astype("<i2").tobytes() for frame in pcm]

    def decode(self, payload: bytes) -> Samples:
        """To PCM at 8 kHz. A last odd byte is ignored."""
        if self.audio.encoding is not Encoding.L16:
            return np.frombuffer(codec_for(self.audio).decode(payload), "<i2").astype(np.int16)
        times = self.audio.rate_hz // CALLER_RATE_HZ
        samples = np.frombuffer(payload[: len(payload) // (2 * times) * 2 * times], "<i2")
        return np.asarray(samples.reshape(-1, times).mean(axis=1), np.int16)

    def first_audible_ms(self, payload: bytes) -> float | None:
        """Where it becomes audible, from its start; None if it never does."""
        if self.quiet:
            if not payload.translate(None, self.quiet):
                return None
            return (len(payload) - len(payload.lstrip(self.quiet))) / self.audio.bytes_per_ms
        found = np.flatnonzero(np.abs(self.decode(payload).astype(np.int32)) >= AUDIBLE_SAMPLE)
        return float(found[0]) * 1000 / CALLER_RATE_HZ if len(found) else None


def payload_for(audio: AudioFormat) -> Payload:
    """The payload of a line's format. Raises `ValueError` for those that bulk callers do not speak."""
    if audio.encoding is Encoding.G722 or audio.rate_hz % CALLER_RATE_HZ:
        raise ValueError(f"bulk callers speak PCMU, PCMA and L16 at 8 or 16 kHz, not {audio}")
    if audio.encoding is Encoding.L16:
        return Payload(audio, b"")
    codec = codec_for(audio)
    quiet = bytes(
        code
        for code in range(256)
        if abs(int.from_bytes(codec.decode(bytes((code,))), "little", signed=True)) < AUDIBLE_SAMPLE
    )
    return Payload(audio, quiet)
