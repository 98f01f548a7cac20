"""What the agent file may say about Cartesia. Pure.

Sheet: `protocols/providers/cartesia.md`, 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.errors import ConfigError

DEFAULT_KEY_NAME = "CARTESIA_API_KEY"
DEFAULT_MODEL = "sonic-3.5"
DEFAULT_VERSION = "2026-03-01"
DEFAULT_VOICE = "a0e99841-438c-4a64-b679-ae501e7d6091"
"""The voice of Cartesia's own examples (sheet 2): better than no speech where none was chosen."""
_NAMES = frozenset(("api_key_name", "base_url", "model", "voice", "version", "continuations"))


@dataclass(frozen=True, slots=True)
class Options:
    """The provider's entry in the agent file's `tts` chain."""

    model: str = DEFAULT_MODEL
    voice: str | None = None
    """For all languages; goes before the agent file's `voices`, which may be meant for another provider."""
    voices: Mapping[str, str] = field(default_factory=dict)
    """The same by language: the agent file's `voice` with a table in place of a name."""
    version: str = DEFAULT_VERSION
    """`Cartesia-Version`: mandatory, and older ones behave otherwise (sheet 1)."""
    continuations: bool = False
    """Keep a context open for the reply's next sentence, so that its melody goes on. Off: a plan's limit
    counts open contexts, and the end of a sentence is then known by `flush_done` alone (sheet 2)."""

    key_name: str = DEFAULT_KEY_NAME
    """The environment variable that holds the key."""

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> "Options":
        """Raises `ConfigError` that names the option and what is allowed."""
        if unknown := sorted(options.keys() - _NAMES):
            raise ConfigError(f"cartesia: no option {unknown[0]!r}: use {', '.join(sorted(_NAMES))}")
        for name in ("model", "version", "api_key_name"):
            if not isinstance(options.get(name, ""), str):
                raise ConfigError(f"cartesia: {name} is text")
        continuations = options.get("continuations", False)
        if not isinstance(continuations, bool):
            raise ConfigError("cartesia: continuations is true or false")
        voice = options.get("voice")
        table = voice if isinstance(voice, Mapping) else {}
        if not (voice is None or isinstance(voice, str) or table):
            raise ConfigError("cartesia: voice is a voice's id, or a table of ids by language")
        if not all(isinstance(key, str) and isinstance(value, str) for key, value in table.items()):
            raise ConfigError("cartesia: voice takes a voice's id for each language")
        return cls(
            options.get("model") or DEFAULT_MODEL,
            voice if isinstance(voice, str) else None,
            {str(key).casefold(): str(value) for key, value in table.items()},
            options.get("version") or DEFAULT_VERSION,
            continuations,
            options.get("api_key_name") or DEFAULT_KEY_NAME,
        )

    def voice_for(self, language: str, asked: str | None) -> str:
        """The voice for a sentence: this provider's own choice, then the agent file's, then the default."""
        tag = language.casefold()
        own = self.voices.get(tag) or self.voices.get(tag.split("-", maxsplit=1)[0]) or self.voice
        return own or asked or DEFAULT_VOICE
