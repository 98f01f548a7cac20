"""What providers count by themselves, gathered for a scrape.

The core knows no vendor: a provider that talks over a network keeps its figures in attributes that are found
here by their shape, `connections` and `counts`. Both are optional, and read only when somebody scrapes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

from agent.metrics.latency_book import BoundedLabels

Labels = tuple[str, ...]


class Connections(Protocol):
    """How a provider's connections did, since start."""

    opened: int
    failed: int
    reused: int
    """Uses served by a connection that was open already."""
    lost: int
    """Closed by the vendor or the network while in use or kept warm."""
    connect_ms: float
    """All connect times together."""
    dropped_sends: int
    """Messages not sent since the vendor did not read."""


@runtime_checkable
class Connecting(Protocol):
    """A provider that says how its connections do."""

    @property
    def connections(self) -> Connections:
        """Bumped by the provider, read by us."""


@runtime_checkable
class Counting(Protocol):
    """A provider that counts what else happens to it: asked again, messages that could not be read."""

    @property
    def counts(self) -> Mapping[str, int]:
        """By a fixed word of the provider's own."""


class ProviderCounts:
    """All providers of a process."""

    def __init__(self, providers: Iterable[tuple[str, str, object]]) -> None:
        """`providers`: kind (`stt`, …), name in its chain, and the provider itself."""
        self._providers = tuple(providers)
        self._events = BoundedLabels(limit=64)

    def events(self) -> Counter[Labels]:
        """By kind, provider and event."""
        found: Counter[Labels] = Counter()
        for kind, name, provider in self._providers:
            if isinstance(provider, Connecting):
                stats = provider.connections
                found[kind, name, "opened"] = stats.opened
                found[kind, name, "failed"] = stats.failed
                found[kind, name, "reused"] = stats.reused
                found[kind, name, "lost"] = stats.lost
                found[kind, name, "unsent"] = stats.dropped_sends
            if isinstance(provider, Counting):
                for event, count in provider.counts.items():
                    found[kind, name, self._events(event)] += count
        return found

    def connect_seconds(self) -> dict[Labels, float]:
        """By kind and provider: time that all opened connections took together."""
        return {
            (kind, name): provider.connections.connect_ms / 1000
            for kind, name, provider in self._providers
            if isinstance(provider, Connecting)
        }
