"""Figures of providers that the core knows nothing about."""

from collections import Counter
from dataclasses import dataclass, field

from agent.metrics.provider_counts import ProviderCounts
from providers.connections import ConnectStats


@dataclass
class Networked:
    """Has both kinds of figures, as `providers.cartesia` does."""

    connections: ConnectStats = field(default_factory=ConnectStats)
    counts: Counter[str] = field(default_factory=Counter)


def test_connections_and_counts_are_told_by_kind_and_provider() -> None:
    provider = Networked()
    provider.connections.connected(120.0)
    provider.connections.connected(80.0)
    provider.connections.failed = 3
    provider.connections.reused = 40
    provider.connections.lost = 1
    provider.connections.dropped_sends = 7
    provider.counts["again"] = 5
    counts = ProviderCounts([("tts", "cartesia", provider)])
    assert {event: count for (*_, event), count in counts.events().items()} == {
        "opened": 2, "failed": 3, "reused": 40, "lost": 1, "unsent": 7, "again": 5,
    }  # fmt: skip
    assert {labels[:2] for labels in counts.events()} == {("tts", "cartesia")}
    assert counts.connect_seconds() == {("tts", "cartesia"): 0.2}


def test_a_provider_without_a_network_tells_nothing() -> None:
    counts = ProviderCounts([("stt", "embedded", object())])
    assert not counts.events()
    assert not counts.connect_seconds()


def test_figures_are_read_when_asked_for() -> None:
    provider = Networked()
    counts = ProviderCounts([("stt", "deepgram", provider)])
    assert counts.events()["stt", "deepgram", "opened"] == 0
    provider.connections.connected(10.0)
    assert counts.events()["stt", "deepgram", "opened"] == 1


def test_an_inventive_provider_cannot_make_any_number_of_series() -> None:
    provider = Networked(counts=Counter({f"event {number}": 1 for number in range(1_000)}))
    events = ProviderCounts([("llm", "openai", provider)]).events()
    assert len(events) < 100
    assert events["llm", "openai", "other"] > 900
