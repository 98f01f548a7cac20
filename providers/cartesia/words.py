"""From Cartesia's word times to places in the text. Pure."""

from agent.providers import WordTime

MAX_SKIP_CHARS = 60
"""Text that may be skipped for a word: what was spelled out is shorter. A word not found within it is one
that the service made up, and must not pull the places of the rest of the sentence to its end."""
_MARKS = " \t\n.,;:!?¡¿\"'()[]…“”‘’«»—–-"


class WordPlaces:
    """Finds the words of one sentence in its text, in order.

    A word that is not there (a number that was spelled out) gets no time: the ledger then counts the stretch
    up to the next word that is found as one.
    """

    __slots__ = ("_folded", "_from", "_last_ms", "_text")

    def __init__(self, text: str) -> None:
        self._folded = _lower(text)
        self._text = text
        self._from = 0
        self._last_ms = 0.0

    def place(self, word: str, at_ms: float) -> WordTime | None:
        """Where `word` is, if it comes behind those found before."""
        wanted = _lower(word).strip(_MARKS)
        if not wanted:
            return None
        found = self._next_word(wanted)
        if found < 0:
            return None
        self._from = found + len(wanted)
        self._last_ms = max(self._last_ms, at_ms, 0.0)
        return WordTime(found, self._last_ms)

    @property
    def complete(self) -> bool:
        """The last word has been placed."""
        return not any(char.isalnum() for char in self._text[self._from :])

    def _begins_word(self, at: int) -> bool:
        # Languages without spaces begin words anywhere.
        return at == 0 or not self._text[at - 1].isalnum() or ord(self._text[at]) > 0x2E80

    def _next_word(self, wanted: str) -> int:
        # "a" is not the one in "Saturday".
        end = self._from + MAX_SKIP_CHARS + len(wanted)
        at = self._folded.find(wanted, self._from, end)
        while at >= 0 and not self._begins_word(at):
            at = self._folded.find(wanted, at + 1, end)
        return at


def _lower(text: str) -> str:
    """In small letters, of the same length: places must stay the text's."""
    return "".join(char.lower() if len(char.lower()) == 1 else char for char in text)
