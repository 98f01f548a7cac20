"""How a media line's caller is heard: frames in, events of the conversation out.

`hear` is the frame path: decode, voice activity, the turn's silence, recognition, all plain calls. Coroutines
begin where a turn ends (`collect`).
"""

import asyncio
import logging
from collections import deque
from typing import Protocol

from agent.agentfile.schema import Turns
from agent.audio.codec import make_decoder
from agent.audio.convert import Converter, make_converter
from agent.audio.formats import FRAME_MS, AudioFormat, linear
from agent.audio.vad import SpeechChange, SpeechGate, VoiceDetector
from agent.chains import OpenedSTT, STTChain
from agent.clock import Clock, Timer
from agent.errors import ProviderError
from agent.latency import AudioClock, CallCounters
from agent.lines import MediaLine
from agent.providers import Transcript
from agent.transcripts import TurnText
from agent.turns.backchannel import is_backchannel
from agent.turns.echo import EchoGuard, is_echo_text
from agent.turns.endpointing import Endpointer
from agent.turns.expectation import Expect, Expectation
from agent.turns.machine import State

logger = logging.getLogger(__name__)

LATE_MS = 40.0
"""A frame read this long after it reached the machine counts as late: two frames."""
BACKLOG_MS = 5_000
"""Caller's audio kept to replay into recognition that opens late or is replaced."""
ECHO_AGAIN_MS = 100.0
"""After our own echo was recognised: how soon to ask again, in case the caller speaks over it."""
ECHO_HOLD_MS = 60.0
"""How long an undecided echo may hold a barge-in."""
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

    def barge(self, onset_ms: float) -> None:
        """The caller has made a sound for long enough to stop the agent; it began at `onset_ms`."""

    def words(self) -> None:
        """Words were understood that are not the agent's own and not a backchannel."""

    def quiet(self) -> None:
        """The sound that stopped the agent was no words."""

    def endpoint(self, last_voiced_ms: float) -> None:
        """The caller's turn is over; its last voiced sample came in at `last_voiced_ms`."""


class Ears:
    """One call's hearing on a media line."""

    def __init__(
        self,
        line: MediaLine,
        stt: STTChain,
        turns: Turns,
        endpointer: Endpointer,
        echo: EchoGuard | None,
        clock: Clock,
        counters: CallCounters,
        listener: EarsListener,
    ) -> None:
        self._stt_chain = stt
        self._turns = turns
        self._endpointer = endpointer
        self._echo = echo
        self._clock = clock
        self._counters = counters
        self._call = listener
        self.text = TurnText()
        self.provider = ""
        """The recogniser in use."""
        self._languages: tuple[str, ...] = ()
        self._phrases: tuple[str, ...] = ()
        self._opened: OpenedSTT | None = None
        self._to_stt: Converter | None = None
        self._opening: asyncio.Task[None] | None = None
        self._flushed: asyncio.Future[None] | None = None
        self._deciding: Timer | None = None
        self._wait_ms = float(turns.silence_ms)
        self._listen_to(line)

    def _listen_to(self, line: MediaLine) -> None:
        self._format: AudioFormat = line.inbound
        self._decoder = make_decoder(line.inbound)
        self._frame_bytes = linear(line.inbound.rate_hz).frame_bytes
        self._rest = b""
        self._vad = VoiceDetector(line.inbound.rate_hz)
        self._gate = SpeechGate()
        self._audio_clock = AudioClock()
        self._backlog: deque[bytes] = deque(maxlen=BACKLOG_MS // FRAME_MS)
        self._last_voiced_ms = self.began_ms = self._clock.now_ms()
        self._ask_echo_ms = 0.0
        self._unsure_since_ms: float | None = None

    def replace_line(self, line: MediaLine) -> None:
        """The same call over another socket, perhaps in another format."""
        self._listen_to(line)
        self._reopen(after=None)

    # --- the frame path ----------------------------------------------------------------------------

    def hear(self, payload: bytes, timestamp_ms: float) -> None:
        """Audio from the caller. See `agent.lines.MediaCall.hear`."""
        now_ms = self._clock.now_ms()
        at_ms = self._audio_clock.arrived(timestamp_ms, now_ms)
        self._counters.frames_in += 1
        if now_ms - at_ms > LATE_MS:
            self._counters.frames_late += 1
        pcm = self._decoder.decode(payload)
        opened = self._opened
        if opened is None:
            self._backlog.append(payload)
        elif self._to_stt is not None:
            opened.stream.feed(self._to_stt.convert(payload))
        else:
            opened.stream.feed(pcm if opened.audio.is_linear else payload)
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
        if voiced:
            self._last_voiced_ms = at_ms
        if change is SpeechChange.STARTED:
            self.began_ms = at_ms - self._gate.onset_frames * FRAME_MS
        state = self._call.state
        if state is State.HEARING:
            if not voiced and at_ms - self._last_voiced_ms >= self._wait_ms:
                self._call.endpoint(self._last_voiced_ms)
        elif state is State.SPEAKING or state is State.REPLYING:
            if self._echo is not None:
                self._echo.heard(pcm, at_ms)
            if voiced and self._gate.voiced_ms >= self._turns.barge_in_ms:
                self._candidate(at_ms)
        elif state is State.YIELDED:
            if (
                not voiced
                and self._deciding is None
                and at_ms - self._last_voiced_ms >= self._turns.false_interruption_ms
            ):
                self._decide()
        elif change is SpeechChange.STARTED:
            self._call.voice()

    def _candidate(self, at_ms: float) -> None:
        """Voice for long enough while the agent is heard: the caller, or our own echo?"""
        if not self._turns.barge_in or at_ms < self._ask_echo_ms:
            return
        if self._echo is not None and self._call.state is State.SPEAKING:
            echo = self._echo.is_echo(at_ms)
            if echo is None:
                if self._unsure_since_ms is None:
                    self._unsure_since_ms = at_ms
                if at_ms - self._unsure_since_ms < ECHO_HOLD_MS:
                    return
            elif echo:
                self._counters.echoes += 1
                self._ask_echo_ms = at_ms + ECHO_AGAIN_MS
                self._unsure_since_ms = None
                return
        self._unsure_since_ms = None
        self._wait_ms = float(self._turns.silence_ms)
        self._call.barge(at_ms - self._gate.onset_frames * FRAME_MS)

    # --- words -------------------------------------------------------------------------------------

    def transcript(self, transcript: Transcript) -> None:
        """Words from recognition. See `agent.providers.TranscriptListener`."""
        self.text.add(transcript)
        if transcript.text:
            self._wait_ms = self._endpointer.wait_ms(self.text.text, self._call.expectation)
            if self._call.state is State.YIELDED and self._interrupts():
                self._stop_deciding()
                self._call.words()
        if transcript.flushed:
            if self._flushed is not None and not self._flushed.done():
                self._flushed.set_result(None)
            if self._deciding is not None:
                self._decided()

    def stt_failed(self, error: Exception) -> None:
        """Recognition died: open the next provider and replay what it missed."""
        self._counters.provider_failures += 1
        failed = self.provider
        if isinstance(error, ProviderError):
            self._stt_chain.failed(error, failed)
        self._reopen(after=failed)

    def _interrupts(self) -> bool:
        text = self.text.text
        if not text:
            return False
        if self.text.confidence is not None and self.text.confidence < NO_WORDS_CONFIDENCE:
            return False
        expected = self._call.expectation.kind is Expect.YES_NO
        if not expected and is_backchannel(text, self._call.language):
            return False
        return not is_echo_text(text, self._call.recently_said())

    def _decide(self) -> None:
        """Silence after an interruption: ask recognition for its last word on it."""
        self._deciding = self._clock.call_later(self._final_ms, self._decided)
        if self._opened is not None:
            self._opened.stream.finalize()

    def _decided(self) -> None:
        self._stop_deciding()
        if self._call.state is not State.YIELDED:
            return
        if self._interrupts():
            self._call.words()
        else:
            self.text.clear()
            self._gate.reset()
            self._call.quiet()

    def _stop_deciding(self) -> None:
        if self._deciding is not None:
            self._deciding.cancel()
            self._deciding = None

    @property
    def _final_ms(self) -> float:
        return float(self._stt_chain.limits.stt_final_ms)

    async def collect(self) -> str:
        """The words of the turn that has just ended, final where recognition is quick enough.

        Cancelled, it leaves the words where they are: they belong to the turn that goes on.
        """
        opened = self._opened
        if opened is not None:
            self._flushed = asyncio.get_running_loop().create_future()
            opened.stream.finalize()
            try:
                async with asyncio.timeout(self._final_ms / 1000):
                    await self._flushed
            except TimeoutError:
                logger.info("no final transcript from %s in time: using the partial", self.provider)
            finally:
                self._flushed = None
        return self.text.text

    def taken(self) -> None:
        """The collected words were made a turn."""
        self.text.clear()
        self._wait_ms = float(self._turns.silence_ms)

    # --- recognition's life ------------------------------------------------------------------------

    def listen(self, languages: tuple[str, ...], phrases: tuple[str, ...]) -> None:
        """Open recognition, or reopen it in another language. What is said meanwhile is kept."""
        self._languages, self._phrases = languages, phrases
        self._reopen(after=None)

    def _reopen(self, after: str | None) -> None:
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
        self._opening = asyncio.create_task(self._open(self._opened, after), name="open recognition")
        self._opened = None

    async def _open(self, previous: OpenedSTT | None, after: str | None) -> None:
        if previous is not None:
            await previous.stream.close()
        try:
            opened = await self._stt_chain.open(
                self._format, self._languages, self._phrases, self, after=after
            )
        except ProviderError:
            # Counted and logged by the chain. The call goes on deaf to words; keys still work.
            self._counters.provider_failures += 1
            return
        source = linear(self._format.rate_hz)
        same = opened.audio in (self._format, source)
        self._to_stt = None if same else make_converter(self._format, opened.audio)
        self.provider = opened.provider
        backlog, self._backlog = self._backlog, deque(maxlen=self._backlog.maxlen)
        decoder = make_decoder(self._format)
        for payload in backlog:
            if self._to_stt is not None:
                opened.stream.feed(self._to_stt.convert(payload))
            else:
                opened.stream.feed(decoder.decode(payload) if opened.audio.is_linear else payload)
        self._opened = opened

    async def close(self) -> None:
        """Stop listening."""
        self._stop_deciding()
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._opened is not None:
            opened, self._opened = self._opened, None
            await opened.stream.close()
