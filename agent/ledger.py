"""What the caller has really heard of the agent.

One ledger per call. History, resuming after a false interruption, idle timers and records are functions of
it, never of what was sent: platforms buffer seconds of audio that a barge-in throws away.

`AudioLedger` serves media lines: it models the far end's play buffer from what was handed to it and when,
and is corrected by marks. `TextLedger` serves text lines: it goes by the played text that the platform
reports, or by a speaking-rate estimate where it reports nothing.
"""

import re
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field

from agent.providers import WordTime


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

    def offset_at(self, position_ms: float) -> int:
        """How many characters had been spoken at `position_ms`, whole words only."""
        into_ms = position_ms - self.start_ms
        if position_ms >= self.end_ms:
            return len(self.text)
        if self.words:
            # A word counts once the next one has begun.
            begun = bisect_right(self.words, into_ms, key=lambda word: word.at_ms)
            return self.words[begun - 1].offset if begun > 0 else 0
        share = into_ms / (self.end_ms - self.start_ms)
        return _whole_words(self.text, int(len(self.text) * share))

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
        self._marks: deque[tuple[str, float]] = deque()
        self._stopped_at_ms: float | None = None

    def begin(self) -> None:
        """A new utterance; what is known of the earlier one is forgotten."""
        self._spans = []
        self._sent_ms = 0.0
        self._marks.clear()
        self._stopped_at_ms = None

    def text(self, text: str, start_ms: float) -> None:
        """Text whose audio begins at `start_ms`; its end is open until `audio` or the next `text`."""
        self._spans.append(_Span(text, start_ms, start_ms))

    def audio(self, duration_ms: float, words: tuple[WordTime, ...] = ()) -> None:
        """More audio, not sent yet, for the last text; `words` as in `SpeechChunk`."""
        if self._spans:
            self._spans[-1].end_ms += duration_ms
            self._spans[-1].words.extend(words)

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
            waiting, position_ms = self._marks.popleft()
            if waiting == name:
                self._far_end_ms = now_ms + self._sent_ms - position_ms
                return

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
        complete = bool(self._spans) and position_ms + _COMPLETE_SLACK_MS >= total_ms
        return Heard(_join(parts), position_ms, complete)


class TextLedger:
    """Heard position on a text line."""

    CHARS_PER_S = 14.0
    """Estimate of a platform voice's speaking rate (Twilio sheet, 6.1)."""
    START_MS = 400.0
    """First token to first sound, seen on live calls (Twilio sheet, 2.2: 320-340 ms)."""

    def __init__(self) -> None:
        self._said = ""
        self._played = ""
        self._reported = False
        self._began_ms: float | None = None
        self._heard: str | None = None
        self._speaking = False

    def begin(self) -> None:
        """A new utterance."""
        self._said = ""
        self._played = ""
        self._began_ms = None
        self._heard = None
        self._speaking = False

    def said(self, text: str, now_ms: float) -> None:
        """Text was handed to the line."""
        if self._began_ms is None:
            self._began_ms = now_ms
        self._said += text

    def played(self, text: str) -> None:
        """The platform reports text as played."""
        self._reported = True
        self._played += text

    def speaking(self, speaking: bool) -> None:
        """The platform reports that it began or stopped speaking."""
        self._speaking = speaking

    def interrupted(self, fragment: str, now_ms: float) -> Heard:
        """The caller cut the utterance; `fragment` is what was spoken of the piece being played.

        The fragment is looked for from the last known position on, spaces and case aside, since the
        platform's text normalisation may have changed it.
        """
        known = self._offset(now_ms)
        reported = _find_after(self._said, self._played, 0) if self._reported else 0
        if fragment.strip():
            end = _find_after(
                self._said, fragment, 0 if not self._reported else max(reported - len(fragment), 0)
            )
            offset = max(end, reported) if end else max(reported, known if not self._reported else 0)
        else:
            offset = reported
        self._heard = self._said[: _whole_words(self._said, offset)].strip()
        return self.heard(now_ms)

    def stop(self, now_ms: float) -> Heard:
        """We cut the utterance ourselves: keep what was heard by the best knowledge."""
        if self._heard is None:
            self._heard = self._said[: _whole_words(self._said, self._offset(now_ms))].strip()
        return self.heard(now_ms)

    def heard(self, now_ms: float) -> Heard:
        """Text heard so far; its ms are an estimate by speaking rate."""
        text = self._heard
        if text is None:
            text = self._said[: _whole_words(self._said, self._offset(now_ms))].strip()
        complete = bool(self._said.strip()) and _squeeze(text) == _squeeze(self._said)
        return Heard(text, len(text) / self.CHARS_PER_S * 1000, complete)

    def remaining_ms(self, now_ms: float) -> float:
        """Estimate of how long the platform will go on speaking what it has."""
        left = len(self._said) - self._offset(now_ms)
        if left <= 0:
            return 0.0
        return left / self.CHARS_PER_S * 1000

    def _offset(self, now_ms: float) -> int:
        """Characters of what was said that have been heard."""
        if self._reported:
            return _find_after(self._said, self._played, 0)
        if self._began_ms is None:
            return 0
        spoken_ms = now_ms - self._began_ms - self.START_MS
        return min(max(int(spoken_ms / 1000 * self.CHARS_PER_S), 0), len(self._said))


def _join(parts: list[str]) -> str:
    return re.sub(r"\s+", " ", " ".join(part.strip() for part in parts if part.strip()))


def _squeeze(text: str) -> str:
    return re.sub(r"\W+", "", text).casefold()


def _find_after(text: str, fragment: str, start: int) -> int:
    """End of `fragment` in `text` from `start` on, letters and digits compared; 0 if it is not there."""
    wanted = _squeeze(fragment)
    if not wanted:
        return start
    kept = [(index, char) for index, char in enumerate(text) if index >= start and not re.match(r"\W", char)]
    squeezed = "".join(char.casefold()[:1] for _, char in kept)
    found = squeezed.find(wanted)
    if found < 0:
        # The platform spells things out ("9" becomes "nine"): fall back to its length.
        return min(start + len(fragment), len(text)) if start + len(fragment) <= len(text) else 0
    return kept[found + len(wanted) - 1][0] + 1


def _whole_words(text: str, offset: int) -> int:
    """`offset` moved back to the end of the last whole word before it."""
    if offset >= len(text):
        return len(text)
    if offset <= 0:
        return 0
    if not (text[offset].isalnum() and text[offset - 1].isalnum()):
        return offset
    return max(text.rfind(" ", 0, offset), 0)
