"""Names of espeak-ng's voices."""

import pytest

from providers.embedded.voices import Voices

VOICES = Voices()


@pytest.mark.parametrize(
    ("language", "voice"),
    [
        ("en", "en-US"),
        ("en-US", "en-US"),
        ("en-GB", "en"),
        ("en-ZZ", "en-US"),
        ("es", "es"),
        ("es-MX", "es-419"),
        ("fr", "fr"),
        ("fr-FR", "fr"),
        ("de-AT", "de"),
        ("pt-BR", "pt-BR"),
        ("zh-Hans-CN", "cmn"),
        ("zh-HK", "yue"),
        ("xx", None),
        ("", None),
        ("../../etc/passwd", None),
    ],
)
def test_a_language_finds_its_voice(language: str, voice: str | None) -> None:
    assert VOICES.of_language(language) == voice


@pytest.mark.parametrize(
    ("name", "voice"),
    [
        ("en-gb", "en"),
        ("EN-US+f3", "en-US+f3"),
        ("es-419", "es-419"),
        ("en-us+nobody", None),
        ("nobody", None),
        ("", None),
        ("+f3", None),
        ("../en", None),
    ],
)
def test_a_name_finds_its_voice(name: str, voice: str | None) -> None:
    assert VOICES.named(name) == voice


def test_all_names_are_allowed_that_are_listed() -> None:
    names, _, variants = VOICES.allowed().partition("; each also with a variant such as +f2: ")
    assert all(VOICES.named(name) for name in names.split(", "))
    assert all(VOICES.named(f"en-us+{variant}") for variant in variants.split(", ")[:20])
