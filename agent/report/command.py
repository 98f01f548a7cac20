"""`parley report --since 24h`: trends and percentiles of what the server has stored."""

import argparse
import dataclasses
import json
import os
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from agent.errors import ConfigError
from agent.report.figures import Figures, Report, make_report
from agent.report.page import report_page
from agent.store import open_store, store_path

_UNITS = {"m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_BARS = " ▁▂▃▄▅▆▇█"


class ReportCommand:
    """The command `report`. No state."""

    help = "trends and percentiles of the calls of the last hours or days"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--since", type=_span, default=_span("24h"), metavar="SPAN", help="such as 90m, 24h, 7d (24h)"
        )
        parser.add_argument("--store", type=Path, metavar="FILE", help="the server's PARLEY_STORE")
        parser.add_argument("--html", type=Path, metavar="FILE", help="write a page as well")
        parser.add_argument("--json", type=Path, metavar="FILE", help="save all figures")

    def run(self, args: argparse.Namespace) -> int:
        """Report. Returns the exit status."""
        path = args.store or store_path(os.environ)
        if path is None:
            raise ConfigError("PARLEY_STORE=off: nothing is stored; give --store FILE")
        try:
            with closing(open_store(path, write=False)) as store:
                until_unix_s = float(store.execute("SELECT unixepoch()").fetchone()[0])
                report = make_report(store, until_unix_s - args.since, until_unix_s)
        except (sqlite3.Error, ValueError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from None
        print_report(Console(), report)
        if args.html is not None:
            args.html.write_text(report_page(report), encoding="utf-8")
        if args.json is not None:
            args.json.write_text(json.dumps(dataclasses.asdict(report), indent=2) + "\n", encoding="utf-8")
        return 0


def _span(text: str) -> float:
    """Seconds of `90m`, `24h`, `7d`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", text.strip())
    if found is None or float(found[1]) <= 0:
        raise argparse.ArgumentTypeError("expected a number and m, h, d or w, such as 24h")
    return float(found[1]) * _UNITS[found[2]]


def print_report(console: Console, report: Report) -> None:
    """For the terminal."""
    console.print(
        f"{report.calls} calls, {report.turns} turns from {_when(report.since_unix_s)} "
        f"to {_when(report.until_unix_s)} (UTC)",
        highlight=False,
    )
    if not report.turns:
        console.print("Nothing is stored of that time.")
        return
    if report.causes:
        ended = ", ".join(f"{count} {cause.replace('_', ' ')}" for cause, count in report.causes.items())
        console.print(f"ended: {ended}", highlight=False)
    console.print(
        f"{report.interrupted} turns interrupted, {report.unanswered} unanswered, "
        f"{report.counters.get('provider_failures', 0)} provider failures, "
        f"{report.counters.get('underruns', 0)} underruns",
        highlight=False,
    )
    if report.blown:
        console.print(f"{report.over_budget} turns over a budget: {_blown(report)}", highlight=False)
    console.print(_trend(report), highlight=False)
    console.print(_table("stage", report.stages))
    for group, values in report.by.items():
        console.print(_table(f"response by {group}", values))
    if report.providers:
        console.print(_table("provider", report.providers))


def _blown(report: Report) -> str:
    """Such as "llm first token 3 (filler 2, none 1)"."""
    found = []
    for stage, actions in report.blown.items():
        done = ", ".join(f"{action} {count}" for action, count in sorted(actions.items()))
        found.append(f"{stage} {sum(actions.values())} ({done})".replace("_", " "))
    return "; ".join(found)


def _trend(report: Report) -> str:
    medians = [step.response.p50 if step.response is not None else 0.0 for step in report.trend]
    highest = max(medians, default=0.0) or 1.0
    bars = "".join(_BARS[round(value / highest * (len(_BARS) - 1))] for value in medians)
    return f"median response  [{bars}]  highest {highest:.0f} ms"


def _table(title: str, rows: dict[str, Figures]) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    table.add_column(title, justify="left", min_width=24)
    for name in ("count", "p50", "p95", "p99", "max"):
        table.add_column(name, justify="right")
    for name, figures in rows.items():
        values = (figures.p50, figures.p95, figures.p99, figures.max)
        table.add_row(name, str(figures.count), *(f"{value:,.1f}" for value in values))
    return table


def _when(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M")
