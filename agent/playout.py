"""The agent's audio on its way to one caller: what waits, and when it is sent.

Sending runs ahead of real time by the line's lead and no further, so that a barge-in has little to throw
away. The first audio of a reply goes out in the call that brings it; after that the process-wide ticker
asks every 20 ms whether the far end needs more. Whole 20 ms frames only: a short tail is filled with
silence at the very end of a reply, nowhere else.

Every write carries its reply's generation; what belongs to an older one is dropped here, at the last step
before the socket.
"""

from collections.abc import Callable
from typing import Protocol

from agent.audio.codec import make_encoder
from agent.audio.convert import make_converter
from agent.audio.formats import FRAME_MS, AudioFormat, Encoding, linear
from agent.audio.tape import Tape
from agent.flush import FlushProbe
from agent.latency import CallCounters
from agent.ledger import AudioLedger, Heard
from agent.lines import MediaLine
from agent.providers import WordTime
from agent.ticker import Tick

MESSAGE_MS = 100.0
"""Audio per message once a reply is under way: a fifth of the messages that single frames would need, and
half of the usual lead, so that one late beat does not run the far end dry."""
MAX_MESSAGE_MS = 200.0
"""Longest audio in one message (`MediaLine.send`)."""
MARK_PATIENCE_MS = 400.0
"""How long after its estimated end a reply's last mark is waited for: a round trip to a platform on another
continent and its jitter buffer. Hanging up earlier would cut the last syllable of the goodbye."""
CATCH_UP_MS = 60.0
"""Most that a line without lead makes up for after a beat that came late: as much as a receiver's jitter
buffer usually holds, and a WebRTC sender takes for one talk spurt. After a longer stall the caller has heard
a gap, and the reply goes on from where it was."""
RTP_SLACK_MS = 20.0
"""A line without lead is fed by the beat, which is never quite even; receivers buffer a frame at least."""
KEEP_BEHIND_MS = 2_000.0
"""Audio kept after it was sent, to resume from: more than any lead plus the longest word."""


class Beat(Protocol):
    """What calls back every 20 ms: `agent.ticker.Ticker`, or a call's own way to it."""

    def add(self, tick: Tick) -> None:
        """Call `tick` from now on. Adding twice does no harm."""

    def remove(self, tick: Tick) -> None:
        """Stop calling `tick`. Unknown ones are ignored."""


class Playout:
    """One call's outgoing audio. Synchronous; time comes in as an argument."""

    def __init__(
        self,
        line: MediaLine,
        ticker: Beat,
        counters: CallCounters,
        on_sent: Callable[[bytes, float], None],
        on_drained: Callable[[], None],
    ) -> None:
        """`on_sent(audio, plays_at_ms)`: outbound audio handed to the line and when it will begin to be
        heard. `on_drained()`: the reply was finished and has been heard to its end.
        """
        self.ledger = AudioLedger()
        self.flush = FlushProbe()
        self.generation = 0
        self._line = line
        self._ticker = ticker
        self._counters = counters
        self._on_sent = on_sent
        self._on_drained = on_drained
        self._audio = Tape()  # positions in bytes from the utterance's first
        self._next = 0  # what is sent next
        self._finished = self._drained = True
        self._paused = False
        self._rested = False
        self._starved = False  # nothing was left to send: what comes next is not late by our fault
        self._marks = 0
        self._mark_at: list[int] = []  # sentence ends that wait for their mark

    # --- the reply's side --------------------------------------------------------------------------

    def begin(self, generation: int) -> None:
        """A new reply. Audio of any earlier one is dropped from here on."""
        self.generation = generation
        self._audio = Tape()
        self._next = 0
        self._finished = self._paused = self._rested = self._drained = False
        self._mark_at.clear()
        self.ledger.begin()

    def text(self, generation: int, text: str) -> None:
        """What the next audio says."""
        if generation == self.generation:
            self.ledger.text(text, self._format.duration_ms(self._audio.end))

    def write(self, generation: int, audio: bytes, now_ms: float, words: tuple[WordTime, ...] = ()) -> None:
        """Audio in the line's outbound format. Sent at once as far as the lead allows."""
        if generation != self.generation or self._finished:
            self._counters.stale_chunks += 1
            return
        self._audio.append(audio)
        self.ledger.audio(self._format.duration_ms(len(audio)), words)
        self._pump(now_ms)
        if not self._paused:
            self._ticker.add(self.tick)

    def sentence_ended(self, generation: int) -> None:
        """The sentence's audio is complete: a mark behind it will tell when it was heard."""
        if generation == self.generation:
            self.ledger.text_ended()
            self._mark_at.append(self._audio.end)
            self._send_marks()

    def rest(self) -> None:
        """The silence before the next audio is meant to be: it is no underrun."""
        self._rested = True

    def finish(self, generation: int, now_ms: float) -> None:
        """The reply has no more audio. `on_drained` follows when it has been heard."""
        if generation != self.generation or self._finished:
            return
        self._pad()
        self._finished = True
        self._mark_at.append(self._audio.end)
        self._pump(now_ms)
        self._send_marks()
        if not self._paused:
            self._ticker.add(self.tick)

    # --- the turn's side ---------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """A reply is being played, or could go on."""
        return not self._drained

    @property
    def waiting(self) -> bool:
        """There is audio that was not handed to the line yet."""
        return self._next < self._audio.end

    @property
    def paused(self) -> bool:
        """Silent, with something that could go on."""
        return self._paused

    def ahead_ms(self, now_ms: float) -> float:
        """Audio that the caller has not heard yet, here and at the far end."""
        waiting_ms = self._format.duration_ms(self._audio.end - self._next)
        return waiting_ms + max(self.ledger.far_ms(now_ms), 0.0)

    def pause(self, now_ms: float) -> None:
        """Silence now: nothing more is sent and the far buffer is cleared. What was not heard is kept."""
        if self._paused:
            return
        self._paused = True
        self._ticker.remove(self.tick)
        self._clear(now_ms)
        self.ledger.stopped(now_ms)

    def resume(self, now_ms: float) -> None:
        """Go on from the beginning of the word that was cut."""
        if not self._paused:
            return
        self._paused = False
        self._rested = True  # the silence was ours: no underrun
        position_ms = self.ledger.resume_position_ms()
        frame = self._format.frame_bytes
        wanted = int(position_ms / FRAME_MS) * frame
        self._next = max(wanted, self._audio.start)
        self.ledger.resumed(self._format.duration_ms(self._next))
        if self._finished and not self._mark_at:
            self._mark_at.append(self._audio.end)
        self._pump(now_ms)
        self._ticker.add(self.tick)

    def cancel(self, now_ms: float) -> Heard:
        """Drop the reply, here and at the far end. Returns what was heard of it."""
        if not self._paused and (self.ledger.far_ms(now_ms) > 0 or not self._finished):
            self._clear(now_ms)
        if not self._paused:
            self.ledger.stopped(now_ms)
        heard = self.ledger.heard(now_ms)
        self._ticker.remove(self.tick)
        self.generation += 1
        self._finished = self._drained = True
        self._paused = False
        self._audio = Tape()
        self._next = 0
        return heard

    def replace_line(self, line: MediaLine, now_ms: float) -> None:
        """The socket was replaced: what the old one had buffered was lost; go on where it was heard."""
        was_paused = self._paused
        if not was_paused:
            self._paused = True
            self.ledger.stopped(now_ms)
        if line.outbound != self._format:
            self._recode(line.outbound)
        self._line = line
        if not was_paused:
            self.resume(now_ms)

    def mute_ms(self, now_ms: float) -> float | None:
        """For how long the far end has had nothing to play although there is something to send or to end.

        None while paused or drained, or while the next audio is still being made: that wait has other bounds.
        """
        waits = self._audio.end - self._next >= self._format.frame_bytes
        if self._paused or self._drained or not (waits or self._finished):
            return None
        return max(-self.ledger.far_ms(now_ms), 0.0)

    def nudge(self, now_ms: float) -> None:
        """Send what is due now, and have the ticker again."""
        if not self._paused and not self._drained:
            self._pump(now_ms)
            self._ticker.add(self.tick)

    def close(self) -> None:
        """Leave the ticker for good: what a reply that cannot be stopped still writes is stale."""
        self.generation += 1
        self._ticker.remove(self.tick)

    # --- the clock's side --------------------------------------------------------------------------

    def tick(self, now_ms: float) -> None:
        """Send what is due; called every 20 ms while there is something to send or to wait for."""
        if self._next < self._audio.end:
            self._pump(now_ms)
        elif self._finished and self.ledger.played_out(now_ms, MARK_PATIENCE_MS):
            self._ticker.remove(self.tick)
            self._drained = True
            self._audio.forget(self._audio.end)
            self._on_drained()

    def _clear(self, now_ms: float) -> None:
        self._line.clear()
        # Without lead there is no far buffer: nothing is flushed, and its marks are our own clock's.
        if self._line.lead_ms:
            self._line.mark(self.flush.cleared(now_ms))

    @property
    def _format(self) -> AudioFormat:
        return self._line.outbound

    def _pump(self, now_ms: float) -> None:
        frame = self._format.frame_bytes
        if self._paused or self._audio.end - self._next < frame:
            return
        far_ms = self.ledger.far_ms(now_ms)
        started = self._next > 0
        slack_ms = 0.0 if self._line.lead_ms else RTP_SLACK_MS
        if started and far_ms < -slack_ms and not self._rested:
            self._counters.underruns += 1
            self._counters.gap_ms -= far_ms
        # A line without lead gets one frame per beat, due up to half a frame early, and what is overdue.
        late_ms = self._late_ms(far_ms) if started else 0.0
        lead_ms = max(self._line.lead_ms, FRAME_MS * 1.5 + late_ms // FRAME_MS * FRAME_MS)
        # Under way, wait until a whole message fits, unless the far end would run dry before the next beat.
        if started and far_ms > lead_ms - min(MESSAGE_MS, lead_ms / 2):
            return
        room_ms = lead_ms - max(far_ms, 0.0)
        while room_ms >= FRAME_MS and self._audio.end - self._next >= frame:
            available = (self._audio.end - self._next) // frame
            frames = min(available, int(min(room_ms, MAX_MESSAGE_MS) // FRAME_MS))
            self._send(frames, frame, now_ms, now_ms - late_ms)
            room_ms -= frames * FRAME_MS

    def _late_ms(self, far_ms: float) -> float:
        """By how much the next frame is late, if that is to be made up for: its time counts, not this beat's.

        A late beat would otherwise delay all that follows, and the next one the more.
        """
        caught_up = self._line.lead_ms or self._rested or self._starved or -far_ms > CATCH_UP_MS
        return 0.0 if caught_up else max(-far_ms, 0.0)

    def _send(self, frames: int, frame: int, now_ms: float, due_ms: float) -> None:
        audio = self._audio.read(self._next, frames * frame)
        self._next += len(audio)
        self._rested = False
        self._starved = self._audio.end - self._next < frame
        plays_at_ms = now_ms + max(self.ledger.far_ms(now_ms), 0.0)
        self._line.send(audio)
        self.ledger.sent(frames * FRAME_MS, due_ms)
        self._counters.frames_out += frames
        self._on_sent(audio, plays_at_ms)
        self._send_marks()
        self._audio.forget(self._next - int(KEEP_BEHIND_MS / FRAME_MS) * frame)

    def _pad(self) -> None:
        frame = self._format.frame_bytes
        short = -self._audio.end % frame
        if not short:
            return
        if self._format.encoding is Encoding.G722:
            # G.722 has no silence byte: the end of its own encoding of silence is close enough for 20 ms.
            silence = make_encoder(self._format).encode(linear(16000).silence(1280))
            self._audio.append(silence[-short:])
        else:
            self._audio.append(self._format.silence(short))

    def _recode(self, target: AudioFormat) -> None:
        """Put what is kept into another line's format; positions in whole frames stay what they are."""
        before, after = self._format.frame_bytes, target.frame_bytes
        converter = make_converter(self._format, target)
        kept = self._audio
        audio = converter.convert(kept.read(kept.start, len(kept))) + converter.flush()
        if self._finished:
            # To the frame: resampling may have made it some samples longer or shorter.
            audio = audio[: len(audio) // after * after]
        self._audio = Tape(kept.start // before * after)
        self._audio.append(audio)
        self._next = self._next // before * after
        self._mark_at = [-(-position // before) * after for position in self._mark_at]
        if self._finished:
            self._mark_at = [min(position, self._audio.end) for position in self._mark_at]

    def _send_marks(self) -> None:
        """One mark behind each sentence whose audio has gone out; none while paused."""
        passed = False
        while self._mark_at and self._mark_at[0] <= self._next:
            del self._mark_at[0]
            passed = True
        if passed and not self._paused:
            self._marks += 1
            name = f"{self.generation}.{self._marks}"
            self.ledger.marked(name)
            self._line.mark(name)
