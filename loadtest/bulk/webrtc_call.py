"""One bulk caller in a browser: the media caller's script over RTP packets, without socket or clock.

There is no `clear` and no mark here: that the agent was stopped shows in its silence, and what was heard is
what came. Keys go over the data channel.
"""

import math
from collections.abc import Callable

from agent.audio.formats import FRAME_MS
from agent.errors import WireError
from loadtest.bulk.dialect import Stream
from loadtest.bulk.figures import Figures
from loadtest.bulk.media_call import DONE_MS, MediaCall
from loadtest.bulk.playback import PLAYOUT_MS
from loadtest.bulk.script import Script
from loadtest.bulk.speech import CallerSpeech
from loadtest.bulk.webrtc_codec import OPUS, BrowserCodec
from transports.webrtc.rtp import RtpPacket

_COUGH_STOPS_MS = 500.0
"""Shorter than where a `clear` tells: a reply that was over anyway must not be taken for a stopped one."""
_MAX_PAUSE_FRAMES = 25
"""Of a pause within the first word that is kept for the comparison: `first_word.PROBE_MS`."""


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
        self,
        call_id: str,
        speech: CallerSpeech,
        script: Script,
        figures: Figures,
        seed: int,
        codec: BrowserCodec = OPUS,
        press: Callable[[str], None] | None = None,
    ) -> None:
        """`speech` of `codec`; `press(digit)` sends a key."""
        stream = _Packets(call_id, (), b"", b"", lambda _sequence, _digit: b"", b"")
        super().__init__(stream, speech, script, figures, seed)
        self.codec_delay_ms = codec.delay_ms
        self._codec = codec
        self._decode = codec.decoder()
        self._send_key = press
        self._next_timestamp: int | None = None

    def tick(self, now_ms: float) -> bytes:
        """20 ms passed: the packet to send."""
        until_ms = self._playback.until_ms
        if now_ms - until_ms > DONE_MS:
            if self._clear_wanted_ms is not None:
                self.figures.barge_in_ms.append(max(until_ms - self._clear_wanted_ms, 0.0))
                self._clear_wanted_ms = None
                self._cleared = True
                # What was stopped is not a whole beginning.
                self._beginning = None
            elif self._cough_stopped_at(until_ms):
                self.figures.cough_stops += 1
                self._cough_ended_ms = self._coughed_ms + self._cough_lasts_ms
                self._coughed_ms = -math.inf
                self._beginning = None
        return super().tick(now_ms)

    def packet(self, packet: RtpPacket, now_ms: float, *, begins: bool = False) -> None:
        """Audio from the server, now. `begins`: its marker says that a spurt begins (RFC 3551, 4.1)."""
        expected, self._next_timestamp = (
            self._next_timestamp,
            packet.timestamp + self._codec.step & 0xFFFFFFFF,
        )
        if packet.timestamp != expected:
            # A new spurt, or a packet lost: the way from one to the other says nothing about pacing.
            self._playback.pause()
        try:
            # Silence too: the decoder goes on from what it had last.
            audio = self._decode(packet.payload)
        except WireError:
            self.figures.bad_messages += 1
            return
        if self._codec.is_silent(packet.payload):
            self._playback.pause()
            return
        if self._beginning and expected is not None and not begins:
            self._beginning += self._skipped(packet.timestamp - expected & 0xFFFFFFFF)
        self._media(audio, now_ms)

    def _skipped(self, units: int) -> bytes:
        """Within a spurt time goes on where nothing is to be heard, or where packets were lost: silence."""
        audio = self._codec.heard
        return audio.silence(audio.frame_bytes * min(units // self._codec.step, _MAX_PAUSE_FRAMES))

    def _press(self, now_ms: float) -> bytes:
        if self._send_key is not None:
            for digit in self._script.keys:
                self._send_key(digit)
        return super()._press(now_ms)

    @property
    def _cough_lasts_ms(self) -> float:
        return float(len(self._speech.cough.frames) * FRAME_MS) if self._speech.cough is not None else 0.0

    def _cough_stopped_at(self, until_ms: float) -> bool:
        """True if the agent fell silent at `until_ms`, so soon after a cough that it must have been that."""
        return self._coughed_ms <= until_ms < self._coughed_ms + _COUGH_STOPS_MS
