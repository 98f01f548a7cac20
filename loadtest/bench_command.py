"""`parley bench`: run a scenario, list them, compare two runs."""

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from pathlib import Path

import uvloop
from pydantic import ValidationError
from rich.console import Console

from agent.clock import LoopClock
from agent.errors import ConfigError, ProviderError
from loadtest.report import terminal
from loadtest.report.compare import compare
from loadtest.report.json_file import read_json, write_json, write_page
from loadtest.report.page import page
from loadtest.scenarios.criteria import Outcome
from loadtest.scenarios.load import load_scenario, names
from loadtest.scenarios.progress import progress_for
from loadtest.scenarios.result import INTERRUPTED, Result
from loadtest.scenarios.runner import Options, Runner
from loadtest.scenarios.schema import Profile, Providers, Scenario
from loadtest.scenarios.services import FAST_DELAYS

PASSED, FAILED, USAGE, ENDED, INVALID = 0, 1, 2, 3, 4
"""Exit statuses: all criteria that could be measured hold, or nothing got worse; one does not, or something
got worse; wrong usage; the run ended before its time; the callers were the bottleneck, so it says nothing."""
_COMPARE, _LIST = "compare", "list"


class Bench:
    """The command `bench`. No state."""

    help = "put a server under load as a scenario says, and report what callers met"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "what",
            metavar="SCENARIO",
            help="its name or file; `list` shows what there is; `compare A.json B.json` says what changed",
        )
        parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="for compare: before, after")
        parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")
        parser.add_argument("--html", type=Path, metavar="FILE", help="write the report as one page")
        parser.add_argument(
            "--scale", type=_positive, default=1.0, metavar="X", help="multiplies the durations (1)"
        )
        parser.add_argument("--max-calls", type=_count, metavar="N", help="no step has more calls than this")
        parser.add_argument(
            "--providers",
            choices=[profile.value for profile in Profile],
            help="other services than the scenario's",
        )
        parser.add_argument(
            "--delay",
            action="append",
            default=[],
            metavar="SERVICE.DELAY=PRESET",
            help="another speed of the simulated vendors, as for `parley simulate`; may be repeated",
        )
        parser.add_argument(
            "--target",
            default="",
            metavar="URL",
            help="http://host:port or https://host:port of a server that runs already, not one of its own",
        )
        parser.add_argument(
            "--side-url",
            default="http://127.0.0.1:9464",
            metavar="URL",
            help="the target's side port (%(default)s); its token comes from PARLEY_SIDE_TOKEN",
        )

    def run(self, args: argparse.Namespace) -> int:
        """Returns the exit status. Raises `ConfigError` for wrong usage."""
        if args.what == _COMPARE:
            return _compare(args.files)
        if args.files:
            raise ConfigError(f"only compare takes files: {' '.join(map(str, args.files))}")
        if args.what == _LIST:
            return _list()
        return _bench(args)


def _list() -> int:
    for name in names():
        print(f"{name:<12} {load_scenario(name).summary}")
    return PASSED


def _compare(files: list[Path]) -> int:
    if len(files) != 2:
        raise ConfigError("compare takes two files of `parley bench --json`: before and after")
    comparison = compare(read_json(files[0]), read_json(files[1]))
    for line in comparison.lines():
        print(line)
    return FAILED if comparison.worse else PASSED


def _bench(args: argparse.Namespace) -> int:
    scenario = _scenario(args)
    # Before an hour of load, not after it.
    for path in (args.json, args.html):
        _writable(path)
    console = Console(stderr=True)
    # A line for each pair of candidates of each call.
    logging.getLogger("aioice").setLevel(logging.WARNING)
    gc.collect()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            result = runner.run(_run(scenario, args, console))
    except ProviderError as error:
        print(f"parley bench: cannot make the callers' speech: {error}", file=sys.stderr)
        return ENDED
    # First what cannot fail: a disk that filled up meanwhile must not take the run with it.
    terminal.show(result, Console(width=None if sys.stdout.isatty() else 140))
    return max(_write(args, result), status(result))


def _write(args: argparse.Namespace, result: Result) -> int:
    """Both files, whatever becomes of the other."""
    outcome = PASSED
    try:
        if args.json is not None:
            write_json(args.json, result)
    except ConfigError as error:
        print(f"parley bench: {error}", file=sys.stderr)
        outcome = USAGE
    try:
        if args.html is not None:
            write_page(args.html, page(result))
    except ConfigError as error:
        print(f"parley bench: {error}", file=sys.stderr)
        outcome = USAGE
    return outcome


async def _run(scenario: Scenario, args: argparse.Namespace, console: Console) -> Result:
    options = Options(args.scale, args.max_calls, args.target, args.side_url)
    loop = asyncio.get_running_loop()
    with progress_for(scenario.name, console) as progress:
        run = Runner(scenario, options, LoopClock(), os.environ, progress)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, run.stop.ask, INTERRUPTED)
        try:
            return await run.run()
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


def status(result: Result) -> int:
    """The exit status of a run."""
    if result.ended:
        print(f"parley bench: {result.ended}", file=sys.stderr)
        return ENDED
    if not result.valid:
        return INVALID
    failed = any(verdict["outcome"] == Outcome.FAILED.value for verdict in result.verdicts)
    return FAILED if failed else PASSED


def _scenario(args: argparse.Namespace) -> Scenario:
    scenario = load_scenario(args.what)
    wanted = scenario.providers.model_dump()
    if args.providers is not None:
        wanted["profile"] = args.providers
    wanted["delays"] = [*wanted["delays"], *args.delay]
    try:
        providers = Providers.model_validate(wanted)
    except ValidationError as error:
        (problem, *_) = error.errors(include_url=False)
        why = str(problem.get("ctx", {}).get("error", "")).removeprefix("delays: ")
        expected = f"expected SERVICE.DELAY=PRESET, such as {FAST_DELAYS[0]}"
        raise ConfigError(f"--delay {' '.join(args.delay)}: {why or expected}") from None
    if args.delay and providers.profile not in (Profile.VENDORS, Profile.FAST_VENDORS):
        raise ConfigError("--delay is for simulated vendors: add --providers vendors")
    return scenario.model_copy(update={"providers": providers})


def _writable(path: Path | None) -> None:
    """Raises `ConfigError` if nothing could be written there. What is there already stays as it is."""
    if path is None:
        return
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; name a file")
    there = path.exists()
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()
        if not there:
            path.unlink()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1_000:
        raise argparse.ArgumentTypeError("expected a number above 0")
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("expected 1 or more")
    return number
