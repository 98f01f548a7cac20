"""The command line: `parley serve`, `parley doctor`, and what other packages add (`parley.commands`).

Only the command that is asked for is imported: `parley call` does not pay for the server.
"""

import argparse
import os
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol

from agent.errors import ConfigError
from agent.logs import set_up

COMMANDS = "parley.commands"
_OWN = (
    EntryPoint("serve", "agent.serve:Serve", COMMANDS),
    EntryPoint("doctor", "agent.doctor:Doctor", COMMANDS),
    EntryPoint("replay", "agent.replay.command:Replay", COMMANDS),
    EntryPoint("report", "agent.report.command:ReportCommand", COMMANDS),
)


class Command(Protocol):
    """A subcommand. Entry point group `parley.commands`: a class without state."""

    help: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare its arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; returns the exit status."""


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `parley`. Returns the exit status."""
    argv = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="parley", description="A real-time voice agent server.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    wanted = argv[0] if argv else ""
    found: dict[str, Command] = {}
    # A name of ours cannot be taken over by another package.
    for name, point in {point.name: point for point in (*entry_points(group=COMMANDS), *_OWN)}.items():
        if name == wanted:
            command = found[name] = point.load()()
            command.add_arguments(commands.add_parser(name, help=command.help))
        else:
            commands.add_parser(name, add_help=False, help=f"see: parley {name} --help")
    args = parser.parse_args(argv)
    try:
        set_up(os.environ)
        return found[args.command].run(args)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
