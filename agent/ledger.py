"""What the caller has really heard of the agent.

One ledger per call. History, resuming after a false interruption, idle timers and records are functions of
it, never of what was sent: platforms buffer seconds of audio that a barge-in throws away.

`AudioLedger` serves media lines: it models the far end's play buffer from what was handed to it and when,
and is corrected by marks. `TextLedger` serves text lines: it goes by the played text that the platform
reports, or by a speaking-rate estimate where it reports nothing.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, field

from agent.providers import WordTime
from agent.spoken import chars_in, find_all, follow, speaking_ms, whole_words


@dataclass(frozen=True, slots=True)
class Heard:
    """How much of an utterance reached the caller's ear."""

    text: str
    ms: float
    complete: bool
    """All of the text handed out so far was heard."""


NOTHING_HEARD = Heard("", 0.0, complete=False)


@dataclass(slots=True)
class _Span:
    """A stretch of text and the audio that speaks it."""

    text: str
    start_ms: float
    end_ms: float
    words: list[WordTime] = field(default_factory=list)
    ended: bool = False
    """All of its audio is here."""

    def offset_at(self, position_ms: float) -> int:
        """How many characters had been spoken at `position_ms`, whole words only."""
        into_ms = position_ms - self.start_ms
        if self.end_ms <= self.start_ms:
            return 0
        if self.ended and position_ms >= self.end_ms:
            return len(self.text)
        if self.words:
            # A word counts once the next one has begun.
            begun = bisect_right(self.words, into_ms, key=lambda word: word.at_ms)
            return self.words[begun - 1].offset if begun > 0 else 0
        total_ms = self.end_ms - self.start_ms
        if not self.ended:
            # What is here of the audio may be the beginning of it only.
            total_ms = max(total_ms, speaking_ms(self.text))
        spoken_ms = min(into_ms, self.end_ms - self.start_ms) / total_ms * speaking_ms(self.text)
        return whole_words(self.text, chars_in(self.text, spoken_ms))

    def word_start_ms(self, position_ms: float) -> float:
        """Where the word begins that is being spoken at `position_ms`."""
        if not self.words:
            return max(self.start_ms, position_ms - _RESUME_BACK_MS)
        begun = bisect_right(self.words, position_ms - self.start_ms, key=lambda word: word.at_ms)
        return self.start_ms + (self.words[begun - 1].at_ms if begun > 0 else 0.0)


# Without word times a resumed sentence goes back about one word (150 words a minute).
_RESUME_BACK_MS = 300.0
# The tail of an utterance is silence and rounding: missing this much still counts as heard to the end.
_COMPLETE_SLACK_MS = 60.0


class AudioLedger:
    """Heard position on a media line. All positions are ms from the utterance's first sample."""

    def __init__(self) -> None:
        self._spans: list[_Span] = []
        self._sent_ms = 0.0
        self._far_end_ms = 0.0
        self._marks: list[tuple[str, float]] = []
        self._answers = False  # this far end has sent a mark back
        self._stopped_at_ms: float | None = None

    def begin(self) -> None:
        """A new utterance; what is known of the earlier one is forgotten."""
        self._spans = []
        self._sent_ms = 0.0
        self._marks.clear()
        self._stopped_at_ms = None

    def text(self, text: str, start_ms: float) -> None:
        """Text whose audio begins at `start_ms`; its end is open until `text_ended`."""
        self._spans.append(_Span(text, start_ms, start_ms))

    def audio(self, duration_ms: float, words: tuple[WordTime, ...] = ()) -> None:
        """More audio, not sent yet, for the last text; `words` as in `SpeechChunk`."""
        if self._spans:
            self._spans[-1].end_ms += duration_ms
            self._spans[-1].words.extend(words)

    def text_ended(self) -> None:
        """The last text's audio is complete. Until then only as much text counts as that audio can hold."""
        if self._spans:
            self._spans[-1].ended = True

    def sent(self, duration_ms: float, now_ms: float) -> None:
        """Audio was handed to the line: it plays when what the far end already has is over."""
        self._far_end_ms = max(self._far_end_ms, now_ms) + duration_ms
        self._sent_ms += duration_ms

    def far_ms(self, now_ms: float) -> float:
        """How much the far end still has to play; negative: for how long it has been dry."""
        return self._far_end_ms - now_ms

    def marked(self, name: str) -> None:
        """A mark was sent behind all audio sent so far."""
        self._marks.append((name, self._sent_ms))

    def mark_returned(self, name: str, now_ms: float) -> None:
        """A mark came back: everything before it has been played. Unknown or cleared marks say nothing."""
        if not any(name == waiting for waiting, _ in self._marks):
            return
        while self._marks:
            waiting, position_ms = self._marks.pop(0)
            if waiting == name:
                self._answers = True
                self._far_end_ms = now_ms + self._sent_ms - position_ms
                return

    def played_out(self, now_ms: float, patience_ms: float) -> bool:
        """The far end has played all it was sent: it said so, or it should have and does not say such things.

        The estimate knows nothing of the network and the far end's own buffer, so a far end that is known to
        answer marks is given `patience_ms` more.
        """
        dry_ms = now_ms - self._far_end_ms
        return dry_ms >= (patience_ms if self._marks and self._answers else 0.0)

    def stopped(self, now_ms: float) -> float:
        """The far buffer was cleared. Returns the position that was heard; pending marks say nothing now."""
        self._stopped_at_ms = self.position_ms(now_ms)
        self._far_end_ms = now_ms
        self._sent_ms = self._stopped_at_ms
        self._marks.clear()
        return self._stopped_at_ms

    def position_ms(self, now_ms: float) -> float:
        """Heard position at `now_ms`."""
        if self._stopped_at_ms is not None and self._sent_ms == self._stopped_at_ms:
            return self._stopped_at_ms
        return max(self._sent_ms - max(self._far_end_ms - now_ms, 0.0), 0.0)

    def resume_position_ms(self) -> float:
        """After `stopped`: where to go on, at the beginning of the word that was cut."""
        position_ms = self._stopped_at_ms if self._stopped_at_ms is not None else self._sent_ms
        for span in reversed(self._spans):
            if span.start_ms <= position_ms:
                return min(span.word_start_ms(position_ms), position_ms)
        return position_ms

    def resumed(self, position_ms: float) -> None:
        """Sending goes on from `position_ms`: what follows it is heard again."""
        self._stopped_at_ms = None
        self._sent_ms = position_ms

    def heard(self, now_ms: float) -> Heard:
        """Text and audio heard of the current utterance."""
        position_ms = self.position_ms(now_ms)
        parts: list[str] = []
        for span in self._spans:
            if span.start_ms >= position_ms:
                break
            parts.append(span.text[: span.offset_at(position_ms + _COMPLETE_SLACK_MS)])
        total_ms = self._spans[-1].end_ms if self._spans else 0.0
        complete = (
            bool(self._spans) and self._spans[-1].ended and position_ms + _COMPLETE_SLACK_MS >= total_ms
        )
        return Heard(_join(parts), position_ms, complete)


class TextLedger:
    """Heard position on a text line."""

    START_MS = 400.0
    """First token to first sound, seen on live calls (Twilio sheet, 2.2: 320-340 ms)."""

    def __init__(self) -> None:
        self._said = ""
        self._reported = False
        self._played_to = 0  # by the platform's reports
        self._quiet_to = 0  # what had been spoken when the voice last had nothing to say, by estimate
        self._begins_ms = 0.0  # when it began with what follows that
        self._ends_ms: float | None = None
        self._heard: str | None = None

    def begin(self) -> None:
        """A new utterance."""
        self._said = ""
        self._played_to = self._quiet_to = 0
        self._ends_ms = None
        self._heard = None

    def said(self, text: str, now_ms: float) -> None:
        """Text was handed to the line."""
        if self._ends_ms is None or now_ms >= self._ends_ms:
            self._quiet_to = len(self._said)
            self._begins_ms = self._ends_ms = now_ms + self.START_MS
        self._ends_ms += speaking_ms(text)
        self._said += text

    def played(self, text: str) -> None:
        """The platform reports text as played."""
        self._reported = True
        self._played_to = follow(self._said, text, self._played_to)

    def speaking(self, speaking: bool) -> None:
        """The platform reports that it began or stopped speaking: a pause says nothing about the text."""

    def interrupted(self, fragment: str, now_ms: float) -> Heard:
        """The caller cut the utterance; `fragment` is what was spoken of the piece being played.

        It is looked for near the last known position, spaces and case aside, since the platform's text
        normalisation may have changed it. An empty one: the piece was not begun.
        """
        known = self._offset(now_ms)
        if not fragment.strip():
            offset = known if self._reported else self._last_sentence(known)
        else:
            # A platform that reports may have reported the fragment already, or be about to.
            places = [
                end for end in find_all(self._said, fragment) if not self._reported or end >= self._played_to
            ]
            offset = min(places, key=lambda end: abs(end - known), default=known)
        self._heard = self._said[: whole_words(self._said, offset)].strip()
        return self.heard(now_ms)

    def stop(self, now_ms: float) -> Heard:
        """We cut the utterance ourselves: keep what was heard by the best knowledge."""
        if self._heard is None:
            self._heard = self._so_far(now_ms)
        return self.heard(now_ms)

    def cut(self, now_ms: float) -> str:
        """What was not spoken yet is lost. Returns that, to be said again."""
        if self._heard is None:
            offset = whole_words(self._said, self._offset(now_ms))
        else:
            # The platform said where it was interrupted.
            offset = self._said.index(self._heard) + len(self._heard)
            self._heard = None
        rest = self._said[offset:].lstrip()
        self._said = self._said[: len(self._said) - len(rest)]
        self._played_to = self._quiet_to = len(self._said)
        self._ends_ms = now_ms
        return rest

    def heard(self, now_ms: float) -> Heard:
        """Text heard so far; its ms are an estimate by speaking rate."""
        text = self._so_far(now_ms) if self._heard is None else self._heard
        said = self._said.strip()
        return Heard(text, speaking_ms(text), bool(said) and len(text) >= len(said.rstrip(_CLOSING)))

    def remaining_ms(self, now_ms: float) -> float:
        """Estimate of how long the platform will go on speaking what it has."""
        return speaking_ms(self._said[self._offset(now_ms) :].rstrip())

    def _so_far(self, now_ms: float) -> str:
        return self._said[: whole_words(self._said, self._offset(now_ms))].strip()

    def _offset(self, now_ms: float) -> int:
        """Characters of what was said that have been heard."""
        if self._reported:
            return self._played_to
        if self._ends_ms is None:
            return 0
        return self._quiet_to + chars_in(self._said[self._quiet_to :], now_ms - self._begins_ms)

    def _last_sentence(self, offset: int) -> int:
        """The end of the last whole sentence before `offset`."""
        ends = [match.end() for match in _SENTENCE_END.finditer(self._said) if match.end() <= offset]
        return ends[-1] if ends else 0


# Signs that nobody hears, and that a platform's account of what it played may lack.
_CLOSING = " \t\n.,;:!?\"')]…。！？，、」』”’»"
_SENTENCE_END = re.compile(r"[.!?…]+(?=\s|$)|[。！？]+|\n")


def _join(parts: list[str]) -> str:
    return re.sub(r"\s+", " ", " ".join(part.strip() for part in parts if part.strip()))
