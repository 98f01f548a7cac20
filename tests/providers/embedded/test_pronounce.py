"""How words sound, in the recogniser's phones."""

import re
from pathlib import Path

import pocketsphinx
import pytest

from providers.embedded.pronounce import Dictionary, Espeak, arpabet


@pytest.fixture(scope="module")
def espeak() -> Espeak:
    return Espeak()


def test_the_dictionary_has_every_way_to_say_a_word_the_common_one_first() -> None:
    dictionary = Dictionary()
    assert dictionary.phones(["zero", "oh"]) == {"zero": ("Z IH R OW", "Z IY R OW"), "oh": ("OW",)}
    assert dictionary.phones(["oh", "qwrtz", "a"]) == {"oh": ("OW",), "qwrtz": (), "a": ("AH", "EY")}


def test_british_vowels_differ_from_the_american_dictionary(espeak: Espeak) -> None:
    assert espeak.phones("half", "en") == "HH AA F"


@pytest.mark.parametrize(("word", "phones"), [("martes", "M AA R T EY S"), ("sí", "S IY")])
def test_spanish_words_are_written_with_english_phones(espeak: Espeak, word: str, phones: str) -> None:
    assert espeak.phones(word, "es") == phones


def test_every_phone_is_one_that_the_model_knows(espeak: Espeak) -> None:
    model = Path(pocketsphinx.get_model_path()) / "en-us" / "en-us" / "mdef"
    known = set(re.findall(rb"[A-Z]{1,2}(?=\x00|\s)", model.read_bytes()))
    words = "appointment vaccination thought measure judge young thing huevo mañana llamar guerra".split()
    for voice in ("en", "es", "de", "fr"):
        for word in words:
            phones = espeak.phones(word, voice)
            assert phones
            assert {phone.encode() for phone in phones.split()} <= known, (voice, word, phones)


def test_a_language_that_espeak_does_not_have_has_no_sounds(espeak: Espeak) -> None:
    assert espeak.phones("hello", "tlh-nonsense") is None
    assert espeak.phones("half", "en") == "HH AA F"


def test_signs_that_nobody_knows_are_not_guessed_at() -> None:
    assert arpabet("ǃx") is None
    assert arpabet("") is None
    assert arpabet("ˈhəloʊ") == "HH AH L OW"
