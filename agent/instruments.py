"""Everything that watches a process's calls, put together from its settings.

Each is an observer of its own; what is not configured is not made (nor imported, where that costs something).
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Protocol

from agent.admission import Admission, LoopLag, TicketOffice
from agent.agentfile.schema import Budgets
from agent.clock import Clock
from agent.dashboard import Dashboard, Timelines, TurnWatch
from agent.dashboard.snapshot import ChainView, Sources
from agent.errors import ConfigError
from agent.logs import RecentProblems
from agent.metrics import LatencyBook
from agent.observers import Observers
from agent.records import CallObserver
from agent.registry import Registry
from agent.replay.record import Recorder, RecordingRegistry
from agent.services import CallServices
from agent.store import TurnStore, store_path

logger = logging.getLogger(__name__)

CLOSE_S = 15.0
"""Bound on writing out what is left: the store's and the exporter's own bounds together."""


_COLLECTOR = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""The standard's variables that name a collector: one is enough."""


class _Closable(Protocol):
    def close(self) -> None:
        """Write what is left; blocks, bounded."""


class Instruments:
    """One process's observers. `start`, and `close` at the end."""

    def __init__(self, book: LatencyBook, clock: Clock, environ: Mapping[str, str]) -> None:
        """Raises `ConfigError` for a store, a folder or an exporter that cannot be used."""
        self._clock = clock
        self._turns = TurnWatch(clock)
        self._timelines = Timelines(clock)
        self._problems = RecentProblems()
        self._closed_last: list[_Closable] = []
        # The book comes first: it adds to a turn's stages what the others read.
        observers: list[CallObserver] = [book, self._turns, self._timelines]
        store = _make_store(environ)
        if store is not None:
            observers.append(store)
            self._closed_last.append(store)
        traces = _make_traces(clock, environ)
        if traces is not None:
            observers.append(traces[0])
            self._closed_last.append(traces[1])
        self._recorder = _make_recorder(environ)
        if self._recorder is not None:
            self._closed_last.append(self._recorder)
        self.observer = Observers(observers)
        """What calls tell."""

    def registry(self, services: CallServices, admission: Admission, tickets: TicketOffice) -> Registry:
        """One that records calls, where that is asked for."""
        if self._recorder is None:
            return Registry(services, admission, tickets)
        return RecordingRegistry(services, admission, tickets, self._recorder)

    def dashboard(
        self,
        calls: Registry,
        lag: LoopLag,
        chains: Mapping[str, ChainView],
        agent_name: str,
        not_ready: Callable[[], str | None],
        budgets: Budgets,
    ) -> Dashboard:
        """For the side port."""
        return Dashboard(
            Sources(
                calls, self._turns, self._timelines, lag, chains, self._problems, self._clock, agent_name,
                not_ready, {stage: budget.ms for stage, budget in budgets.all().items()},
            )
        )  # fmt: skip

    def start(self) -> None:
        """Begin to listen to the log."""
        logging.getLogger().addHandler(self._problems)

    async def close(self) -> None:
        """Write what is left. Idempotent; bounded by `CLOSE_S`."""
        logging.getLogger().removeHandler(self._problems)
        left, self._closed_last = self._closed_last, []
        if not left:
            return
        try:
            async with asyncio.timeout(CLOSE_S):
                await asyncio.gather(*(asyncio.to_thread(each.close) for each in left))
        except TimeoutError:
            logger.error("store, traces or recordings were not written out within %d s", CLOSE_S)  # noqa: TRY400


def _make_store(environ: Mapping[str, str]) -> TurnStore | None:
    path = store_path(environ)
    if path is None:
        return None
    words = environ.get("PARLEY_STORE_WORDS", "").strip() == "1"
    try:
        return TurnStore(path, words=words)
    except ConfigError as error:
        if environ.get("PARLEY_STORE"):
            raise
        # Nobody asked for it: a read-only container still answers calls.
        logger.warning("turns are not stored: %s", error)
        return None


def _make_traces(clock: Clock, environ: Mapping[str, str]) -> tuple[CallObserver, _Closable] | None:
    off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if off or not any(environ.get(name) for name in _COLLECTOR):
        return None
    try:
        traces = import_module("agent.otlp").make(clock, environ)
    except ImportError as error:
        what = f"{_COLLECTOR[0]} is set, but OpenTelemetry is not installed"
        raise ConfigError(f"{what}: pip install 'parley[otel]'") from error
    return traces, traces


def _make_recorder(environ: Mapping[str, str]) -> Recorder | None:
    folder = environ.get("PARLEY_RECORD_DIR", "").strip()
    if not folder:
        return None
    every = environ.get("PARLEY_RECORD_EVERY", "").strip() or "1"
    if not every.isascii() or not every.isdigit() or int(every) < 1:
        raise ConfigError(f"PARLEY_RECORD_EVERY={every!r}: expected 1 or more")
    try:
        recorder = Recorder(Path(folder), int(every))
    except OSError as error:
        raise ConfigError(f"PARLEY_RECORD_DIR={folder!r}: {error.strerror or error}") from None
    logger.warning("calls are recorded, voices and words, in %s", folder)
    return recorder
