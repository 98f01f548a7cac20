"""How a reply gets to a caller's ear over a text line: the platform makes the sound, we account for it."""

from agent.clock import Clock, Timer
from agent.coarse_timers import Timers
from agent.latency import TurnMarks
from agent.ledger import Heard, TextLedger
from agent.lines import TextLine
from agent.mouth import MAX_UTTERANCE_CHARS, MouthListener
from agent.records import TurnRecord

GATHER_MS = 100.0
"""What a model says within this goes out as one message, once the platform has a clause to speak (Twilio
sheet, 2.2: clause-sized pieces). Models give 50 to 200 tokens a second, and each message costs a system call
and more; the shortest clause lasts some 300 ms, and its sound begins 320 ms after its text."""
_CLAUSE_ENDS = frozenset(".,;:!?…—\n。！？，、；：")


class TextMouth:
    """Speaks over a text line: the platform makes the sound.

    The first text goes out as it is generated, the rest of the first clause when that is whole; what follows
    is said later than it comes, and goes out in larger pieces.
    """

    synthesises = False

    END_SLACK_MS = 1_000.0
    """Added to the estimate of when a platform that reports nothing has finished (Twilio sheet, 6.1)."""

    def __init__(
        self, line: TextLine, clock: Clock, listener: MouthListener, coarse: Timers | None = None
    ) -> None:
        """`coarse`: for the estimate of when it was heard out, which is not exact either; else the clock."""
        self.ledger = TextLedger()
        self.generation = 0
        self._line = line
        self._clock = clock
        self._timers: Timers = coarse or clock
        self._listener = listener
        self._marks = TurnMarks()
        self._language = ""
        self._ended = True
        self._sounded = True
        self._at_once = self._opening = True  # the next text is the first; the first clause is not whole
        self._gathered = ""
        self._sending: Timer | None = None
        self._chars = 0
        self._finished: Timer | None = None
        self._open = False  # an utterance is being spoken
        self._held: str | None = None  # what waits for another line, or for the caller to be done
        self._lost = self._paused = False

    def begin(self, generation: int, language: str, marks: TurnMarks, record: TurnRecord) -> None:
        self._stop_waiting()
        self._take_gathered()
        self.generation = generation
        self._language = language
        self._marks = marks
        self._ended = self._sounded = False
        self._at_once = self._opening = True
        self._chars = 0
        self.ledger.begin()
        self._open = True
        self._paused = False
        self._held = "" if self._lost else None

    def switch_language(self, language: str) -> None:
        self._send_gathered()
        self._language = language

    def greeted(self, text: str) -> None:
        """The platform speaks `text` by itself: account for it without sending it."""
        self.ledger.said(text, self._clock.now_ms())
        self._sounded = True
        self._listener.sound(self.generation)

    def write(self, text: str) -> None:
        if self._ended or not text or self._chars > MAX_UTTERANCE_CHARS:
            return
        self._chars += len(text)
        if self._held is not None:
            self._held += text
        elif self._at_once:
            self._at_once = False
            self._opening = _CLAUSE_ENDS.isdisjoint(text)
            self._say(text)
        else:
            self._gather(text)

    def fill(self, text: str) -> bool:
        if self._ended or self._chars or self._held is not None:
            return False
        self._chars = len(text)
        self._say(f"{text} ")
        return True

    def _gather(self, text: str) -> None:
        self._gathered += text
        if self._opening and not _CLAUSE_ENDS.isdisjoint(text):
            self._opening = False
            self._send_gathered()
        elif self._sending is None:
            self._sending = self._clock.call_later(GATHER_MS, self._send_gathered)

    def _take_gathered(self) -> str:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
        text, self._gathered = self._gathered, ""
        return text

    def _send_gathered(self) -> None:
        if text := self._take_gathered():
            self._say(text)

    def _say(self, text: str, *, last: bool = False) -> None:
        now_ms = self._clock.now_ms()
        self._line.say(text, last=last, language=self._language)
        self.ledger.said(text, now_ms)
        if not self._sounded:
            self._sounded = True
            self._marks.first_audio_out_ms = now_ms
            self._listener.sound(self.generation)

    def end(self) -> None:
        if self._ended:
            return
        self._ended = True
        if self._held is None:
            self._close_utterance()

    def _close_utterance(self) -> None:
        if text := self._take_gathered():
            self._say(text, last=True)
        elif self._chars:
            self._line.say("", last=True, language=self._language)
        self._await_end()

    async def speak(self) -> None:
        """Text is handed over as it is written."""

    @property
    def waiting(self) -> bool:
        return bool(self._held or self._gathered)

    def pause(self) -> None:
        """The platform has stopped by itself and thrown away the rest: it is kept here, to be said again."""
        self._paused = True
        self._keep()

    def resume(self) -> None:
        self._paused = False
        self._release()

    def hold(self) -> None:
        self._lost = True
        self._keep()

    def _keep(self) -> None:
        if self._held is None:
            self._stop_waiting()
            rest = self.ledger.cut(self._clock.now_ms()) if self._open else ""
            self._held = rest + self._take_gathered()

    def _release(self) -> None:
        if self._held is None or self._lost or self._paused:
            return
        held, self._held = self._held, None
        if held:
            self._say(held)
        if self._open and self._ended:
            self._close_utterance()

    def cancel(self) -> Heard:
        self._stop_waiting()
        self._take_gathered()
        self._ended = True
        self._open = self._paused = False
        self._held = "" if self._lost else None
        heard = self.ledger.stop(self._clock.now_ms())
        self.generation += 1
        return heard

    def heard(self) -> Heard:
        return self.ledger.heard(self._clock.now_ms())

    def spoke(self) -> None:
        """The platform reports that it has stopped speaking."""
        if self._ended and self._finished is not None and self.heard().complete:
            self._end_heard()

    def replace_line(self, line: TextLine) -> None:
        """Go on over another socket. What was queued on the old one is lost with it, and said again."""
        self._keep()
        self._line = line
        self._lost = False
        self._release()

    def close(self) -> None:
        self._stop_waiting()
        self._take_gathered()

    def _await_end(self) -> None:
        left_ms = self.ledger.remaining_ms(self._clock.now_ms()) + self.END_SLACK_MS
        if not self._chars and not self._sounded:
            left_ms = 0.0
        self._finished = self._timers.call_later(left_ms, self._end_heard)

    def _end_heard(self) -> None:
        self._stop_waiting()
        self._open = False
        self._listener.heard_out(self.generation)

    def _stop_waiting(self) -> None:
        if self._finished is not None:
            self._finished.cancel()
            self._finished = None
