"""`parley serve`: the server, its flags, and what it tells an operator when it listens."""

import argparse
import asyncio
import os

import uvloop

from agent.agentfile import AgentFile, load_agent
from agent.server import Server
from agent.settings import Settings

_FLAGS = {
    "--agent": "agent file (default: the clinic example)",
    "--host": "address of the public port (default 0.0.0.0)",
    "--port": "public port (default 8080; 0 picks a free one)",
    "--side-host": "address of the side port (default 127.0.0.1)",
    "--side-port": "side port (default 9464)",
    "--public-url": "https://… under which platforms reach this server",
    "--transports": "comma-separated, of those installed",
    "--max-calls": "slots (default 400)",
    "--max-loop-lag-ms": "event-loop lag above which new calls are refused (default 50)",
    "--drain-s": "how long live calls may go on after SIGTERM (default 3600)",
    "--tls-certificate": "PEM file; with --tls-key the public port speaks TLS",
    "--tls-key": "PEM file",
    "--trusted-proxies": "comma-separated networks whose forwarded headers count",
}
"""Flags of `parley serve`. Secrets have none: they only come from the environment."""
_SIGNED_WITH = {
    "twilio": "TWILIO_AUTH_TOKEN",
    "telnyx": "TELNYX_PUBLIC_KEY",
    "webrtc": "PARLEY_WEBRTC_SECRET",
}
"""The secret with which each platform's requests (a browser's session tokens) are verified."""


class Serve:
    """`parley serve`."""

    help = "answer calls"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        for flag, text in _FLAGS.items():
            parser.add_argument(flag, metavar="VALUE", help=text)

    def run(self, args: argparse.Namespace) -> int:
        # A flag is the variable of the same name, so that both are read, checked and explained alike.
        given = {_variable(flag): getattr(args, flag[2:].replace("-", "_")) for flag in _FLAGS}
        environ = {**os.environ, **{name: value for name, value in given.items() if value is not None}}
        settings = Settings.from_environ(environ)
        agent = load_agent(settings.agent_file)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(settings, agent))


async def _serve(settings: Settings, agent: AgentFile) -> int:
    server = Server(settings, agent)
    return await server.run(
        lambda: print(banner(settings, agent, server.public_address, server.side_address), flush=True)
    )


def banner(settings: Settings, agent: AgentFile, public: tuple[str, int], side: tuple[str, int]) -> str:
    """What an operator wants to know once the server listens: several lines. Addresses are host and port."""
    scheme = "https" if settings.tls_certificate else "http"
    own = f"{scheme}://{_address(public)}"
    lines = [
        f"{agent.name}  ({', '.join(agent.languages)}; {settings.agent_file or 'the example that ships'})",
        f"  calls    {settings.public_url or own}"
        + (f"  (listening on {own})" if settings.public_url else ""),
        f"  watch    http://{_address(_reachable(side))}/"
        + ("  (asks for PARLEY_SIDE_TOKEN)" if settings.side_token else ""),
        f"  side     http://{_address(side)}  /metrics /latency /calls /healthz /readyz",
    ]
    for transport in settings.transports:
        secret = _SIGNED_WITH.get(transport)
        if secret is None:
            state = "on"
        elif settings.secret(secret):
            state = "signatures required"
        else:
            state = f"callers on this machine only, since {secret} is not set"
        lines.append(f"  {transport:<8} {state}")
    lines.append(f"  try      {_call_command(scheme, public, side)}")
    return "\n".join(lines)


def _call_command(scheme: str, public: tuple[str, int], side: tuple[str, int]) -> str:
    """How to call it from this machine. Where it listens is named if `parley call` would not guess it."""
    usual, local = Settings(), {"0.0.0.0", "::", "127.0.0.1"}
    words = ["parley call"]
    if scheme != "http" or public[0] not in local or public[1] != usual.port:
        words.append(f"--url {scheme}://{_address(_reachable(public))}")
    if side[0] not in local or side[1] != usual.side_port:
        words.append(f"--side-url http://{_address(_reachable(side))}")
    return " ".join([*words, '"what are your opening hours?"'])


def _address(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reachable(address: tuple[str, int]) -> tuple[str, int]:
    """What a browser on this machine can open: a socket bound to all addresses has none of its own."""
    host, port = address
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port


def _variable(flag: str) -> str:
    return "PARLEY_AGENT_FILE" if flag == "--agent" else "PARLEY_" + flag[2:].replace("-", "_").upper()
