"""How a word sounds to the recogniser: phones of the CMU dictionary (ARPABET without stress).

The CMU dictionary that ships with pocketsphinx knows American English. How the British say a word, and what a
name or a word of another language sounds like, is asked of espeak-ng, and its IPA mapped onto the nearest
English phones.
"""

import ctypes
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import espeakng_loader
from pocketsphinx import get_model_path

# espeak_ng.h: AUDIO_OUTPUT_SYNCHRONOUS, espeakCHARS_UTF8, espeakPHONEMES_IPA.
_OUTPUT_SYNCHRONOUS = 2
_CHARS_UTF8 = 1
_PHONEMES_IPA = 0x02

# IPA as espeak-ng writes it, longest first at matching; sounds that English lacks get their nearest.
_ARPABET = {
    "tʃ": "CH", "dʒ": "JH", "ts": "T S", "pf": "F",
    "aɪ": "AY", "aʊ": "AW", "eɪ": "EY", "oʊ": "OW", "əʊ": "OW", "ɔɪ": "OY", "ɔø": "OY", "ɔʏ": "OY",
    "ai": "AY", "au": "AW", "ei": "EY", "oi": "OY",
    "ɪə": "IH R", "eə": "EH R", "ʊə": "UH R", "ɚ": "ER", "ɜː": "ER", "ɝ": "ER", "ɜ": "ER", "əl": "AH L",
    "ɑː": "AA", "ɑ": "AA", "ɒ": "AA", "a": "AA", "æ": "AE", "ɐ": "AH", "ʌ": "AH", "ə": "AH", "ɔː": "AO",
    "ɔ": "AO", "ɔ̃": "AO N", "ɑ̃": "AA N", "ɛ̃": "AE N", "œ̃": "AH N", "e": "EY", "ɛ": "EH", "i": "IY",
    "iː": "IY", "ɪ": "IH", "ᵻ": "IH", "o": "OW", "u": "UW", "uː": "UW", "ʊ": "UH", "y": "UW", "ʏ": "UH",
    "ø": "ER", "œ": "ER", "b": "B", "β": "B", "d": "D", "ð": "DH", "f": "F", "ɡ": "G", "g": "G", "ɣ": "G",
    "h": "HH", "ç": "HH",
    "x": "HH", "χ": "HH", "j": "Y", "ʝ": "Y", "k": "K", "l": "L", "ɫ": "L", "ʎ": "Y", "m": "M", "n": "N",
    "ŋ": "NG", "ɲ": "N Y", "p": "P", "ɹ": "R", "r": "R", "ɾ": "R", "ʁ": "R", "s": "S", "ʃ": "SH", "t": "T",
    "θ": "TH", "v": "V", "w": "W", "ɥ": "W", "z": "Z", "ʒ": "ZH", "ʔ": "",
}  # fmt: skip
_SWITCH = re.compile(r"\([a-z-]+\)")  # espeak-ng's sign that it says a word as another language does
_MARKS = re.compile(r"[ˈˌː̩̃_\s\u200d]")
_BY_LENGTH = sorted(_ARPABET, key=len, reverse=True)


class Dictionary:
    """The CMU dictionary that ships with pocketsphinx. It is read again for words not asked for before: that
    takes 80 ms, keeping it would take 25 MB."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, ...]] = {}

    def phones(self, words: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
        """Each word's pronunciations, the most common first; none of a word that it lacks."""
        asked = set(words)
        if new := asked - self._found.keys():
            found: dict[str, list[str]] = {word: [] for word in new}
            with Path(get_model_path("en-us/cmudict-en-us.dict")).open(encoding="utf-8") as lines:
                for line in lines:
                    # "oh OW", and further ways as "a(2) EY".
                    entry, _, phones = line.partition(" ")
                    ways = found.get(entry.partition("(")[0])
                    if ways is not None:
                        ways.append(phones.strip())
            self._found.update((word, tuple(ways)) for word, ways in found.items())
        return {word: self._found[word] for word in asked}


class Espeak:
    """espeak-ng's idea of a word's sounds. The library is global: one object per process, one thread."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        if self._library.espeak_Initialize(_OUTPUT_SYNCHRONOUS, 0, data, 0) < 0:
            raise OSError("espeak-ng did not initialise")
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self._voice = ""

    def phones(self, word: str, language: str) -> str | None:
        """ARPABET phones of `word`, or None where espeak-ng has no such voice or no such letters."""
        if language != self._voice:
            if self._library.espeak_SetVoiceByName(language.lower().encode()) != 0:
                return None
            self._voice = language
        text = ctypes.c_char_p(word.encode())
        ipa = self._library.espeak_TextToPhonemes(ctypes.byref(text), _CHARS_UTF8, _PHONEMES_IPA)
        return arpabet((ipa or b"").decode())


def arpabet(ipa: str) -> str | None:
    """Map espeak-ng's IPA onto ARPABET phones. None if nothing is left, or it holds an unknown sign."""
    ipa = _SWITCH.sub("", ipa)
    found: list[str] = []
    at = 0
    while at < len(ipa):
        sign = next((sign for sign in _BY_LENGTH if ipa.startswith(sign, at)), None)
        if sign is not None:
            found.extend(_ARPABET[sign].split())
            at += len(sign)
        elif _MARKS.match(ipa[at]):
            at += 1
        else:
            return None
    return " ".join(found) or None
