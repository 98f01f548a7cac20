"""Cuts a stream of generated text into pieces worth speaking.

The first piece may be a clause, since the caller is waiting for it; later pieces are whole sentences, which
sound better and cost fewer requests.
"""

import re

MIN_CLAUSE_CHARS = 24
"""A first clause shorter than this ("Well,") would be over before the next piece is synthesised."""
MAX_CHARS = 280
"""A sentence longer than this is cut at a comma or a space: about 20 s of speech."""

# An end of sentence: CJK marks stand alone, others need a space behind (or a newline), so that "3.5" and
# "example.com" stay whole.
_SENTENCE_END = re.compile(r"[.!?…]+[\"')\]»”]*(?=\s)|[。！？]+[」』”’）]*|\n+")
_CLAUSE_END = re.compile(r"[,;:–—]+(?=\s)|[，；：、]+")
# Not ends of sentences, in the languages that ship phrases.
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:mr|mrs|ms|dr|prof|st|vs|approx|e\.g|i\.e|etc|sr|sra|dra|ud|mme|mlle|m|z\.b|bzw|ca|[a-z])\.\Z",
    re.IGNORECASE,
)
# "No. 5" is one, "No. We are closed." is an answer that has to leave at once.
_NUMBER_SIGN = re.compile(r"(?:^|[\s(])(?:no|nr)\.\Z", re.IGNORECASE)
_LIST_NUMBER = re.compile(r"(?:^|\n)\s*\d{1,2}\.\Z")
_DAY = re.compile(r"(?:^|\s)\d{1,2}\.\Z")
_MONTHS = tuple(
    "Januar Jänner Februar März April Mai Juni Juli August September Oktober November Dezember".split()
)
"""What makes "am 5. Mai" a date in German."""


class SentenceSplitter:
    """Feed text, get pieces. Pure."""

    __slots__ = ("_first", "_text")

    def __init__(self) -> None:
        self._text = ""
        self._first = True

    def feed(self, text: str) -> list[str]:
        """Add generated text; returns the pieces that it completed, in order, stripped."""
        self._text += text
        pieces: list[str] = []
        while (cut := self._cut()) is not None:
            piece, self._text = self._text[:cut].strip(), self._text[cut:].lstrip()
            if speakable(piece):
                pieces.append(piece)
                self._first = False
        return pieces

    def flush(self) -> str | None:
        """The text is complete: what is left, or None."""
        piece, self._text = self._text.strip(), ""
        return piece if speakable(piece) else None

    def _cut(self) -> int | None:
        text = self._text
        for match in _SENTENCE_END.finditer(text, 0, MAX_CHARS + 1):
            if not _goes_on(text[: match.end()], text[match.end() :].lstrip()):
                return match.end()
        if self._first:
            for match in _CLAUSE_END.finditer(text):
                if match.start() >= MIN_CLAUSE_CHARS:
                    return match.end()
        if len(text) > MAX_CHARS:
            clauses = [match.end() for match in _CLAUSE_END.finditer(text, 0, MAX_CHARS)]
            space = text.rfind(" ", 0, MAX_CHARS)
            return clauses[-1] if clauses else space if space > 0 else MAX_CHARS
        return None


def _goes_on(before: str, behind: str) -> bool:
    """True if the sentence does not end after `before`, or what would tell has not been generated yet."""
    if _ABBREVIATION.search(before) or _LIST_NUMBER.search(before):
        return True
    if _NUMBER_SIGN.search(before):
        return not behind or behind[0].isdigit()
    if _DAY.search(before):
        return any(behind.startswith(month) or month.startswith(behind) for month in _MONTHS)
    return False


def speakable(text: str) -> bool:
    """True if there is anything to say: a letter or a digit."""
    return any(char.isalnum() for char in text)
