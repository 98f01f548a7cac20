"""`parley doctor`: what this machine, its keys and its ports lack, and what to do about it."""

import argparse
import os
import resource
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from agent.agentfile import load_agent
from agent.errors import ConfigError
from agent.plugins import LLM, STT, TRANSPORTS, TTS, load
from agent.settings import Settings

MIN_FILES = 4_096
"""Open files: two sockets for each call and some for providers."""


class Finding(NamedTuple):
    """One line of the report."""

    status: str
    """`ok`, `warn` or `fail`."""
    what: str


class Doctor:
    """The command."""

    help = "check this machine, keys and ports"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--agent", dest="agent_file", type=Path, help="agent file to check")

    def run(self, args: argparse.Namespace) -> int:
        failed = False
        for finding in examine(args.agent_file):
            print(f"{finding.status:>4}  {finding.what}")
            failed = failed or finding.status == "fail"
        return 1 if failed else 0


def examine(agent_file: Path | None) -> Iterator[Finding]:
    """All findings."""
    yield Finding("ok", f"Python {sys.version.split()[0]}")
    try:
        settings = Settings.from_environ(os.environ, agent_file=agent_file)
    except ConfigError as error:
        yield Finding("fail", str(error))
        return
    yield Finding("ok", "environment")
    yield from _agent(settings)
    yield from _plugins(settings)
    yield from _secrets(settings)
    for name, host, port in (
        ("public", settings.host, settings.port),
        ("side", settings.side_host, settings.side_port),
    ):
        yield _port(name, host, port)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    enough = files >= MIN_FILES
    yield Finding("ok" if enough else "warn", f"{files} open files" + ("" if enough else f": raise `ulimit -n` to {MIN_FILES}"))


def _agent(settings: Settings) -> Iterator[Finding]:
    try:
        agent = load_agent(settings.agent_file)
    except ConfigError as error:
        for line in str(error).splitlines():
            yield Finding("fail", line)
        return
    yield Finding("ok", f"agent file: {agent.name}")
    for group, chain in ((STT, agent.providers.stt), (LLM, agent.providers.llm), (TTS, agent.providers.tts)):
        for choice in chain:
            yield _loads(group, choice.provider)


def _plugins(settings: Settings) -> Iterator[Finding]:
    for name in settings.transports:
        yield _loads(TRANSPORTS, name)


def _loads(group: str, name: str) -> Finding:
    try:
        load(group, name)
    except (ConfigError, ImportError, AttributeError) as error:
        return Finding("fail", f"{group.removeprefix('parley.')} {name}: {error}")
    return Finding("ok", f"{group.removeprefix('parley.')} {name}")


def _secrets(settings: Settings) -> Iterator[Finding]:
    for transport, names in (
        ("twilio", ("TWILIO_AUTH_TOKEN", "TWILIO_ACCOUNT_SID")),
        ("telnyx", ("TELNYX_PUBLIC_KEY", "TELNYX_API_KEY")),
    ):
        if transport not in settings.transports:
            continue
        missing = [name for name in names if not settings.environ.get(name)]
        if missing:
            yield Finding("warn", f"{transport}: {' and '.join(missing)} not set: only loopback callers, or no REST actions")
        else:
            yield Finding("ok", f"{transport} secrets")
    if settings.public_url is None:
        yield Finding("warn", "PARLEY_PUBLIC_URL is not set: platforms behind a proxy or tunnel cannot be verified")


def _port(name: str, host: str, port: int) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return Finding("fail", f"{name} port {host}:{port}: {error.strerror}: choose another one")
    return Finding("ok", f"{name} port {host}:{port} is free")
