"""What the agent says: frames of audio in, RTP packets out, in one plain call per frame.

Pacing is the process ticker's. RTP time follows the wall clock between talk spurts and counts samples within
one, as RFC 3551 (4.1) has it, so that a browser's jitter buffer sees neither our silences nor our clock.
"""

import secrets
from collections.abc import Callable

from agent.audio.formats import FRAME_MS, PCMA_8K, PCMU_8K, AudioFormat, linear
from transports.webrtc.codecs import Codec, CodecName
from transports.webrtc.frames import StoredSpeech
from transports.webrtc.opus import DTX_BYTES, SILENCE
from transports.webrtc.reports import Network, Sent
from transports.webrtc.rtp import RtpPacket, build_rtp

SPOKEN_HZ = 24_000
"""What Opus is encoded from: the rate of nearly all speech synthesis, with all of its bandwidth."""
SPURT_GAP_MS = 60.0
"""A pause in what we send that is longer than this is silence between two spurts, not a late frame."""
COMFORT_MS = 400.0
"""Between two packets of silence: keeps NAT bindings and the browser's audio path alive (RFC 7587, 3.1.3)."""

Transmit = Callable[[bytes], bool]
"""Encrypts and sends one packet; False where there is no connection (any more)."""


class Sender:
    """One call's outgoing stream."""

    def __init__(
        self, codec: Codec, network: Network, speech: StoredSpeech | None, transmit: Transmit, now_ms: float
    ) -> None:
        """`speech` encodes Opus; None for G.711, whose frames are sent as they are."""
        self.ssrc = secrets.randbits(32)
        self.format = spoken_format(codec)
        self._codec = codec
        self._network = network
        self._speech = speech
        self._transmit = transmit
        self._silence = SILENCE if speech else self.format.silence(self.format.frame_bytes)
        # RFC 3550, 5.1: both begin at random values.
        self._sequence = secrets.randbits(16)
        self._offset = secrets.randbits(32)
        self._step = int(FRAME_MS * codec.clock_khz)
        self._timestamp = 0
        self._began_ms = now_ms
        self.ends_ms = now_ms
        """When the stream has run out of what was sent."""
        self._sent_ms = now_ms - COMFORT_MS
        self._in_spurt = False
        self._octets = 0

    def frame(self, audio: bytes, now_ms: float) -> None:
        """20 ms in `format`. Sent now."""
        gap_ms = now_ms - self.ends_ms
        marker = not self._in_spurt or gap_ms > SPURT_GAP_MS
        if marker:
            self._begin_spurt(now_ms)
        packet = self._speech.encode(audio) if self._speech is not None else audio
        if self._speech is None or len(packet) > DTX_BYTES or marker:
            self._send(packet, now_ms, marker=marker)
        else:
            # DTX: the encoder says that there is nothing to hear; time goes on all the same.
            self._timestamp += self._step
        self.ends_ms = max(self.ends_ms, now_ms - SPURT_GAP_MS) + FRAME_MS

    def tick(self, now_ms: float) -> None:
        """Now and then: silence, while nothing else is sent."""
        if now_ms - self._sent_ms >= COMFORT_MS and now_ms > self.ends_ms:
            self._in_spurt = False
            self._timestamp = self._at(now_ms)
            self._send(self._silence, now_ms, marker=False)
            self.ends_ms = now_ms + FRAME_MS

    def stop(self) -> None:
        """The agent was cut: what comes next is a new spurt."""
        self._in_spurt = False

    def sent(self, now_ms: float) -> Sent:
        """For a sender report."""
        return Sent(self.ssrc, self._at(now_ms) + self._offset, self._network.sent, self._octets)

    def _begin_spurt(self, now_ms: float) -> None:
        self._in_spurt = True
        # Never backwards: a spurt may begin before the last one's frames have run out.
        self._timestamp = max(self._at(now_ms), self._timestamp)
        self.ends_ms = now_ms
        if self._speech is not None:
            self._speech.begin()

    def _at(self, now_ms: float) -> int:
        """RTP time of a moment, without the random offset."""
        return int((now_ms - self._began_ms) * self._codec.clock_khz)

    def _send(self, payload: bytes, now_ms: float, *, marker: bool) -> None:
        packet = RtpPacket(
            self._codec.payload_type,
            self._sequence,
            (self._timestamp + self._offset) & 0xFFFFFFFF,
            self.ssrc,
            payload,
        )
        self._timestamp += self._step
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._sent_ms = now_ms
        if self._transmit(build_rtp(packet, marker=marker)):
            self._network.sent += 1
            self._octets += len(payload)


def spoken_format(codec: Codec) -> AudioFormat:
    """What a call speaks in over this codec."""
    match codec.name:
        case CodecName.OPUS:
            return linear(SPOKEN_HZ)
        case CodecName.PCMU:
            return PCMU_8K
        case CodecName.PCMA:
            return PCMA_8K
