"""The server under test: our own child, with its services and pinned to a core, or one at an address."""

import contextlib
import os
import ssl
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from agent.clock import Clock
from agent.errors import ConfigError
from loadtest.bulk.probe import cost, rss_kb
from loadtest.bulk.socket import Target
from loadtest.callers.local_server import free_ports
from loadtest.callers.side import SidePort
from loadtest.scenarios.child import RUN_PARLEY, Child
from loadtest.scenarios.schema import Action
from loadtest.scenarios.services import Services
from loadtest.scenarios.totals import Totals

_METRICS = {
    "process_cpu_seconds_total": "cpu_s",
    "process_resident_memory_bytes": "rss",
    "process_open_fds": "fds",
    "parley_tasks": "tasks",
    "parley_objects": "objects",
}
"""What is read from `/metrics`, and what we call it."""
_TIMEOUT = aiohttp.ClientTimeout(total=5.0)
_PLATFORMS = ("PARLEY_", "TWILIO_", "TELNYX_")
_ROOM = 16
"""Slots beyond the scenario's calls: callers who call again overlap with their former selves."""


def read_gauges(exposition: str) -> dict[str, float]:
    """The metrics of `_METRICS` in Prometheus's text format, by our names.

    The library's parser takes 40 ms for a busy server's metrics, which would make the callers late. None of
    these has labels or a time, so a line is a name and a number.
    """
    found: dict[str, float] = {}
    for name, ours in _METRICS.items():
        _, _, rest = exposition.partition(f"\n{name} ")
        with contextlib.suppress(ValueError):
            found[ours] = float(rest.partition("\n")[0])
    return found


class Server(ABC):
    """What a run needs to know of the server."""

    def __init__(self, target: Target, side_url: str, side_token: str | None = None) -> None:
        self.target = target
        self.side_url = side_url
        self.side_token = side_token
        self._headers = {"Authorization": f"Bearer {side_token}"} if side_token else {}
        self._totals = Totals()

    async def gauges(self) -> dict[str, float]:
        """`cpu_s`, `rss` (bytes), `fds`, `tasks`, `objects` as on `/metrics`; empty if it cannot be had."""
        return read_gauges(await self._metrics())

    async def counters(self) -> dict[str, float]:
        """`account.COUNTERS` since the first look, over all processes that there were (`Totals`).

        Those that were last known if there is no process now; empty if there never was one.
        """
        await self._metrics()
        return self._totals.sums

    async def _metrics(self) -> str:
        """`/metrics` as text; empty if it cannot be had."""
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT, headers=self._headers) as client,
                client.get(f"{self.side_url}/metrics") as answer,
            ):
                text = await answer.text() if answer.status == 200 else ""
        except (TimeoutError, aiohttp.ClientError):
            return ""
        self._totals.saw(text)
        return text

    @abstractmethod
    def cpu_ms(self) -> float | None:
        """CPU time of all its processes; None where it cannot be read from outside."""

    @abstractmethod
    def waited_ms(self) -> float | None:
        """Time for which it was ready to run but its core was taken."""

    @abstractmethod
    def rss_kb(self) -> float | None:
        """Resident memory."""

    @abstractmethod
    async def ended(self) -> str:
        """Why it ended by itself, one line; empty while it runs (or where that cannot be known)."""

    @abstractmethod
    async def do(self, action: Action) -> None:
        """Something goes wrong, or right again. Raises `Unreachable` if it does not come back."""

    @abstractmethod
    async def stop(self) -> None:
        """End what was started. Idempotent."""


class RemoteServer(Server):
    """A server that somebody else runs, at `http://host:port` or, behind TLS, `https://host`.

    Certificates are held against the system's authorities (or those of the file that `SSL_CERT_FILE` names).
    """

    def __init__(self, url: str, side_url: str, side_token: str | None) -> None:
        """Raises `ConfigError` for a URL that bulk callers cannot call."""
        try:
            parts = urlsplit(url if "//" in url else f"http://{url}")
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"--target {url!r}: {error}") from None
        secure = parts.scheme in ("https", "wss")
        if not (secure or parts.scheme in ("http", "ws")) or not parts.hostname or parts.path.strip("/"):
            raise ConfigError(f"--target {url!r}: expected http://host:port or https://host:port")
        target = Target(
            parts.hostname,
            port or (443 if secure else 80),
            ssl.create_default_context() if secure else None,
        )
        super().__init__(target, side_url.rstrip("/"), side_token)

    def cpu_ms(self) -> float | None:
        return None

    def waited_ms(self) -> float | None:
        return None

    def rss_kb(self) -> float | None:
        return None

    async def ended(self) -> str:
        return ""

    async def do(self, action: Action) -> None:
        raise ConfigError(f"{action.value} needs a server of the scenario's own: leave --target out")

    async def stop(self) -> None:
        """It is not ours."""


class OwnServer(Server):
    """`parley serve` and its services as child processes. `start` it."""

    def __init__(
        self,
        services: Services,
        clock: Clock,
        environ: Mapping[str, str],
        calls: int,
        telnyx_codec: str = "",
        *,
        refuses: bool = False,
    ) -> None:
        """`calls`: the most that there will be. `refuses`: admission by load is left as it is by default."""
        port, side_port = free_ports(2)
        super().__init__(Target("127.0.0.1", port), f"http://127.0.0.1:{side_port}")
        self._services = services
        self._folder = tempfile.TemporaryDirectory(prefix="parley-load-")
        agent = Path(self._folder.name) / "agent.yaml"
        agent.write_text(services.agent)
        settings = {
            "PARLEY_AGENT_FILE": str(agent),
            "PARLEY_HOST": "127.0.0.1",
            "PARLEY_PORT": str(port),
            "PARLEY_SIDE_PORT": str(side_port),
            "PARLEY_MAX_CALLS": str(calls + _ROOM),
            "PARLEY_DRAIN_S": "1",
            "PARLEY_LOG_LEVEL": "WARNING",
            # All callers in browsers come from one address.
            "PARLEY_WEBRTC_RATE": "100000",
            "PARLEY_WEBRTC_BURST": "10000",
            "PARLEY_WEBRTC_MAX_SESSIONS": str(2 * calls + _ROOM),
            "PARLEY_WEBRTC_HOSTS": "127.0.0.1",
            "PARLEY_WEBRTC_PAGE": "off",
        }
        if not refuses:
            # Latency is to be seen to slip, not calls refused for it.
            settings |= {"PARLEY_MAX_LOOP_LAG_MS": "2000", "PARLEY_MAX_CORE_PERCENT": "off"}
        if telnyx_codec:
            settings["PARLEY_TELNYX_CODEC"] = telnyx_codec
        # The platforms' secrets would close the door to callers without tickets.
        kept = {name: value for name, value in environ.items() if not name.startswith(_PLATFORMS)}
        self._child = Child(
            "the server",
            ("-c", RUN_PARLEY, "serve"),
            (port, side_port),
            clock,
            environ={**kept, **services.environ, **settings},
            ready=self._is_ready,
        )
        self._core: int | None = None
        self._restarting = False
        # Of the processes that have been ended.
        self._gone_cpu_ms = self._gone_waited_ms = 0.0

    @property
    def pid(self) -> int:
        """Of the server's process."""
        return self._child.pid

    async def start(self, server_core: int | None) -> None:
        """The services, then the server, on `server_core` if given. Raises `Unreachable`, one line."""
        for child in self._services.children:
            await child.start()
        self._core = server_core
        await self._start_server()

    async def _start_server(self) -> None:
        before = os.sched_getaffinity(0)
        if self._core is not None:
            # A child keeps the core that its parent was on when it was born.
            os.sched_setaffinity(0, {self._core})
        try:
            await self._child.start()
        finally:
            os.sched_setaffinity(0, before)

    async def _is_ready(self) -> bool:
        side = SidePort(self.side_url)
        try:
            return await side.ready()
        finally:
            await side.close()

    def cpu_ms(self) -> float | None:
        with contextlib.suppress(OSError):
            return self._gone_cpu_ms + cost(self.pid).cpu_ms
        return None

    def waited_ms(self) -> float | None:
        with contextlib.suppress(OSError):
            return self._gone_waited_ms + cost(self.pid).waited_ms
        return None

    def rss_kb(self) -> float | None:
        with contextlib.suppress(OSError):
            return float(rss_kb(self.pid)) or None
        return None

    async def ended(self) -> str:
        return "" if self._restarting else self._child.ended

    async def do(self, action: Action) -> None:
        primary = self._services.primary
        if action in (Action.RESTART_SERVER, Action.KILL_SERVER):
            await self._restart(kill=action is Action.KILL_SERVER)
        elif primary is None:
            raise ConfigError(f"{action.value}: the stub providers are inside the server")
        elif action is Action.KILL_PROVIDERS:
            primary.kill()
        elif action is Action.STALL_PROVIDERS:
            primary.stall()
        elif action is Action.RESTORE_PROVIDERS:
            await primary.restore()

    async def _restart(self, *, kill: bool) -> None:
        self._restarting = True
        try:
            # The last look at what it counted.
            await self._metrics()
            cpu_ms, waited_ms = self.cpu_ms(), self.waited_ms()
            if kill:
                self._child.kill()
            await self._child.end()
            self._gone_cpu_ms = cpu_ms or self._gone_cpu_ms
            self._gone_waited_ms = waited_ms or self._gone_waited_ms
            await self._start_server()
        finally:
            self._restarting = False

    async def stop(self) -> None:
        await self._child.stop()
        for child in self._services.children:
            await child.stop()
        self._folder.cleanup()
