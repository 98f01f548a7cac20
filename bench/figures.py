"""Measured costs against their targets, and the command line of the benches that have some."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured cost against its target."""

    name: str
    value: float
    unit: str
    target: float

    def line(self) -> str:
        """For people."""
        verdict = "ok" if self.value <= self.target else "MISSED"
        return f"{self.name:<58} {self.value:>9.3f} {self.unit:<10} (target {self.target:g})  {verdict}"


def parser(description: str | None, calls: str) -> argparse.ArgumentParser:
    """Takes `--calls` (what they are: `calls`) and `--json`."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--calls", type=int, default=200, help=f"{calls} (200)")
    made.add_argument("--json", type=Path, help="write the figures to this file")
    return made


def conclude(figures: Sequence[Figure], file: Path | None) -> int:
    """Print them, write them to `file` if given. Returns the exit status: 1 where a target is missed."""
    for figure in figures:
        print(figure.line())
    if file is not None:
        file.write_text(json.dumps({each.name: each.value for each in figures}, indent=1))
    return int(any(figure.value > figure.target for figure in figures))
