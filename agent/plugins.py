"""Finding transports and providers by entry point, so that only what is configured is imported."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol

from aiohttp import web

from agent.agentfile.schema import AgentFile
from agent.clock import Clock
from agent.errors import ConfigError
from agent.lines import CallHost
from agent.settings import Settings
from agent.ticker import Ticker

TRANSPORTS = "parley.transports"
STT = "parley.stt"
LLM = "parley.llm"
TTS = "parley.tts"


@dataclass(frozen=True, slots=True)
class TransportContext:
    """What a transport is built from."""

    host: CallHost
    settings: Settings
    agent: AgentFile
    clock: Clock
    ticker: Ticker
    """Paces everything that is sent in real time."""


class Transport(Protocol):
    """An adapter to one platform. Entry point group `parley.transports`: called with a `TransportContext`."""

    @property
    def name(self) -> str:
        """The platform's name, as in the settings."""

    def routes(self) -> Iterable[web.RouteDef]:
        """Its routes on the public port."""

    async def close(self) -> None:
        """Close what it opened (REST clients). Calls have ended before. Idempotent."""


def names(group: str) -> list[str]:
    """Names of the installed plugins of a group, sorted."""
    return sorted({point.name for point in entry_points(group=group)})


def load(group: str, name: str) -> Callable[[Any], Any]:
    """The plugin's factory. Raises `ConfigError` that lists what is installed."""
    for point in entry_points(group=group, name=name):
        factory: Callable[[Any], Any] = point.load()
        return factory
    kind = group.removeprefix("parley.")
    raise ConfigError(f"no {kind} named {name!r}: use one of {', '.join(names(group))}")
