"""What the agent file may say about Deepgram. Pure.

Sheet: `protocols/providers/deepgram.md`, 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.errors import ConfigError

DEFAULT_KEY_NAME = "DEEPGRAM_API_KEY"
_SWITCHES: dict[str, bool] = {
    "smart_format": True,
    "punctuate": True,
    "numerals": False,
    "profanity_filter": False,
    "filler_words": False,
    "mip_opt_out": False,
}
"""Options that are passed on as they are, with our defaults."""
OPTIONS = frozenset(
    (
        "api_key_name",
        "base_url",
        "model",
        "language",
        "endpointing_ms",
        "keyterms",
        "phrase_keyterms",
        "tags",
        "batch_ms",
        "spares",
    )
) | frozenset(_SWITCHES)


@dataclass(frozen=True, slots=True)
class Options:
    """The provider's entry in the agent file's `stt` chain."""

    model: str = "nova-3"
    language: str | None = None
    """Deepgram's own code, instead of one made from the call's languages."""
    endpointing_ms: int | None = None
    """Deepgram's own silence detection. Off: our endpoint forces the final, and a final that Deepgram gave a
    moment before would leave our `Finalize` without an answer (sheet 2, rule 5)."""
    keyterms: tuple[str, ...] = ()
    phrase_keyterms: bool = True
    """Also send words from what callers are likely to say."""
    tags: tuple[str, ...] = ()
    switches: tuple[tuple[str, bool], ...] = tuple(_SWITCHES.items())
    batch_ms: int = 60
    """Audio per message: three frames. Deepgram takes 20 to 250 ms."""
    spares: bool = True
    """Keep one socket open for the next call."""
    key_name: str = DEFAULT_KEY_NAME
    """The environment variable that holds the key."""

    @property
    def takes_keyterms(self) -> bool:
        """Only the third generation does (sheet 2)."""
        return self.model.startswith("nova-3")

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> "Options":
        """Raises `ConfigError` that names the option and what is allowed."""
        if unknown := sorted(options.keys() - OPTIONS):
            raise ConfigError(f"deepgram: no option {unknown[0]!r}: use {', '.join(sorted(OPTIONS))}")
        batch_ms, endpointing = options.get("batch_ms", 60), options.get("endpointing_ms")
        if not _is_whole(batch_ms) or not 20 <= batch_ms <= 250:
            raise ConfigError("deepgram: batch_ms is 20 to 250")
        if endpointing is not None and (not _is_whole(endpointing) or endpointing < 10):
            raise ConfigError("deepgram: endpointing_ms is 10 or more; leave it out to switch it off")
        switches = {name: options.get(name, default) for name, default in _SWITCHES.items()}
        for name in ("spares", "phrase_keyterms", *switches):
            if not isinstance(options.get(name, True), bool):
                raise ConfigError(f"deepgram: {name} is true or false")
        return cls(
            _text(options, "model") or "nova-3",
            _text(options, "language"),
            endpointing,
            _texts(options, "keyterms"),
            options.get("phrase_keyterms", True),
            _texts(options, "tags"),
            tuple(switches.items()),
            batch_ms,
            options.get("spares", True),
            _text(options, "api_key_name") or DEFAULT_KEY_NAME,
        )


def _text(options: Mapping[str, Any], name: str) -> str | None:
    value = options.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"deepgram: {name} is text")
    return value


def _texts(options: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = options.get(name, ())
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"deepgram: {name} is a list of texts")
    return tuple(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
