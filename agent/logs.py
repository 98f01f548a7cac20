"""Log lines for people or for machines, without what callers said and who they are.

`PARLEY_LOG_FORMAT=json` writes one JSON object a line, with the ids of call and turn where a line has them.
Numbers and addresses of people are taken out of every line unless `PARLEY_LOG_PERSONAL=1`: log files travel
further than anybody means them to.

A line belongs to a call if it says so: by `extra={"call": …, "turn": …}`, or by a message that begins with
`call %s`, as those of calls do.
"""

import logging
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from agent.errors import ConfigError

NUMBER, ADDRESS = "<number>", "<address>"
_ADDRESS = re.compile(r"\b(sips?:)?[\w.+-]+@[\w-]+(\.[\w-]+)*")
_NUMBER = re.compile(r"(?<![\w.:/-])(?!\d{4}-\d\d-\d\d)\+?\(?\d(?:[ ()/-]{0,2}\d){6,14}(?![\w.:/-]*\w)")
"""Seven digits or more, with or without +, brackets, blanks and dashes (E.164 has 15 at most); no dates, IP
addresses or parts of identifiers."""
_CALL = "call %s"
RECENT_PROBLEMS = 50
MAX_TEXT = 500
"""Characters of a message that are kept for the dashboard."""


def redact(text: str) -> str:
    """`text` without telephone numbers, mail and SIP addresses."""
    return _NUMBER.sub(NUMBER, _ADDRESS.sub(ADDRESS, text))


def ids(record: logging.LogRecord) -> dict[str, Any]:
    """`call` and `turn` of a line, where it has them."""
    found: dict[str, Any] = {name: vars(record)[name] for name in ("call", "turn") if name in vars(record)}
    arguments = record.args
    if (
        "call" not in found
        and isinstance(arguments, tuple)
        and arguments
        and str(record.msg).startswith(_CALL)
    ):
        found["call"] = str(arguments[0])
    return found


class TextFormatter(logging.Formatter):
    """Lines for people."""

    def __init__(self, *, personal: bool = False) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._personal = personal

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback if there is one."""
        text = super().format(record)
        return text if self._personal else redact(text)


class JsonFormatter(logging.Formatter):
    """Lines for machines: `at` (RFC 3339, UTC), `level`, `logger`, `message`, `call`, `turn`, `error`."""

    def __init__(self, *, personal: bool = False) -> None:
        super().__init__()
        self._personal = personal

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "at": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._clean(record.getMessage()),
            **ids(record),
        }
        if record.exc_info:
            line["error"] = self._clean(self.formatException(record.exc_info))
        return orjson.dumps(line, default=str).decode()

    def _clean(self, text: str) -> str:
        return text if self._personal else redact(text)


@dataclass(frozen=True, slots=True)
class Noted:
    """A warning or error, as the dashboard shows it."""

    number: int
    unix_s: float
    level: str
    logger: str
    text: str
    call: str


class RecentProblems(logging.Handler):
    """Keeps the last warnings and errors, without personal data. Bounded; safe from any thread."""

    def __init__(self, size: int = RECENT_PROBLEMS) -> None:
        super().__init__(logging.WARNING)
        self.noted: deque[Noted] = deque(maxlen=size)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`; called under its lock."""
        self.count += 1
        text = redact(record.getMessage())[:MAX_TEXT]
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text} ({type(record.exc_info[1]).__name__})"
        self.noted.append(
            Noted(
                self.count, record.created, record.levelname.lower(), record.name, text,
                str(ids(record).get("call", "")),
            )
        )  # fmt: skip


def set_up(environ: Mapping[str, str]) -> None:
    """Configure the root logger, unless somebody has. Raises `ConfigError` for an unknown level or format."""
    level = log_level(environ)
    personal = environ.get("PARLEY_LOG_PERSONAL", "").strip() == "1"
    form = environ.get("PARLEY_LOG_FORMAT") or "text"
    if form not in ("text", "json"):
        raise ConfigError(f"PARLEY_LOG_FORMAT={form!r}: use text or json")
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter(personal=personal) if form == "json" else TextFormatter(personal=personal)
    )
    logging.basicConfig(level=level, handlers=[handler])


def log_level(environ: Mapping[str, str]) -> int:
    """`PARLEY_LOG_LEVEL`; INFO unless told. Raises `ConfigError`."""
    name = environ.get("PARLEY_LOG_LEVEL") or "INFO"
    level = logging.getLevelNamesMapping().get(name.upper())
    if level is None:
        raise ConfigError(f"PARLEY_LOG_LEVEL={name!r}: use DEBUG, INFO, WARNING or ERROR")
    return level
