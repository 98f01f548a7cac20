"""Where in a text a voice has got to: speaking time, whole words, and a platform's account of it. Pure."""

import re

CHARS_PER_S = 14.0
"""Estimate of a platform voice's speaking rate (Twilio sheet, 6.1)."""
IDEOGRAPH = 3.0
"""Chinese and Japanese characters and Korean syllables are spoken at 4 to 6 a second: each takes the time of
three letters."""

_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_IDEOGRAPH = re.compile(f"[{_IDEOGRAPHS}]")
_TOKEN = re.compile(rf"[{_IDEOGRAPHS}]|[^\s{_IDEOGRAPHS}]+")
"""A word with the punctuation on it, or one character of a script that is written without spaces."""
_WINDOW = 4
"""Words that a platform may leave out of its account (a number, a sign) before it is lost."""
_SURE_CHARS = 12
"""A fragment with this many letters and digits may be further on: an account in between was lost."""


def speaking_ms(text: str) -> float:
    """How long a voice takes for `text`, estimated."""
    letters = len(text) if text.isascii() else len(text) + (IDEOGRAPH - 1) * len(_IDEOGRAPH.findall(text))
    return letters / CHARS_PER_S * 1000


def chars_in(text: str, duration_ms: float) -> int:
    """How many characters of `text` a voice speaks in `duration_ms`, estimated: inverse of `speaking_ms`."""
    letters = duration_ms / 1000 * CHARS_PER_S
    if letters <= 0:
        return 0
    if text.isascii():
        return min(int(letters + 1e-6), len(text))
    for count, char in enumerate(text):
        letters -= IDEOGRAPH if _IDEOGRAPH.match(char) else 1.0
        if letters < -1e-6:
            return count
    return len(text)


def whole_words(text: str, offset: int) -> int:
    """`offset` moved back to the end of the last whole word before it.

    "don't" and "3.50" are one word each: half of one may mean the opposite. Punctuation behind a word may be
    missing.
    """
    if offset >= len(text):
        return len(text)
    begin = max(offset, 0)
    while begin > 0 and not _parts(text[begin - 1]):
        begin -= 1
    token = _TOKEN.match(text, begin)
    if token is None or token.end() <= offset:
        return max(offset, 0)
    size = len(token[0])
    while size > 0 and not token[0][size - 1].isalnum():
        size -= 1
    return offset if 0 < size <= offset - begin else begin


def _parts(char: str) -> bool:
    return char.isspace() or _IDEOGRAPH.match(char) is not None


def squeezed(text: str) -> str:
    """Letters and digits only, in small letters: what is left of a text that a platform has normalised."""
    return "".join(filter(str.isalnum, text.casefold()))


def find_all(text: str, fragment: str) -> list[int]:
    """Ends of all places of `fragment` in `text`, by letters and digits alone, in order."""
    wanted = squeezed(fragment)
    if not wanted:
        return []
    letters, ends = _letters(text, 0)
    found = []
    at = letters.find(wanted)
    while at >= 0:
        found.append(ends[at + len(wanted) - 1])
        at = letters.find(wanted, at + 1)
    return found


def follow(text: str, played: str, offset: int) -> int:
    """A platform has `played` some more of `text`, of which `offset` characters were done: the new offset.

    What it played in other words (a number read out) is passed over; what is not in the text moves nothing.
    """
    wanted = squeezed(played)
    if not wanted:
        return offset
    letters, ends = _letters(text, offset)
    at = letters.find(wanted)
    if at == 0 or (at > 0 and len(wanted) >= _SURE_CHARS):
        return _with_punctuation(text, ends[at + len(wanted) - 1])
    return _follow_words(text, played, offset)


def _follow_words(text: str, played: str, offset: int) -> int:
    said = [(token, squeezed(token[0])) for token in _TOKEN.finditer(text, offset)]
    said = [(token, word) for token, word in said if word]
    done = matched = unknown = 0
    for token in _TOKEN.finditer(played):
        word = squeezed(token[0])
        ahead = [at for at in range(done, min(done + _WINDOW, len(said))) if said[at][1] == word]
        if ahead:
            done = ahead[0] + 1
            matched, unknown = matched + 1, 0
        elif word:
            unknown += 1
    if unknown and not played.strip().isdigit():
        # The end of it was read out in other words: one word at least, and numbers take several.
        first = done
        while done < len(said) and done - first < unknown and not said[done][1].isalpha():
            done += 1
        if done == first and matched:
            done += 1
    return said[min(done, len(said)) - 1][0].end() if done and said else offset


def _letters(text: str, start: int) -> tuple[str, list[int]]:
    """Letters and digits of `text` from `start` on, and where in `text` each of them ends."""
    if text.isascii():
        # Four times as quick, for every interruption.
        rest = text[start:]
        return squeezed(rest), [end for end, char in enumerate(rest, start + 1) if char.isalnum()]
    letters: list[str] = []
    ends: list[int] = []
    for end, char in enumerate(text[start:], start + 1):
        for letter in char.casefold():
            if letter.isalnum():
                letters.append(letter)
                ends.append(end)
    return "".join(letters), ends


def _with_punctuation(text: str, offset: int) -> int:
    end = offset
    while end < len(text) and not _parts(text[end]) and not text[end].isalnum():
        end += 1
    return end if end == len(text) or _parts(text[end]) else offset
