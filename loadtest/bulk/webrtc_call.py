"""One bulk caller in a browser: the media caller's script over Opus packets, without socket or clock.

There is no `clear` and no mark here: that the agent was stopped shows in its silence, and what was heard is
what came. Opus of all that callers say is made once; what comes is decoded, 19 us a packet.
"""

from dataclasses import replace

from agent.audio.formats import FRAME_MS, PCMU_8K, linear
from agent.errors import WireError
from loadtest.bulk.dialect import Stream
from loadtest.bulk.figures import Figures
from loadtest.bulk.media_call import DONE_MS, MediaCall
from loadtest.bulk.payload import payload_for
from loadtest.bulk.playback import PLAYOUT_MS
from loadtest.bulk.script import Script
from loadtest.bulk.speech import CallerSpeech, Said, Spoken
from loadtest.bulk.webrtc_peer import STEP
from loadtest.callers.codec import CALLER_RATE_HZ
from transports.webrtc.opus import OpusDecoder, OpusEncoder
from transports.webrtc.rtp import RtpPacket

BITRATE, COMPLEXITY = 32_000, 9
"""What browsers send speech with."""
_SILENT_BYTES = 3
"""A packet of at most this length is silence: DTX, or the frame that ends a spurt (RFC 7587, 3.1.3)."""


def opus_speech(spoken: Spoken) -> CallerSpeech:
    """What callers say, in Opus packets of 20 ms; replies are heard as PCM16 at 8 kHz.

    Opus at 8 kHz looks 6.5 ms ahead (RFC 6716, 2), so what is heard is so much later than what is counted.
    First words are not compared: what Opus makes of a sound is not the same samples.
    """
    pcm = spoken.on(linear(CALLER_RATE_HZ), PCMU_8K)
    sentences = tuple(
        _said(said, each.frames) for said, each in zip(pcm.sentences, spoken.sentences, strict=True)
    )
    interruption = _said(pcm.interruption, spoken.interruption.frames)
    quiet = _packets((bytes(2 * CALLER_RATE_HZ * FRAME_MS // 1000),) * 2)[-1:]
    return CallerSpeech(sentences, interruption, quiet, hears=payload_for(linear(CALLER_RATE_HZ)))


def _said(said: Said, frames: tuple[bytes, ...]) -> Said:
    return replace(said, frames=_packets(frames))


def _packets(frames: tuple[bytes, ...]) -> tuple[bytes, ...]:
    encoder = OpusEncoder(CALLER_RATE_HZ, BITRATE, COMPLEXITY)
    return tuple(encoder.encode(frame) for frame in frames)


class _Packets(Stream):
    """A stream whose frames are the bare packets: numbers are the peer's."""

    def media(self, sequence: int, chunk: int, time_ms: int, payload: bytes) -> bytes:
        """20 ms of audio."""
        return payload


class WebRtcCall(MediaCall):
    """One caller."""

    still_speaking_ms = PLAYOUT_MS
    """Packets come one at a time, when they are due: between two of them the line is silent."""

    def __init__(
        self, call_id: str, speech: CallerSpeech, script: Script, figures: Figures, seed: int
    ) -> None:
        stream = _Packets(call_id, (), b"", b"", lambda _sequence, _digit: b"", b"")
        super().__init__(stream, speech, script, figures, seed)
        self._decoder = OpusDecoder(CALLER_RATE_HZ)
        self._next_timestamp: int | None = None

    def tick(self, now_ms: float) -> bytes:
        """20 ms passed: the packet to send."""
        wanted_ms, until_ms = self._clear_wanted_ms, self._playback.until_ms
        if wanted_ms is not None and now_ms - until_ms > DONE_MS:
            self.figures.barge_in_ms.append(max(until_ms - wanted_ms, 0.0))
            self._clear_wanted_ms = None
            self._cleared = True
        return super().tick(now_ms)

    def packet(self, packet: RtpPacket, now_ms: float) -> None:
        """Audio from the server, now."""
        if packet.timestamp != self._next_timestamp:
            # A new spurt, or a packet lost: the way from one to the other says nothing about pacing.
            self._playback.pause()
        self._next_timestamp = packet.timestamp + STEP & 0xFFFFFFFF
        if len(packet.payload) <= _SILENT_BYTES:
            return
        try:
            pcm = self._decoder.decode(packet.payload)
        except WireError:
            self.figures.bad_messages += 1
            return
        self._media(pcm, now_ms)
