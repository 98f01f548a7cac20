"""The WebRTC transport: its parts put together, and its routes."""

import logging
from collections.abc import Iterable, Iterator

from aiohttp import web

from agent.plugins import TransportContext
from transports.webrtc.frames import FrameStore
from transports.webrtc.guard import Guard
from transports.webrtc.options import WebRtcOptions
from transports.webrtc.page_files import PageFiles
from transports.webrtc.reports import Network
from transports.webrtc.session import SessionParts
from transports.webrtc.whip import Whip

logger = logging.getLogger(__name__)


class WebRTC:
    """Calls from browsers. Implements `agent.plugins.Transport`.

    Settings: `transports.webrtc.options`. Raises `ConfigError` for those that are wrong.
    """

    def __init__(self, context: TransportContext) -> None:
        options = WebRtcOptions.from_settings(context.settings)
        parts = SessionParts(context.host, context.clock, context.ticker, context.agent, options, FrameStore())
        self._whip = Whip(parts, context.settings, Guard(context.settings, options, context.clock))
        self._page = PageFiles() if options.page else None
        if options.secret is None:
            logger.info("browsers on this machine only: set PARLEY_WEBRTC_SECRET to take calls from others")

    @property
    def name(self) -> str:
        """See `agent.plugins.Transport`."""
        return "webrtc"

    @property
    def networks(self) -> Iterator[Network]:
        """How the network treats each live call, for metrics."""
        return (session.network for session in self._whip.sessions.values())

    def routes(self) -> Iterable[web.RouteDef]:
        """See `agent.plugins.Transport`."""
        routes = self._whip.routes()
        if self._page:
            routes += [web.get("/", self._page.index), web.get("/page/{file}", self._page.file)]
        return routes

    async def close(self) -> None:
        """See `agent.plugins.Transport`."""
        await self._whip.close()
