"""One bulk caller on a media stream: a state machine of its script, without socket or clock.

    GREETED -> THINKING -> SPEAKING -> WAITING -> LISTENING -> THINKING ...
                                                      |
                                                      +-> INTERRUPTING -> WAITING

`tick` is called every 20 ms and gives what is to be sent; `received` takes the server's messages. Time comes
in as an argument.
"""

import random
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

import orjson

from agent.audio.formats import FRAME_MS, PCMU_8K
from loadtest.bulk.dialect import FIRST_SEQUENCE, Stream
from loadtest.bulk.figures import Figures
from loadtest.bulk.speech import CallerSpeech, Said, first_audible_ms

DONE_MS = 400.0
"""Silence after which the agent has finished (`loadtest.callers.ear.GAP_MS`)."""
PLAYOUT_MS = 60.0
"""What a telephone network buffers before it plays: a gap is heard where that was not enough."""


@dataclass(frozen=True, slots=True)
class Script:
    """How callers behave. Milliseconds."""

    think_ms: tuple[float, float] = (500.0, 1500.0)
    """Between the agent's last word and the caller's next: uniform."""
    barge_every: int = 3
    """Every so many turns the reply is interrupted; 0 never."""
    barge_after_ms: float = 1500.0
    """... after so much of it was heard."""
    answer_within_ms: float = 5000.0
    """Then a turn counts as unanswered and the caller asks again."""


class Doing(Enum):
    """What the caller is doing."""

    GREETED = auto()
    """Hears the greeting."""
    THINKING = auto()
    SPEAKING = auto()
    INTERRUPTING = auto()
    """Speaks over the agent."""
    WAITING = auto()
    """For the first sound of the answer."""
    LISTENING = auto()


class MediaCall:
    """One caller."""

    def __init__(
        self, stream: Stream, speech: CallerSpeech, script: Script, figures: Figures, seed: int
    ) -> None:
        self.call_id = stream.call_id
        self.doing = Doing.GREETED
        self.figures = figures
        self._stream = stream
        self._speech = speech
        self._script = script
        self._chance = random.Random(seed)
        self._sequence = FIRST_SEQUENCE
        self._chunk = 0
        self._turn = seed
        """Callers begin at different sentences, and interrupt in different turns."""
        self._saying: Said | None = None
        self._said = 0
        self._since_ms = 0.0
        self._next_ms = 0.0
        self._voiced_end_ms = 0.0
        self._interrupt = False
        self._clear_wanted_ms: float | None = None
        self._cleared = False
        # The far end's play buffer: what was sent to us plays one after the other.
        self._plays_until_ms = 0.0
        self._heard_any = False
        self._in_sentence = False
        self._marks: deque[tuple[float, str]] = deque()

    # --- sending -----------------------------------------------------------------------------------

    def tick(self, now_ms: float) -> bytes:
        """20 ms passed: the frames to send, media first."""
        payload = self._payload(now_ms)
        self._chunk += 1
        data = self._stream.media(self._sequence, self._chunk, self._chunk * FRAME_MS, payload)
        self._sequence += 1
        self.figures.frames_sent += 1
        while self._marks and self._marks[0][0] <= now_ms:
            data += self._mark(self._marks.popleft()[1])
        return data

    def hang_up(self) -> bytes:
        """The last message."""
        return self._stream.stop(self._sequence)

    def _payload(self, now_ms: float) -> bytes:
        saying = self._saying
        if saying is None:
            self._decide(now_ms)
            saying = self._saying
            if saying is None:
                return self._speech.noise[self._chunk % len(self._speech.noise)]
        payload = saying.frames[self._said]
        if self._said == saying.last_voiced:
            self._voiced_end_ms = now_ms + saying.last_voiced_offset_ms - FRAME_MS
        self._said += 1
        if self._said == len(saying.frames):
            self._saying = None
            self._spoken(now_ms)
        return payload

    def _decide(self, now_ms: float) -> None:
        """Not speaking: is it time to do something?"""
        doing = self.doing
        if doing is Doing.THINKING:
            if now_ms >= self._next_ms:
                self._say(self._speech.sentences[self._turn % len(self._speech.sentences)], Doing.SPEAKING)
        elif doing is Doing.WAITING:
            if now_ms - self._since_ms > self._script.answer_within_ms:
                self.figures.unanswered += 1
                self._think(now_ms)
        elif doing is Doing.LISTENING and self._interrupts(now_ms):
            self.figures.barge_ins += 1
            self._clear_wanted_ms = now_ms
            self._cleared = False
            self._say(self._speech.interruption, Doing.INTERRUPTING)
        if self.doing in (Doing.LISTENING, Doing.GREETED) and self._agent_done(now_ms):
            self._think(now_ms)

    def _interrupts(self, now_ms: float) -> bool:
        heard_ms = now_ms - self._since_ms
        return self._interrupt and heard_ms >= self._script.barge_after_ms and self._plays_until_ms > now_ms

    def _agent_done(self, now_ms: float) -> bool:
        return self._heard_any and now_ms - self._plays_until_ms > DONE_MS

    def _say(self, what: Said, doing: Doing) -> None:
        self._saying, self._said, self.doing = what, 0, doing

    def _spoken(self, now_ms: float) -> None:
        """The last frame of the sentence goes out now."""
        self.figures.turns += 1
        if self._clear_wanted_ms is not None:
            self.figures.missed_barge_ins += 1
            self._clear_wanted_ms = None
        self._turn += 1
        every = self._script.barge_every
        self._interrupt = bool(every) and self._turn % every == 0
        self._since_ms = now_ms
        self._in_sentence = False
        self.doing = Doing.WAITING

    def _think(self, now_ms: float) -> None:
        if self.doing is Doing.GREETED:
            self.figures.greetings += 1
        self.doing = Doing.THINKING
        self._next_ms = now_ms + self._chance.uniform(*self._script.think_ms)

    # --- receiving ---------------------------------------------------------------------------------

    def received(self, text: bytes, now_ms: float) -> bytes:
        """A message from the server: what is sent back at once, maybe nothing."""
        try:
            message = orjson.loads(text)
            event = message["event"]
            if event == "media":
                self._media(a2b_base64(message["media"]["payload"], strict_mode=True), now_ms)
                return b""
            if event == "mark":
                self._marks.append((self._plays_until_ms, message["mark"]["name"]))
                self._in_sentence = False
                return b""
        except (orjson.JSONDecodeError, KeyError, TypeError, Base64Error):
            event = ""
        if event == "clear":
            return self._clear(now_ms)
        self.figures.bad_messages += 1
        return b""

    def _media(self, audio: bytes, now_ms: float) -> None:
        slack_ms = self._plays_until_ms - now_ms
        plays_ms = max(self._plays_until_ms, now_ms)
        if self._in_sentence:
            self.figures.slack_ms.append(slack_ms)
            if slack_ms < -PLAYOUT_MS:
                self.figures.gaps += 1
        self._in_sentence = self._heard_any = True
        self._plays_until_ms = plays_ms + PCMU_8K.duration_ms(len(audio))
        if self.doing is Doing.WAITING:
            audible_ms = first_audible_ms(audio)
            if audible_ms is not None:
                self.figures.voice_to_voice_ms.append(plays_ms + audible_ms - self._voiced_end_ms)
                self.doing = Doing.LISTENING
                self._since_ms = plays_ms
        elif self.doing is Doing.INTERRUPTING and self._cleared:
            self.figures.stale += 1
        elif self.doing in (Doing.SPEAKING, Doing.THINKING):
            self.figures.early += 1

    def _clear(self, now_ms: float) -> bytes:
        if self._clear_wanted_ms is not None:
            self.figures.barge_in_ms.append(now_ms - self._clear_wanted_ms)
            self._clear_wanted_ms = None
            self._cleared = True
        self._plays_until_ms = min(self._plays_until_ms, now_ms)
        self._in_sentence = False
        marks, self._marks = self._marks, deque()
        return b"".join(self._mark(name) for _, name in marks)

    def _mark(self, name: str) -> bytes:
        data = self._stream.mark(self._sequence, name)
        self._sequence += 1
        return data
