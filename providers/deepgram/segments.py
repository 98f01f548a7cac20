"""From Deepgram's results to transcripts, with exactly one answer for each `finalize`. Pure.

Positions are seconds of audio sent on this socket. Deepgram does not promise an answer to `Finalize` when
little audio was pending (sheet 2, rule 5), so each has a deadline: then the hypothesis at hand is given as
final, and what Deepgram still says about audio before that point is dropped, for it has been used already.
"""

from collections import deque

from agent.providers import Transcript
from providers.deepgram.wire import Results, Word

_ROUNDING_S = 0.1
"""A result counts as reaching a point in the audio from this close: message boundaries and rounded times."""


class Segments:
    """The state of one socket's recognition."""

    __slots__ = ("_cut_s", "_pending", "_reported", "_said", "late")

    def __init__(self) -> None:
        self._pending: deque[float] = deque()  # positions of unanswered finalizes
        self._cut_s = 0.0
        self._said: Results | None = None
        self._reported = ""
        self.late = 0
        """Results dropped since their audio had been answered for."""

    @property
    def pending(self) -> int:
        """Finalizes that have not been answered."""
        return len(self._pending)

    def finalized(self, position_s: float) -> None:
        """`Finalize` was sent behind the audio up to here."""
        self._pending.append(position_s)

    def results(self, results: Results) -> list[Transcript]:
        """What to report, in order."""
        text, stale = results.text, False
        if results.start_s < self._cut_s - _ROUNDING_S:
            text = _joined([word for word in results.words if word.start_s >= self._cut_s])
            stale = not text
            self.late += stale
        if not results.is_final:
            if stale or text == self._reported:
                return []
            self._said, self._reported = results, text
            return [_transcript(text, results, final=False)]
        self._said, self._reported = None, ""
        answered = self._answered(results) if results.from_finalize else 0
        if not answered:
            return [_transcript(text, results, final=True)] if text else []
        rest = [Transcript("", final=True, flushed=True) for _ in range(answered - 1)]
        return [_transcript(text, results, final=True, flushed=True), *rest]

    def expired(self) -> Transcript | None:
        """The oldest finalize has waited long enough. Returns its answer; None if there is none."""
        if not self._pending:
            return None
        position_s = self._pending.popleft()
        said, text = self._said, self._reported
        self._cut_s = max(self._cut_s, position_s)
        self._said, self._reported = None, ""
        if said is None:
            return Transcript("", final=True, flushed=True)
        return _transcript(text, said, final=True, flushed=True)

    def _answered(self, results: Results) -> int:
        """How many finalizes these results answer: all whose audio they cover, at least the oldest."""
        count = 0
        while self._pending and (count == 0 or self._pending[0] <= results.end_s + _ROUNDING_S):
            self._pending.popleft()
            count += 1
        return count


def _joined(words: list[Word]) -> str:
    return " ".join(word.text for word in words)


def _transcript(text: str, results: Results, *, final: bool, flushed: bool = False) -> Transcript:
    return Transcript(text, final, flushed, results.confidence if text else None, results.language)
