"""The process: puts the parts together, listens, drains, stops."""

import asyncio
import itertools
import logging
import signal
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from agent.admission import Admission, LoopLag, TicketOffice
from agent.agentfile import caller_phrases
from agent.agentfile.schema import AgentFile, ProviderChoice
from agent.busy import CoreRoom, LoopBusy
from agent.chains import LLMChain, STTChain, TTSChain
from agent.clock import Clock, LoopClock
from agent.coarse_timers import CoarseTimers
from agent.cpu_time import find_quota
from agent.errors import ConfigError
from agent.garbage import FullCollections
from agent.instruments import Instruments
from agent.invariants import Invariants
from agent.metrics import LatencyBook, Metrics
from agent.peers import Peers, read_peers
from agent.plugins import LLM, STT, TRANSPORTS, TTS, Transport, TransportContext, load
from agent.problems import problems
from agent.providers import ProviderContext
from agent.records import CallObserver
from agent.services import CallServices
from agent.settings import Settings
from agent.side import Side
from agent.stall import StallWatch
from agent.stored import stored_replies
from agent.ticker import Ticker
from agent.tools import ToolRunner
from agent.turns.endpointing import Endpointer
from agent.turns.expectation import Expectations

logger = logging.getLogger(__name__)

EXIT_CUT = 3
"""Exit status when a drain had to cut calls."""
ONE_SIGNAL_MS = 300.0
"""What comes twice within this time was sent once: a stop of a whole process group that `timeout`, a shell or
another wrapper passes on besides. Who presses Ctrl-C twice takes longer."""
MAX_BODY_BYTES = 256 * 1024
"""Longest webhook body that is read."""


class Server:
    """One process's server. `run` is its life."""

    def __init__(self, settings: Settings, agent: AgentFile) -> None:
        self.settings = settings
        self.agent = agent
        self.clock: Clock = LoopClock()
        self.lag = LoopLag(self.clock)
        self._coarse = CoarseTimers(self.clock)
        self.ticker = Ticker(self.clock)
        self._busy = LoopBusy(self.clock, quota=find_quota())
        room = CoreRoom(self._busy, self.clock, settings.max_core_share)
        admission = Admission(settings.max_calls, settings.max_loop_lag_ms, self.lag, room)
        self._admission = admission
        self._tickets = TicketOffice(admission, self.clock)
        book = LatencyBook(agent.languages, self.clock)
        self._instruments = Instruments(book, self.clock, settings.environ)
        self._services = self._make_services(self._instruments.observer)
        self.calls = self._instruments.registry(self._services, admission, self._tickets)
        self._invariants = Invariants(self.clock, lambda: self.calls.media)
        self._garbage = FullCollections(self.clock, lambda: admission.taken, lambda: admission.released)
        self._stalls = StallWatch(self.clock, lambda: self._invariants.violations)
        metrics = Metrics(
            book, self.calls, self.lag, self.ticker, watch=self._stalls, failures=self._failures(),
            providers=self._providers(), certificate=settings.tls_certificate,
        )  # fmt: skip
        dashboard = self._instruments.dashboard(
            self.calls, self.lag, self._chains(), agent.name, self._why_not_ready, agent.budgets
        )
        siblings = read_peers(settings.environ)
        self._peers = Peers(siblings, metrics, self._own_side, settings.side_token) if siblings else None
        self._side = Side(
            self.calls, metrics, settings, self._why_not_ready, self.lag, dashboard, self._peers
        )
        self._transports: list[Transport] = [
            _plugin(TRANSPORTS, name)(TransportContext(self.calls, settings, agent, self.clock, self.ticker))
            for name in settings.transports
        ]
        self._runners: list[web.AppRunner] = []
        self._not_warm: str | None = "providers are warming up"
        self._stop = asyncio.Event()
        self._stopped_ms = 0.0
        self._cut = asyncio.Event()
        self.public_address = ("", 0)
        self.side_address = ("", 0)

    async def run(self, on_listening: Callable[[], None] = lambda: None) -> int:
        """Listen until SIGTERM or SIGINT, then drain. Returns the exit status.

        `on_listening` is called once both ports are open. Raises `ConfigError` if one cannot be had.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        try:
            await self.start()
            on_listening()
            warming = asyncio.create_task(self._warm_up(), name="warm-up")
            await self._stop.wait()
            warming.cancel()
            await asyncio.gather(warming, return_exceptions=True)
            cut = await self._drain()
        finally:
            await self.close()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
        return EXIT_CUT if cut else 0

    async def start(self) -> None:
        """Open both ports. Raises `ConfigError` when one cannot be had."""
        self.lag.start()
        self._busy.start()
        self._stalls.start()
        self._invariants.start()
        self._instruments.start()
        app = web.Application(middlewares=[problems], client_max_size=MAX_BODY_BYTES)
        routes = [route for transport in self._transports for route in transport.routes()]
        app.router.add_routes(routes)
        if not any(isinstance(route, web.RouteDef) and route.path == "/" for route in routes):
            app.router.add_get("/", _front)
        settings = self.settings
        self.public_address = await self._listen(app, settings.host, settings.port, _tls(settings))
        self.side_address = await self._listen(
            self._side.application(), settings.side_host, settings.side_port, None
        )
        self._side.announce(self.side_address)

    async def close(self) -> None:
        """Close everything; calls have ended before."""
        for runner in self._runners:
            await runner.cleanup()
        self._tickets.close()
        for transport in self._transports:
            await transport.close()
        await self._services.tools.close()
        for chain in (self._services.stt, self._services.llm, self._services.tts):
            await chain.close()
        if self._peers is not None:
            await self._peers.close()
        self.ticker.close()
        self._coarse.close()
        self.lag.stop()
        self._busy.stop()
        self._stalls.stop()
        self._garbage.stop()
        self._invariants.stop()
        await self._instruments.close()

    def _make_services(self, observer: CallObserver) -> CallServices:
        agent, limits = self.agent, self.agent.limits
        chains = agent.providers
        phrases = {language: caller_phrases(agent, language) for language in agent.languages}
        small = agent.budgets.smaller_model
        smaller = None if small is None else self._provider(LLM, small)
        return CallServices(
            agent,
            self.clock,
            STTChain([self._provider(STT, choice) for choice in chains.stt], limits),
            LLMChain([self._provider(LLM, choice) for choice in chains.llm], limits, smaller),
            TTSChain([self._provider(TTS, choice) for choice in chains.tts], limits),
            ToolRunner(agent, self.settings.environ),
            self.ticker,
            Expectations(agent),
            Endpointer(agent.turns, itertools.chain.from_iterable(phrases.values())),
            phrases,
            observer,
            stored_replies(agent, self.clock, self.settings.environ),
            self._coarse,
        )

    def _chains(self) -> dict[str, STTChain | LLMChain | TTSChain]:
        services = self._services
        return {chain.kind: chain for chain in (services.stt, services.llm, services.tts)}

    def _own_side(self) -> str:
        """Host and port of the side port: this process's label beside its siblings'."""
        return "{}:{}".format(*self.side_address)

    def _failures(self) -> dict[str, Counter[str]]:
        """Live counters by kind and provider."""
        return {kind: chain.failures for kind, chain in self._chains().items()}

    def _providers(self) -> list[tuple[str, str, object]]:
        """Kind, name in its chain, and the provider."""
        return [(kind, *entry) for kind, chain in self._chains().items() for entry in chain.all]

    def _provider(self, group: str, choice: ProviderChoice) -> Any:
        context = ProviderContext(self.agent, self.clock, choice.options, self.settings.environ)
        return _plugin(group, choice.provider)(context)

    async def _listen(
        self, app: web.Application, host: str, port: int, tls: ssl.SSLContext | None
    ) -> tuple[str, int]:
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=2.0)
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, host, port, ssl_context=tls, backlog=1024)
        try:
            await site.start()
        except OSError as error:
            raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
        address: Sequence[object] = runner.addresses[0]
        return str(address[0]), int(str(address[1]))

    async def _warm_up(self) -> None:
        services = self._services
        try:
            await asyncio.gather(services.stt.warm(), services.llm.warm(), services.tts.warm())
        except Exception as error:  # calls are still taken, but nobody should route new ones here
            self._not_warm = f"warm-up failed: {type(error).__name__}; see the log"
            logger.exception("warm-up failed")
            return
        # What is loaded now stays: looking through all of it takes 11 ms, for which calls would wait.
        self._garbage.start()
        self._not_warm = None
        logger.info("ready")

    def _why_not_ready(self) -> str | None:
        if self._admission.draining:
            return "draining"
        return self._not_warm

    def stop(self, *, cut: bool = False) -> None:
        """Let `run` drain and return. With `cut` live calls are ended, not waited for."""
        if cut:
            self._cut.set()
        self._stop.set()

    def _signalled(self) -> None:
        now_ms = self.clock.now_ms()
        if not self._stop.is_set():
            self._stopped_ms = now_ms
            self.stop()
        elif now_ms - self._stopped_ms > ONE_SIGNAL_MS:
            self.stop(cut=True)

    async def _drain(self) -> int:
        self._admission.draining = True
        live = sum(1 for _ in self.calls.live)
        logger.info("draining: %d calls are live; signal again to cut them", live)
        cut = await self.calls.drain(self.settings.drain_s, self._cut)
        if cut:
            logger.warning("%d calls were cut", cut)
        return cut


async def _front(request: web.Request) -> web.Response:
    return web.Response(text="Parley answers calls here. To call: see the README, or run `parley call`.\n")


def _plugin(group: str, name: str) -> Callable[[Any], Any]:
    """`agent.plugins.load`, with a plugin that is installed but broken as the operator's problem too."""
    try:
        return load(group, name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{group.removeprefix('parley.')} {name!r} cannot be loaded: {error}") from error


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"TLS certificate {settings.tls_certificate} and key cannot be used: {error}"
        ) from None
    return context
