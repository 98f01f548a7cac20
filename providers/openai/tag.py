"""The language tag at the beginning of a reply, by which a model says that it goes on in another one.
Pure."""

from collections.abc import Sequence

from agent.providers import LanguageSwitch, TextDelta


class TagReader:
    """Takes the text as it comes; holds back only what may still become a tag."""

    __slots__ = ("_held", "_open", "_tags")

    def __init__(self, languages: Sequence[str], current: str) -> None:
        """`languages` are the agent's; a tag of any but `current` is a switch."""
        self._tags = {
            f"[{language.lower()}]": None if language == current else language for language in languages
        }
        self._open = len(languages) > 1
        self._held = ""

    def read(self, delta: TextDelta) -> list[TextDelta | LanguageSwitch]:
        """What can be spoken now."""
        if not self._open:
            return [delta]
        self._held += delta.text
        text = self._held.lstrip()
        lowered = text.lower()
        for tag, language in self._tags.items():
            if lowered.startswith(tag):
                rest = TextDelta(text[len(tag) :].lstrip())
                return self._let_go([LanguageSwitch(language)] if language else [], rest)
        if any(tag.startswith(lowered) for tag in self._tags):
            return []
        return self._let_go([], TextDelta(self._held))

    def end(self) -> list[TextDelta | LanguageSwitch]:
        """The reply is over: what was held back."""
        return self._let_go([], TextDelta(self._held)) if self._open else []

    def _let_go(
        self, switch: list[TextDelta | LanguageSwitch], rest: TextDelta
    ) -> list[TextDelta | LanguageSwitch]:
        self._open, self._held = False, ""
        return [*switch, rest] if rest.text else switch
