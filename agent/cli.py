"""The command line: `parley serve`, `parley doctor`, and what other packages add (`parley.commands`)."""

import argparse
import asyncio
import logging
import os
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

import uvloop

from agent.agentfile import AgentFile, load_agent
from agent.doctor import Doctor
from agent.errors import ConfigError
from agent.server import Server
from agent.settings import Settings

COMMANDS = "parley.commands"


class Command(Protocol):
    """A subcommand. Entry point group `parley.commands`: a class without state."""

    help: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare its arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; returns the exit status."""


class Serve:
    """`parley serve`."""

    help = "answer calls"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--agent", dest="agent_file", type=Path, help="agent file (default: the clinic example)")
        parser.add_argument("--host", help="address of the public port (default 0.0.0.0)")
        parser.add_argument("--port", type=int, help="public port (default 8080)")
        parser.add_argument("--side-host", help="address of the side port (default 127.0.0.1)")
        parser.add_argument("--side-port", type=int, help="side port (default 9464)")
        parser.add_argument("--public-url", help="https://… under which platforms reach this server")
        parser.add_argument("--max-calls", type=int, help="slots (default 400)")

    def run(self, args: argparse.Namespace) -> int:
        flags = {name: value for name, value in vars(args).items() if name != "command"}
        settings = Settings.from_environ(os.environ, **flags)
        agent = load_agent(settings.agent_file)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(settings, agent))


async def _serve(settings: Settings, agent: AgentFile) -> int:
    server = Server(settings, agent)
    running = asyncio.create_task(server.run())
    while not server.side_address[1] and not running.done():
        await asyncio.sleep(0.005)
    if not running.done():
        host, port = server.public_address
        secure = "https" if settings.tls_certificate else "http"
        print(f"{agent.name}: calls at {secure}://{host}:{port}, side endpoint at http://%s:%d" % server.side_address)
        print("try: parley call \"what are your opening hours?\"", flush=True)
    return await running


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `parley`. Returns the exit status."""
    argv = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(
        level=os.environ.get("PARLEY_LOG_LEVEL", "INFO").upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    parser = argparse.ArgumentParser(prog="parley", description="A real-time voice agent server.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    wanted = argv[0] if argv else ""
    found: dict[str, Command] = {"serve": Serve(), "doctor": Doctor()}
    for point in entry_points(group=COMMANDS):
        # Only the one that is asked for is imported.
        if point.name == wanted:
            found[point.name] = point.load()()
        elif point.name not in found:
            commands.add_parser(point.name, add_help=False)
    for name, command in found.items():
        command.add_arguments(commands.add_parser(name, help=command.help))
    args = parser.parse_args(argv)
    try:
        return found[args.command].run(args)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
