"""What a run shows while it lasts: a live table on a terminal, a line now and then elsewhere."""

import sys
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from loadtest.scenarios.result import Point

_LINE_EVERY_S = 5.0
"""Where there is no terminal."""
_SHOWN = 14
"""Latest seconds in the live table."""
_COLUMNS = ("second", "calls", "turns", "errors", "p50 ms", "p95 ms", "CPU %", "RSS MB")


class Progress(Protocol):
    """Told by the runner."""

    def say(self, text: str) -> None:
        """Something began, or happened."""

    def point(self, point: Point) -> None:
        """A second passed."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class LiveProgress:
    """On a terminal."""

    def __init__(self, title: str, console: Console) -> None:
        self._title = title
        self._doing = ""
        self._points: list[Point] = []
        self._live = Live(console=console, refresh_per_second=2, transient=True)
        self._console = console

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)

    def say(self, text: str) -> None:
        """See `Progress`."""
        self._doing = text
        self._console.print(text, highlight=False)
        self._show()

    def point(self, point: Point) -> None:
        """See `Progress`."""
        self._points = [*self._points[1 - _SHOWN :], point]
        self._show()

    def _show(self) -> None:
        table = Table(
            title=f"{self._title}: {self._doing}  (Ctrl-C ends it with a report)", title_justify="left"
        )
        for name in _COLUMNS:
            table.add_column(name, justify="right")
        for point in self._points:
            table.add_row(*cells(point), style="red" if point["errors"] else None)
        self._live.update(table)


class PlainProgress:
    """In a log."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._shown_s = -_LINE_EVERY_S

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, text: str) -> None:
        """See `Progress`."""
        print(f"{self._title}: {text}", file=sys.stderr, flush=True)

    def point(self, point: Point) -> None:
        """See `Progress`."""
        if point["t_s"] - self._shown_s >= _LINE_EVERY_S or point["errors"]:
            self._shown_s = point["t_s"]
            text = ", ".join(
                f"{name} {cell}" for name, cell in zip(_COLUMNS, cells(point), strict=True) if cell != "-"
            )
            print(f"{self._title}: {text}", file=sys.stderr, flush=True)


def progress_for(title: str, console: Console) -> Progress:
    """A live table where there is a terminal."""
    return LiveProgress(title, console) if console.is_terminal else PlainProgress(title)


def cells(point: Point) -> list[str]:
    """One row, by `_COLUMNS`."""
    calls = (
        f"{point['calls']}/{point['wanted']}" if point["calls"] != point["wanted"] else str(point["calls"])
    )
    return [
        f"{point['t_s']:.0f}",
        calls,
        str(point["turns"]),
        str(point["errors"]),
        *(_number(point.get(name)) for name in ("p50_ms", "p95_ms", "cpu_percent", "rss_mb")),
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
