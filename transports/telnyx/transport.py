"""The Telnyx transport: its parts put together, and its routes."""

import logging
from collections.abc import Iterable

from aiohttp import web

from agent.plugins import TransportContext
from transports.open_sessions import OpenSessions
from transports.telnyx.actions import LoadedActions
from transports.telnyx.background import Background
from transports.telnyx.call_control import CallControl
from transports.telnyx.door import Door
from transports.telnyx.farewell import farewell
from transports.telnyx.guard import Guard
from transports.telnyx.options import TelnyxOptions
from transports.telnyx.parts import TRANSPORT, SessionParts
from transports.telnyx.session import MediaSession, header_token
from transports.telnyx.signature import Seen, Signatures
from transports.telnyx.webhooks import MEDIA_PATH, STATUS_PATH, TEXML_PATH, VOICE_PATH, Webhooks

logger = logging.getLogger(__name__)

WARM_AFTER_MS = 1_000.0
"""Until the SDK is loaded in the background: after the ports are open, before the first call as a rule."""


class Telnyx:
    """Calls over Telnyx media streaming. Implements `agent.plugins.Transport`.

    Settings: `transports.telnyx.options`. Raises `ConfigError` for those that are wrong.
    """

    def __init__(self, context: TransportContext) -> None:
        options = TelnyxOptions.from_settings(context.settings)
        host, settings, clock = context.host, context.settings, context.clock
        signatures = Signatures(options.public_keys, clock)
        self._guard = Guard(host, settings, signatures, clock, options.texml_secret, options.texml_networks)
        self._actions = LoadedActions(options.api_key, options.api_url) if options.api_key else None
        self._background = Background()
        door = Door(host, clock, secured=self._guard.secured)
        self._control = CallControl(
            host, clock, door, self._actions, options.outbound, self._background, farewell(context.agent)
        )
        self._parts = SessionParts(
            host, clock, door, self._control, self._actions, self._background,
            options.outbound, options.byte_order, self._guard.notices, OpenSessions(clock),
        )  # fmt: skip
        self._webhooks = Webhooks(
            host, settings, self._guard, door, Seen(clock), self._control, options.outbound
        )
        self._warming = (
            clock.call_later(WARM_AFTER_MS, self._actions.warm) if self._actions is not None else None
        )

    @property
    def name(self) -> str:
        """See `agent.plugins.Transport`."""
        return "telnyx"

    def routes(self) -> Iterable[web.RouteDef]:
        """See `agent.plugins.Transport`."""
        hooks = self._webhooks
        return [
            web.post(VOICE_PATH, hooks.voice),
            web.post(TEXML_PATH, hooks.texml),
            web.get(TEXML_PATH, hooks.wrong_method, allow_head=False),
            web.post(TEXML_PATH + "/{secret}", hooks.texml),
            web.get(TEXML_PATH + "/{secret}", hooks.texml, allow_head=False),
            web.post(STATUS_PATH, hooks.status),
            web.post(STATUS_PATH + "/{secret}", hooks.status),
            web.get(MEDIA_PATH, self._media, allow_head=False),
        ]

    async def close(self) -> None:
        """See `agent.plugins.Transport`."""
        if self._warming is not None:
            self._warming.cancel()
        await self._parts.sockets.close()
        self._control.close()
        await self._background.close()
        if self._actions is not None:
            await self._actions.close()

    async def _media(self, request: web.Request) -> web.StreamResponse:
        self._guard.upgrade(request, TRANSPORT)
        return await MediaSession(self._parts, header_token(request)).serve(request)
