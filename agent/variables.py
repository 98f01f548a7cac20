"""A group of environment variables with a common prefix, read and checked at start. Pure.

For transports, which read more than `agent.settings` does: a value that cannot be read, and a name
that does not exist, are an error that says what is allowed.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

from agent.errors import ConfigError

T = TypeVar("T")


class Variables:
    """The variables that begin with `prefix`; remembers which names exist."""

    def __init__(self, environ: Mapping[str, str], prefix: str) -> None:
        self._environ = environ
        self._prefix = prefix
        self._known: set[str] = set()

    def read(self, name: str, reader: Callable[[str], T]) -> T | None:
        """The value as `reader` has it; None where it is not set or empty.

        Raises `ConfigError` with what `reader` says when it raises `ValueError`.
        """
        variable = self._prefix + name
        self._known.add(variable)
        text = self._environ.get(variable, "").strip()
        if not text:
            return None
        try:
            return reader(text)
        except ValueError as error:
            raise ConfigError(f"{variable}: {error}") from None

    def check_names(self) -> None:
        """Once all have been read. Raises `ConfigError` for a name that nobody has asked for."""
        unknown = sorted(
            name for name in self._environ if name.startswith(self._prefix) and name not in self._known
        )
        if unknown:
            raise ConfigError(
                f"no such setting: {', '.join(unknown)}; there are {', '.join(sorted(self._known))}"
            )


def one_of(*allowed: str) -> Callable[[str], str]:
    """A reader of one of some words, in any case."""

    def read(text: str) -> str:
        for value in allowed:
            if text.casefold() == value.casefold():
                return str(value)
        raise ValueError(f"{text!r} is not one of {', '.join(allowed)}")

    return read
