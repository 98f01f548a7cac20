"""The words of the caller's turn, put together from the pieces of recognition, and what it is asked. Pure."""

from collections.abc import Callable

from agent.providers import Transcript


class TurnText:
    """Collects segments of one turn.

    Recognisers close a segment whenever they like; a turn is all segments since the last `take`. The words of
    a turn that was not answered (the caller went on speaking) stay, so that both halves become one turn.
    """

    __slots__ = ("_closed", "_open", "confidence", "language")

    def __init__(self) -> None:
        self._closed: list[str] = []
        self._open = ""
        self.confidence: float | None = None
        self.language: str | None = None

    def add(self, transcript: Transcript) -> None:
        """One more piece."""
        text = transcript.text.strip()
        if transcript.final:
            if text:
                self._closed.append(text)
            self._open = ""
        else:
            self._open = text
        if text:
            self.confidence = transcript.confidence
            self.language = transcript.language or self.language

    @property
    def text(self) -> str:
        """The turn's words so far."""
        return " ".join([*self._closed, self._open] if self._open else self._closed)

    def take(self) -> str:
        """The words, which belong to an answered turn from here on."""
        text = self.text
        self.clear()
        return text

    def clear(self) -> None:
        """Forget the words."""
        self._closed.clear()
        self._open = ""


class Ask:
    """A `finalize` that waits for its answer."""

    __slots__ = ("answer", "stale_until_ms")

    def __init__(self, answer: Callable[[], None]) -> None:
        self.answer: Callable[[], None] | None = answer
        self.stale_until_ms: float | None = None
        """Set when the turn was made without it: its words must not reach the next turn."""
