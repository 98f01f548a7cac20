"""The WebRTC transport: its routes, and its parts once somebody opens the page.

ICE, DTLS and the codecs are 30 MB of libraries that a server for telephones never needs. They are loaded, off
the event loop, when the page or a call is first asked for.
"""

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from aiohttp import web

from agent.plugins import TransportContext
from agent.problems import problem
from transports.webrtc.options import WebRtcOptions
from transports.webrtc.page_files import PageFiles

if TYPE_CHECKING:
    from transports.webrtc.reports import Network
    from transports.webrtc.whip import Whip

logger = logging.getLogger(__name__)

ENDPOINT = "/webrtc"
SESSION = ENDPOINT + "/{session}"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebRTC:
    """Calls from browsers. Implements `agent.plugins.Transport`.

    Settings: `transports.webrtc.options`. Raises `ConfigError` for those that are wrong.
    """

    def __init__(self, context: TransportContext) -> None:
        self._context = context
        self._options = WebRtcOptions.from_settings(context.settings)
        self._page = PageFiles() if self._options.page else None
        self._loading: asyncio.Task[Whip] | None = None
        self._whip: Whip | None = None
        if self._options.secret is None:
            logger.info("browsers on this machine only: set PARLEY_WEBRTC_SECRET to take calls from others")

    @property
    def name(self) -> str:
        """See `agent.plugins.Transport`."""
        return "webrtc"

    @property
    def networks(self) -> "Iterator[Network]":
        """How the network treats each live call, for metrics."""
        sessions = self._whip.sessions.values() if self._whip is not None else ()
        return (session.network for session in sessions)

    def routes(self) -> Iterable[web.RouteDef]:
        """See `agent.plugins.Transport`."""
        routes = [
            web.get(f"{ENDPOINT}/config", self._later("config"), allow_head=False),
            web.options(f"{ENDPOINT}/config", self._later("options")),
            web.post(f"{ENDPOINT}/token", self._later("token")),
            web.post(ENDPOINT, self._later("offer")),
            web.options(ENDPOINT, self._later("options")),
            web.patch(SESSION, self._later("patch")),
            web.delete(SESSION, self._later("delete")),
            web.options(SESSION, self._later("options")),
        ]
        if self._page:
            routes += [web.get("/", self._index), web.get("/page/{file}", self._page.file)]
        return routes

    async def close(self) -> None:
        """See `agent.plugins.Transport`."""
        if self._loading is not None:
            await asyncio.gather(self._loading, return_exceptions=True)
        if self._whip is not None:
            await self._whip.close()

    async def ready(self) -> "Whip":
        """The endpoint, loaded if it is not yet."""
        if self._loading is None:
            self._loading = asyncio.create_task(self._load(), name="load webrtc")
        return await asyncio.shield(self._loading)

    async def _load(self) -> "Whip":
        module = await asyncio.to_thread(importlib.import_module, "transports.webrtc.whip")
        whip: Whip = module.make_whip(self._context, self._options)
        self._whip = whip
        return whip

    def _later(self, name: str) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                whip = self._whip or await self.ready()
            except ImportError as error:
                self._loading = None
                logger.error("browsers cannot be answered: %s", error)  # noqa: TRY400  # an installation fault
                return problem(503, "WebRTC cannot be loaded here; the server's log says why")
            return await whip.answer(name, request)

        return answer

    async def _index(self, request: web.Request) -> web.StreamResponse:
        """The page; whoever opens it is likely to call."""
        assert self._page is not None
        if self._loading is None:
            self._loading = asyncio.create_task(self._load(), name="load webrtc")
        return await self._page.index(request)
