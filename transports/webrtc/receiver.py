"""What a browser says: RTP packets in, frames of audio out, all in one plain call per packet.

aiortc's own receiver puts each packet through a decoder thread and two queues. Here the socket's callback
decrypts, orders, decodes and hands over to the call.
"""

from collections.abc import Callable

from agent.audio.formats import FRAME_MS, PCMA_8K, PCMU_8K, AudioFormat, linear
from agent.errors import WireError
from agent.latency import AudioClock
from transports.webrtc.codecs import Codec, CodecName
from transports.webrtc.jitter import Arrived, JitterBuffer, Missing
from transports.webrtc.opus import DTX_BYTES, OpusDecoder
from transports.webrtc.reports import Network, Reception
from transports.webrtc.rtp import parse_rtp

HEARD_HZ = 16_000
"""What Opus is decoded to: recognition and voice activity use no more, and libopus needs no resampler."""
MAX_FILL_MS = 400.0
"""Longest stretch that is filled in at once: the interval of DTX updates (RFC 7587, 3.1.3)."""
IDLE_SLACK_MS = 30.0
"""Added to the longest wait before silence is made up for a stream that just stopped: a late beat of theirs
and one of ours."""
PAUSE_SLACK_MS = 5.0
"""The same once a pause was announced (DTX) or has lasted: there is nothing left to wait for."""
PAUSE_FRAMES = 3
"""Made-up frames after which a stream that stopped without a word is taken to pause."""
_WRAP = 2**32

Hear = Callable[[bytes, float], None]


class Receiver:
    """One browser's stream. `hear(payload, timestamp_ms)` gets audio in `heard_format`, whole frames."""

    def __init__(self, codec: Codec, network: Network, hear: Hear) -> None:
        self._codec = codec
        self._network = network
        self._hear = hear
        self._opus = OpusDecoder(HEARD_HZ) if codec.name is CodecName.OPUS else None
        self.format = heard_format(codec)
        self.buffer = JitterBuffer()
        self.reception: Reception | None = None
        self._time_ms = 0.0
        """Stream time of the next frame: a count of what was handed over."""
        self._next_timestamp: int | None = None
        self._due_ms = 0.0
        """When audio is due next if nothing is late: a frame after the last packet came."""
        self._anchor_ms: float | None = None
        """Our time less stream time, of the packet with the least delay; None before the first one."""
        self._anchored_ms = 0.0
        self._dtx = False
        self._made_up = 0
        """Frames filled in since the last packet."""

    def packet(self, data: bytes, now_ms: float) -> None:
        """A decrypted RTP packet. Raises `WireError`."""
        packet = parse_rtp(data)
        if packet.payload_type != self._codec.payload_type:
            raise WireError("payload_type", f"{packet.payload_type} was not agreed on")
        reception = self.reception
        if reception is None or reception.ssrc != packet.ssrc:
            # The browser restarted its sender (another microphone, in some of them).
            self.buffer = JitterBuffer()
            self._next_timestamp = None
            reception = self.reception = Reception(packet.ssrc, self._codec.clock_khz)
        reception.arrived(packet.sequence, packet.timestamp, now_ms)
        self._network.received += 1
        if packet.payload:
            self.buffer.adapt(reception.jitter_ms)
            self._play(self.buffer.push(packet.sequence, packet.timestamp, packet.payload, now_ms), now_ms)

    def tick(self, now_ms: float) -> None:
        """Every 20 ms: give up on packets that are overdue, and fill in where the browser sends nothing.

        A turn ends by the silence after it, so silence has to be heard even while none is sent.
        """
        if self.buffer.waiting:
            self._play(self.buffer.poll(now_ms), now_ms)
        if self._anchor_ms is None:
            return
        if self._dtx or self._made_up >= PAUSE_FRAMES:
            # On the schedule of the quickest packet: the last one may have been late.
            due_ms, patience_ms = self._anchor_ms + self._time_ms, PAUSE_SLACK_MS
        else:
            due_ms, patience_ms = self._due_ms, self.buffer.wait_ms + IDLE_SLACK_MS
        owed_ms = now_ms - due_ms - patience_ms
        skipped_ms = owed_ms - (MAX_FILL_MS - FRAME_MS)
        if skipped_ms > 0:
            # We were held up ourselves: that time is skipped, not filled.
            self._time_ms += skipped_ms
            self._due_ms += skipped_ms
            owed_ms -= skipped_ms
        while owed_ms >= 0:
            self._network.filled += 1
            self._made_up += 1
            self._give(self._fill(None))
            owed_ms -= FRAME_MS

    def _play(self, items: list[Arrived | Missing], now_ms: float) -> None:
        for item in items:
            if isinstance(item, Arrived):
                self._arrived(item, now_ms)
            else:
                self._missing(item)

    def _arrived(self, item: Arrived, now_ms: float) -> None:
        self._close_gap(item.timestamp, now_ms)
        try:
            audio = self._decode(item.payload)
        except WireError:
            self._network.undecodable += 1
            audio = self._fill(None)
        self._dtx = self._opus is not None and len(item.payload) <= DTX_BYTES
        duration_ms = self.format.duration_ms(len(audio))
        self._next_timestamp = int(item.timestamp + duration_ms * self._codec.clock_khz) % _WRAP
        self._due_ms = now_ms
        self._anchor(now_ms)
        self._made_up = 0
        self._give(audio)

    def _anchor(self, now_ms: float) -> None:
        """A packet came for the stream time that is next: it may be the quickest so far."""
        anchor_ms = now_ms - self._time_ms
        if self._anchor_ms is not None:
            drift_ms = (now_ms - self._anchored_ms) * AudioClock.DRIFT_PER_MS
            anchor_ms = min(anchor_ms, self._anchor_ms + drift_ms)
        self._anchor_ms, self._anchored_ms = anchor_ms, now_ms

    def _missing(self, item: Missing) -> None:
        if self._next_timestamp is not None:
            self._next_timestamp = int(self._next_timestamp + FRAME_MS * self._codec.clock_khz) % _WRAP
        if self._made_up:
            # The tick has covered for it while nothing came at all.
            self._made_up -= 1
            return
        if item.following is not None and self._opus is not None:
            self._network.repaired += 1
        else:
            self._network.concealed += 1
        self._give(self._fill(item.following))

    def _close_gap(self, timestamp: int, now_ms: float) -> None:
        """The sender's clock went on without packets (DTX): so did ours, but for what the tick left open."""
        if self._next_timestamp is None:
            return
        gap = (timestamp - self._next_timestamp + 2**31) % _WRAP - 2**31
        gap_ms = gap / self._codec.clock_khz
        open_ms = min(gap_ms, now_ms - self._due_ms, MAX_FILL_MS)
        while open_ms >= FRAME_MS / 2:
            self._network.filled += 1
            self._give(self._fill(None))
            open_ms -= FRAME_MS

    def _decode(self, payload: bytes) -> bytes:
        if self._opus is not None:
            return self._opus.decode(payload)
        return payload

    def _fill(self, following: bytes | None) -> bytes:
        """20 ms in place of what did not come."""
        if self._opus is not None:
            return self._opus.conceal(FRAME_MS, following)
        # G.711 Appendix I repeats pitch periods; a pause is as good for recognition, and cannot buzz.
        return self.format.silence(self.format.frame_bytes)

    def _give(self, audio: bytes) -> None:
        at_ms = self._time_ms
        duration_ms = self.format.duration_ms(len(audio))
        self._time_ms += duration_ms
        self._due_ms += duration_ms
        self._hear(audio, at_ms)


def heard_format(codec: Codec) -> AudioFormat:
    """What a call hears over this codec."""
    match codec.name:
        case CodecName.OPUS:
            return linear(HEARD_HZ)
        case CodecName.PCMU:
            return PCMU_8K
        case CodecName.PCMA:
            return PCMA_8K
