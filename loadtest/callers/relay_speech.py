"""What ConversationRelay speaks to its caller: text turned into time, without any audio.

Text is spoken at 14 characters a second, beginning 330 ms after the first piece of an idle speaker (Twilio
sheet 2.2: 320-340 ms from first token to `agentSpeaking on`; 6.1: 14 characters per second). It is
reported as played sentence by sentence.
"""

from collections import deque
from dataclasses import dataclass, field

from agent.audio.formats import FRAME_MS
from loadtest.callers.utterance import CHARS_PER_S

START_DELAY_MS = 330.0
STARVED_MS = 500.0
"""An open utterance without more text for so long counts as silence until text comes."""
MAX_QUEUED_CHARS = 100_000
_SENTENCE_ENDS = ".!?…。"


@dataclass(slots=True)
class _Piece:
    text: str
    last: bool
    interruptible: bool
    preemptible: bool


@dataclass(frozen=True, slots=True)
class Interruption:
    """What an interrupt message tells: the heard part of the sentence being spoken."""

    heard: str
    heard_ms: float


@dataclass(slots=True)
class Spell:
    """What happened in one tick of speaking."""

    began: bool = False
    """`agentSpeaking on`"""
    finished: bool = False
    """`agentSpeaking off`"""
    audible: bool = False
    played: list[str] = field(default_factory=list)
    """`tokensPlayed`, sentence by sentence."""


class RelaySpeaker:
    """The platform's speech queue. Call `tick` every 20 ms."""

    def __init__(self) -> None:
        self._queue: deque[_Piece] = deque()
        self._open = False
        """An utterance has begun and its `last` has not come."""
        self._speaking = False
        self._delay_ms = 0.0
        self._starved_ms = 0.0
        self._credit = 0.0
        self._sentence = ""
        self._sentence_ms = 0.0

    @property
    def speaking(self) -> bool:
        return self._speaking

    @property
    def idle(self) -> bool:
        """Nothing is spoken, nothing waits and no utterance is open."""
        return not self._speaking and not self._queue and not self._open

    @property
    def interruptible(self) -> bool:
        """Whether what is being spoken may be cut by the caller."""
        return not self._queue or self._queue[0].interruptible

    def say(
        self, text: str, *, last: bool, interruptible: bool = True, preemptible: bool = False
    ) -> list[str]:
        """Queue a piece. Returns the fragment that was cut, if it preempted what was being spoken."""
        cut: list[str] = []
        if not self._open and any(piece.preemptible for piece in self._queue):
            cut = self._preempt()
        self._open = not last
        if not self._speaking and not self._queue:
            self._delay_ms = START_DELAY_MS
        if sum(len(piece.text) for piece in self._queue) + len(text) <= MAX_QUEUED_CHARS:
            self._queue.append(_Piece(text, last, interruptible, preemptible))
        return cut

    def tick(self) -> Spell:
        """20 ms pass."""
        spell = Spell()
        if self._delay_ms > 0:
            self._delay_ms -= FRAME_MS
            return spell
        if self._queue and not self._speaking and any(piece.text for piece in self._queue):
            self._speaking = spell.began = True
        if self._queue:
            self._speak(spell)
        elif self._speaking:
            self._starved_ms += FRAME_MS
            if not self._open or self._starved_ms >= STARVED_MS:
                self._finish(spell)
        return spell

    def interrupt(self) -> Interruption | None:
        """The caller barges in: everything queued is thrown away. None if nothing was being spoken."""
        if not self._speaking:
            self._drop()
            return None
        interruption = Interruption(self._sentence.strip(), self._sentence_ms)
        self._drop()
        self._speaking = False
        return interruption

    def _speak(self, spell: Spell) -> None:
        self._starved_ms = 0.0
        self._credit += CHARS_PER_S * FRAME_MS / 1000
        self._sentence_ms += FRAME_MS
        spell.audible = self._speaking
        while self._queue and (self._credit >= 1.0 or not self._queue[0].text):
            piece = self._queue[0]
            if piece.text:
                letter, piece.text = piece.text[0], piece.text[1:]
                self._credit -= 1.0
                self._sentence += letter
                if letter in _SENTENCE_ENDS and (piece.text[:1].isspace() or (not piece.text and piece.last)):
                    self._end_sentence(spell.played)
            if not piece.text:
                self._queue.popleft()
                if piece.last:
                    self._end_sentence(spell.played)

    def _finish(self, spell: Spell) -> None:
        self._end_sentence(spell.played)
        self._speaking = False
        self._starved_ms = self._credit = 0.0
        spell.finished = True

    def _end_sentence(self, played: list[str]) -> None:
        if self._sentence.strip():
            played.append(self._sentence.strip())
        self._sentence = ""
        self._sentence_ms = 0.0

    def _preempt(self) -> list[str]:
        fragment: list[str] = []
        self._end_sentence(fragment)
        self._queue = deque(piece for piece in self._queue if not piece.preemptible)
        return fragment

    def _drop(self) -> None:
        self._queue.clear()
        # What still comes of the interrupted utterance would be spoken: keeping it back is the server's part.
        self._open = False
        self._delay_ms = self._starved_ms = self._credit = 0.0
        self._sentence = ""
        self._sentence_ms = 0.0
