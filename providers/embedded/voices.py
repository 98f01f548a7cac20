"""Which espeak-ng voice speaks a language, and which voices there are. Reads the names of its data files."""

import re
from pathlib import Path

import espeakng_loader

# espeak-ng 1.52 files British English under plain "en" and the French of France under plain "fr".
_FILES = {
    "en": "en-us", "en-gb": "en", "en-za": "en", "en-au": "en", "en-nz": "en", "en-ie": "en", "en-in": "en",
    "es-es": "es", "es-mx": "es-419", "es-us": "es-419", "es-ar": "es-419", "es-co": "es-419",
    "fr-fr": "fr", "fr-ca": "fr", "pt-pt": "pt", "zh": "cmn", "zh-cn": "cmn", "zh-tw": "cmn", "zh-hk": "yue",
    "no": "nb",
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9_\-]{1,40}(\+[A-Za-z0-9_\-]{1,40})?")


class Voices:
    """The voices of the installed espeak-ng."""

    def __init__(self, data: Path | None = None) -> None:
        """`data`: another `espeak-ng-data` folder than the one that the loader brings."""
        data = data or Path(espeakng_loader.get_data_path())
        self._languages = {
            file.name.casefold(): file.name for file in (data / "lang").rglob("*") if file.is_file()
        }
        variants = (file.name for file in (data / "voices" / "!v").iterdir())
        self._variants = {name for name in variants if _NAME.fullmatch(f"en+{name}")}

    def of_language(self, language: str) -> str | None:
        """The voice for a BCP 47 tag: of its region, else of its language; None: there is none."""
        tag = language.casefold()
        while tag:
            found = self._languages.get(_FILES.get(tag, tag))
            if found is not None:
                return found
            tag = tag.rpartition("-")[0]
        return None

    def named(self, voice: str) -> str | None:
        """The voice of that name, such as `en-gb`, `es-419` or `en-us+f3`; None: there is none."""
        if not _NAME.fullmatch(voice):
            return None
        name, plus, variant = voice.partition("+")
        folded = name.casefold()
        # An author who writes "en" as a voice means the same as with "en" as a language.
        found = self._languages.get(_FILES.get(folded, folded))
        return (
            found + plus + variant if found is not None and (not plus or variant in self._variants) else None
        )

    def allowed(self) -> str:
        """All names, for the message about a wrong one."""
        names = sorted({*(name.casefold() for name in self._languages), *_FILES})
        return (
            f"{', '.join(names)}; each also with a variant such as +f2: {', '.join(sorted(self._variants))}"
        )
