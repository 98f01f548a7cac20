"""What every simulator of a vendor is: a server on a port, with delays and faults that can be changed."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Self

from aiohttp import web

from loadtest.simulators.faults import Faults, control_routes
from loadtest.simulators.profile import Profile, Timings

_MAX_BODY_BYTES = 16 * 1024 * 1024


class Simulator(ABC):
    """`async with` it: listens on entry. `PUT /profile` and `PUT /faults` change its delays and faults."""

    SCHEME = "http"
    BASE_PATH = ""
    """What the vendor's clients want behind the host."""

    def __init__(
        self, delays: Mapping[str, Profile], timings: Timings | None = None, faults: Faults | None = None
    ) -> None:
        """`delays` are those of `timings` unless given."""
        self.timings = timings or Timings(delays)
        self.faults = faults or Faults()
        self.url = ""
        """Where it is, as the vendor's clients want it."""
        self._runner: web.AppRunner | None = None

    @abstractmethod
    def routes(self) -> Iterable[web.RouteDef]:
        """The vendor's routes."""

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 is a free one. Raises `OSError` if the port is taken."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.add_routes([*self.routes(), *control_routes(self.faults, self.timings)])
        # Without handler_cancellation a client that goes away is noticed only at the next write.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, backlog=1024).start()
        self.url = f"{self.SCHEME}://{host}:{self._runner.addresses[0][1]}{self.BASE_PATH}"

    async def stop(self) -> None:
        """Stop listening and cut what is open. Idempotent."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
