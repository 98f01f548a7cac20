"""`parley doctor`: what this machine, its keys and its ports lack, and what to do about it."""

import argparse
import difflib
import os
import resource
import socket
import ssl
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from agent.agentfile import load_agent
from agent.errors import ConfigError
from agent.peers import read_peers
from agent.plugins import LLM, STT, TRANSPORTS, TTS, load
from agent.settings import Settings, variables

MIN_FILES = 4_096
"""Open files: two sockets for each call and some for providers."""


_CLOSE = 0.9
"""Likeness (difflib) of a misspelt variable: one letter wrong, missing or swapped."""
_PROVIDER_KEYS = {
    "openai": "OPENAI_API_KEY",
    "deepgram": "DEEPGRAM_API_KEY",
    "cartesia": "CARTESIA_API_KEY",
}
"""Variables that network providers cannot do without."""
_READ_ELSEWHERE = (
    "PARLEY_PEERS", "PARLEY_STORE", "PARLEY_STORE_WORDS", "PARLEY_RECORD_DIR", "PARLEY_RECORD_EVERY",
    "PARLEY_LOG_FORMAT", "PARLEY_LOG_LEVEL", "PARLEY_LOG_PERSONAL", "PARLEY_OTEL_WORDS",
    "PARLEY_OPENAI_BASE_URL", "PARLEY_OPENAI_MODEL",
)  # fmt: skip
"""Variables of the server that are not settings. Transports check the names with their prefix at start."""


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
    yield from _misspelt(settings)
    yield from _peers(settings)
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
    advice = "" if enough else f": raise `ulimit -n` to {MIN_FILES}"
    yield Finding("ok" if enough else "warn", f"{files} open files{advice}")
    yield _tls(settings)
    yield _temporary()


def _misspelt(settings: Settings) -> Iterator[Finding]:
    """A variable that nobody reads is not a mistake for sure: a transport's own, or one of Kubernetes'."""
    known = (*variables(), *_READ_ELSEWHERE)
    for name in sorted(settings.environ):
        close = difflib.get_close_matches(name, known, 1, _CLOSE)
        if name.startswith("PARLEY_") and name not in known and close:
            yield Finding("warn", f"{name} is not read by the server: did you mean {close[0]}?")


def _peers(settings: Settings) -> Iterator[Finding]:
    try:
        peers = read_peers(settings.environ)
    except ConfigError as error:
        yield Finding("fail", str(error))
        return
    if peers:
        yield Finding("ok", f"metrics together with {len(peers)} other processes")


def _agent(settings: Settings) -> Iterator[Finding]:
    try:
        agent = load_agent(settings.agent_file)
    except ConfigError as error:
        for line in str(error).splitlines():
            yield Finding("fail", line)
        return
    yield Finding("ok", f"agent file: {agent.name}")
    providers, smaller = agent.providers, agent.budgets.smaller_model
    models = [*providers.llm, smaller] if smaller is not None else providers.llm
    for group, chain in ((STT, providers.stt), (LLM, models), (TTS, providers.tts)):
        for choice in chain:
            yield _loads(group, choice.provider)
            key = _PROVIDER_KEYS.get(choice.provider)
            # A service of one's own at another address may well want no key.
            named = choice.options.get("api_key_name", key)
            if key is not None and not settings.secret(str(named)) and "base_url" not in choice.options:
                yield Finding("fail", f"{choice.provider}: set {named}")


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
        ("webrtc", ("PARLEY_WEBRTC_SECRET",)),
    ):
        if transport not in settings.transports:
            continue
        missing = [name for name in names if not settings.environ.get(name)]
        if missing:
            without = "only loopback callers" + ("" if transport == "webrtc" else ", or no REST actions")
            yield Finding("warn", f"{transport}: {' and '.join(missing)} not set: {without}")
        else:
            yield Finding("ok", f"{transport} secrets")
    if settings.public_url is None:
        yield Finding(
            "warn", "PARLEY_PUBLIC_URL is not set: platforms behind a proxy or tunnel cannot be verified"
        )


def _port(name: str, host: str, port: int) -> Finding:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return Finding("fail", f"{name} port {host}:{port}: {error.strerror}: choose another one")
    return Finding("ok", f"{name} port {host}:{port} is free")


def _tls(settings: Settings) -> Finding:
    if settings.tls_certificate is None or settings.tls_key is None:
        return Finding("ok", "no TLS of our own: platforms need a proxy or tunnel with https in front")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            settings.tls_certificate, settings.tls_key
        )
    except (OSError, ssl.SSLError) as error:
        return Finding("fail", f"TLS {settings.tls_certificate} with {settings.tls_key}: {error}")
    return Finding("ok", "TLS certificate and key")


def _temporary() -> Finding:
    try:
        with tempfile.TemporaryFile():
            return Finding("ok", f"{tempfile.gettempdir()} can be written")
    except OSError as error:
        return Finding("fail", f"no temporary directory can be written: {error}: set TMPDIR")
