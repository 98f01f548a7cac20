"""A tag at the beginning of a reply switches the language; nothing else is held back."""

import pytest

from agent.providers import LanguageSwitch, TextDelta
from providers.openai.tag import TagReader


def read(*pieces: str, languages: tuple[str, ...] = ("en", "es-MX")) -> list[TextDelta | LanguageSwitch]:
    reader = TagReader(languages, "en")
    return [event for piece in pieces for event in reader.read(TextDelta(piece))] + reader.end()


@pytest.mark.parametrize(
    "pieces",
    [
        ("[es-MX] Claro", " que sí."),
        ("[", "es", "-MX", "]", " Claro", " que sí."),
        (" [ES-mx]Claro", " que sí."),
    ],
)
def test_a_tag_becomes_a_switch_however_it_is_cut(pieces: tuple[str, ...]) -> None:
    events = read(*pieces)
    assert events[0] == LanguageSwitch("es-MX")
    assert "".join(event.text for event in events if isinstance(event, TextDelta)).strip() == "Claro que sí."


def test_the_tag_of_the_current_language_is_only_dropped() -> None:
    assert read("[en] Yes.") == [TextDelta("Yes.")]


def test_text_without_a_tag_comes_at_once() -> None:
    reader = TagReader(("en", "es"), "en")
    assert reader.read(TextDelta("We")) == [TextDelta("We")]
    assert reader.read(TextDelta(" [es]")) == [TextDelta(" [es]")]


def test_what_only_began_like_a_tag_is_not_lost() -> None:
    assert read("[e", "tc]") == [TextDelta("[etc]")]
    assert read("[e") == [TextDelta("[e")]


def test_one_language_needs_no_tags() -> None:
    assert read("[en] Yes.", languages=("en",)) == [TextDelta("[en] Yes.")]
