"""How a media line's caller is heard: frames in, events of the conversation out.

`hear` is the frame path: decode, voice activity, the turn's silence, recognition, all plain calls. Coroutines
begin where a turn ends (`collect`).
"""

from typing import Protocol

from agent.agentfile.schema import Turns
from agent.audio.codec import make_decoder
from agent.audio.formats import FRAME_MS, linear
from agent.audio.tail import SpeechTail
from agent.audio.vad import SpeechChange, SpeechGate, VoiceDetector
from agent.chains import STTChain
from agent.clock import Clock
from agent.latency import AudioClock, CallCounters
from agent.lines import MediaLine
from agent.providers import Transcript
from agent.recognition import Recognition
from agent.scope import CallScope
from agent.turns.backchannel import is_backchannel
from agent.turns.echo import EchoGuard, is_echo_text
from agent.turns.endpointing import Endpointer
from agent.turns.expectation import Expect, Expectation
from agent.turns.machine import State

LATE_MS = 40.0
"""A frame read this long after it reached the machine counts as late: two frames."""
ECHO_AGAIN_MS = 100.0
"""After our own echo was recognised: how soon to ask again, in case the caller speaks over it."""
ECHO_HOLD_MS = 60.0
"""How long an undecided echo may hold a barge-in."""
CLOCK_SLACK_MS = FRAME_MS / 2
"""Silences are whole frames, told by a clock that is estimated: a hair short of one is meant to be one."""
PAUSE_MS = 140.0
"""Silence in a turn after which recognition may be asked for its last word: longer than the closure before a
stop consonant (80 to 100 ms), and half of the shortest silence that ends a turn, so that a service's 250 ms
run beside it."""
NO_WORDS_CONFIDENCE = 0.3
"""Words that a recogniser itself hardly believes do not interrupt."""


class EarsListener(Protocol):
    """What the ears tell their call, and what they ask of it."""

    @property
    def state(self) -> State:
        """Whose turn it is."""

    @property
    def language(self) -> str:
        """What is spoken."""

    @property
    def expectation(self) -> Expectation:
        """What the agent asked for."""

    def recently_said(self) -> str:
        """What the agent said last, for telling its echo from the caller."""

    def voice(self) -> None:
        """The caller began to make a sound."""

    def partial(self, text: str) -> None:
        """Words of the turn so far."""

    def barge(self, onset_ms: float) -> None:
        """The caller has made a sound for long enough to stop the agent; it began at `onset_ms`."""

    def words(self) -> None:
        """Words were understood that are not the agent's own and not a backchannel."""

    def quiet(self) -> None:
        """The sound that stopped the agent was no words."""

    def endpoint(self, last_voiced_ms: float) -> None:
        """The caller's turn is over; its last sound (`agent.audio.tail`) came in at `last_voiced_ms`."""


class Ears:
    """One call's hearing on a media line."""

    def __init__(
        self,
        line: MediaLine,
        stt: STTChain,
        turns: Turns,
        endpointer: Endpointer,
        echo: EchoGuard | None,
        scope: CallScope,
        counters: CallCounters,
        listener: EarsListener,
    ) -> None:
        self._turns = turns
        self._endpointer = endpointer
        self._echo = echo
        self._clock: Clock = scope.clock
        self._counters = counters
        self._scope = scope
        self._call = listener
        self._final_ms = float(stt.limits.stt_final_ms)
        self.recognition = Recognition(stt, self._clock, counters, scope, self._words)
        self._wait_ms = float(turns.silence_ms)
        self._deciding = False
        self._deaf = False
        self._voiced = False
        self._listen_to(line)

    def _listen_to(self, line: MediaLine) -> None:
        self._decoder = make_decoder(line.inbound)
        self._frame_bytes = linear(line.inbound.rate_hz).frame_bytes
        self._rest = b""
        self._vad = VoiceDetector(line.inbound.rate_hz)
        self._gate = SpeechGate()
        self._tail = SpeechTail()
        self._audio_clock = AudioClock()
        self._last_voiced_ms = self.began_ms = self._clock.now_ms()
        self._ask_echo_ms = 0.0
        self._unsure_since_ms: float | None = None
        self._pausing = False
        self.recognition.listen_to(line.inbound)

    def replace_line(self, line: MediaLine) -> None:
        """The same call over another socket, perhaps in another format."""
        self._listen_to(line)
        self.recognition.reopen(after=None)

    @property
    def jitter_ms(self) -> float:
        """How unevenly the caller's audio arrives. See `AudioClock`."""
        return self._audio_clock.jitter_ms

    # --- the frame path ----------------------------------------------------------------------------

    def hear(self, payload: bytes, timestamp_ms: float) -> None:
        """Audio from the caller. See `agent.lines.MediaCall.hear`."""
        now_ms = self._clock.now_ms()
        at_ms = self._audio_clock.arrived(timestamp_ms, now_ms)
        self._counters.frames_in += 1
        if now_ms - at_ms > LATE_MS:
            self._counters.frames_late += 1
        pcm = self._decoder.decode(payload)
        self.recognition.feed(payload, pcm, self._voiced)
        if len(pcm) == self._frame_bytes and not self._rest:
            self._frame(pcm, at_ms)
            return
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % self._frame_bytes
        for start in range(0, whole, self._frame_bytes):
            behind_ms = (whole - start) // self._frame_bytes * FRAME_MS - FRAME_MS
            self._frame(pcm[start : start + self._frame_bytes], at_ms - behind_ms)
        self._rest = pcm[whole:]

    def _frame(self, pcm: bytes, at_ms: float) -> None:
        voiced = self._vad.is_voiced(pcm)
        change = self._gate.update(voiced)
        self._tail.add(self._vad.rms, voiced)
        if voiced:
            self._last_voiced_ms = at_ms
            if self._pausing:
                self._pausing = False
                self.recognition.resumed()
        if change is SpeechChange.STARTED:
            self.began_ms = at_ms - self._gate.onset_frames * FRAME_MS
            self._voiced = True
        elif change is SpeechChange.STOPPED:
            self._deaf = False
        state = self._call.state
        if state is State.HEARING:
            if not voiced:
                self._silence(at_ms)
        elif state is State.YIELDED:
            if (
                not voiced
                and not self._deciding
                and self._silent_for(self._turns.false_interruption_ms, at_ms)
            ):
                self._decide()
        else:
            if self._echo is not None:
                self._echo.heard(pcm, at_ms)
            if voiced and not self._deaf and at_ms >= self._ask_echo_ms:
                self._heard_voice(state, at_ms)

    def _silence(self, at_ms: float) -> None:
        """A silent frame in the caller's turn: a pause, or the end."""
        if self._silent_for(self._wait_ms, at_ms):
            self._call.endpoint(self._last_voiced_ms + self._tail.release_ms())
        elif not self._pausing and self._silent_for(PAUSE_MS, at_ms):
            self._pausing = True
            self.recognition.paused()

    def _silent_for(self, duration_ms: float, at_ms: float) -> bool:
        return at_ms - self._last_voiced_ms > duration_ms - CLOCK_SLACK_MS

    def _heard_voice(self, state: State, at_ms: float) -> None:
        """Voice while it is not the caller's turn: does it begin one?"""
        if state is State.IDLE:
            # Also where it began while the agent was still heard: callers do not wait for the last syllable.
            if self._gate.speaking and not self._is_ours(at_ms):
                self._begin_turn()
                self._call.voice()
        elif (
            self._turns.barge_in
            and self._gate.voiced_ms >= self._turns.barge_in_ms
            # Also before a reply sounds: the echo of what was cut for it may still come.
            and not self._is_ours(at_ms)
        ):
            if state is State.SPEAKING:
                self._begin_turn()
            self._call.barge(at_ms - self._gate.onset_frames * FRAME_MS)

    def _is_ours(self, at_ms: float) -> bool:
        """True if the voice is the agent's own coming back, or might be: then it is heard a little longer."""
        if self._echo is None:
            return False
        echo = self._echo.is_echo(at_ms)
        if echo is None:
            if self._unsure_since_ms is None:
                self._unsure_since_ms = at_ms
            if at_ms - self._unsure_since_ms < ECHO_HOLD_MS:
                return True
        elif echo:
            self._counters.echoes += 1
            self._ask_echo_ms = at_ms + ECHO_AGAIN_MS
            self._unsure_since_ms = None
            return True
        self._unsure_since_ms = None
        return False

    def _begin_turn(self) -> None:
        """Words from before this voice (echo, backchannels) are no part of the turn that begins with it."""
        self._wait_ms = float(self._turns.silence_ms)
        if self.recognition.words_ms < self.began_ms:
            self.recognition.text.clear()

    def ignore_voice(self) -> None:
        """This sound has lasted too long to be a caller's turn (hold music): deaf until it pauses."""
        self._deaf = self._gate.speaking

    # --- words -------------------------------------------------------------------------------------

    def _words(self, transcript: Transcript) -> None:
        text = self.recognition.text
        self._wait_ms = self._endpointer.wait_ms(text.text, self._call.expectation)
        state = self._call.state
        if state is State.HEARING:
            self._call.partial(text.text)
        if state is State.YIELDED:
            if self._interrupts():
                self._stop_deciding()
                self._call.words()
        elif state is State.IDLE and not self._deaf:
            # Speech that was too soft for voice detection, or that recognition was late with.
            if self._interrupts():
                self._last_voiced_ms = self._clock.now_ms()
                # This is not the moment of a sound: nothing is to be added to it.
                self._tail = SpeechTail()
                self._voiced = True
                self._call.words()
            elif transcript.final:
                self.recognition.forget()

    def _interrupts(self) -> bool:
        text = self.recognition.text
        if not text.text:
            return False
        if text.confidence is not None and text.confidence < NO_WORDS_CONFIDENCE:
            return False
        expected = self._call.expectation.kind is Expect.YES_NO
        if not expected and is_backchannel(text.text, self._call.language):
            return False
        return not is_echo_text(text.text, self._call.recently_said())

    def _decide(self) -> None:
        """Silence after an interruption: ask recognition for its last word on it."""
        self._deciding = True
        self._scope.after("deciding", self._final_ms, self._decided)
        self.recognition.ask(self._decided)

    def _decided(self) -> None:
        if not self._deciding:
            return
        self._stop_deciding()
        if self._call.state is not State.YIELDED:
            return
        if self._interrupts():
            self._call.words()
        else:
            self.recognition.forget()
            self._voiced = False
            self._gate.reset()
            self._call.quiet()

    def _stop_deciding(self) -> None:
        self._deciding = False
        self._scope.cancel_timer("deciding")

    async def collect(self) -> str:
        """The words of the turn that has just ended. See `Recognition.collect`."""
        return await self.recognition.collect()

    def taken(self) -> None:
        """The collected words were made a turn."""
        self.recognition.taken()
        self._voiced = self._gate.speaking
        self._wait_ms = float(self._turns.silence_ms)
