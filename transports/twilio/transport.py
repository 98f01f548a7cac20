"""The Twilio transport: its parts put together, and its routes."""

import importlib
import logging
from collections.abc import Iterable

from aiohttp import web

from agent.errors import ConfigError
from agent.plugins import TransportContext
from transports.open_sessions import OpenSessions
from transports.twilio.actions import CallActions
from transports.twilio.book import CallBook
from transports.twilio.guard import Guard
from transports.twilio.media import MediaSession
from transports.twilio.options import TwilioOptions
from transports.twilio.relay import RelaySession
from transports.twilio.session import SessionParts
from transports.twilio.signature import Signatures
from transports.twilio.twiml import ConnectAnswers
from transports.twilio.webhooks import (
    ACTION_PATH,
    MEDIA_PATH,
    RELAY_PATH,
    STATUS_PATH,
    VOICE_PATH,
    Webhooks,
)

logger = logging.getLogger(__name__)


class Twilio:
    """Calls over Twilio ConversationRelay and Media Streams. Implements `agent.plugins.Transport`.

    Settings: `transports.twilio.options`. Raises `ConfigError` for those that are wrong.
    """

    def __init__(self, context: TransportContext) -> None:
        options = TwilioOptions.from_settings(context.settings)
        host, settings = context.host, context.settings
        signatures = Signatures(options.auth_tokens, options.shared_keys)
        guard = Guard(host, settings, signatures, context.clock)
        book = CallBook()
        self._actions = _actions(options)
        self._guard = guard
        self._parts = SessionParts(
            host=host,
            clock=context.clock,
            guard=guard,
            book=book,
            actions=self._actions,
            language=context.agent.language,
            sockets=OpenSessions(context.clock),
            tokens_played="tokens-played" in (options.relay.events or ""),
        )
        answers = ConnectAnswers(context.agent, options.relay)
        self._webhooks = Webhooks(host, settings, guard, book, answers, options.mode)
        if signatures.configured and settings.public_url is None:
            logger.info("Twilio signatures are checked against the address in each request: "
                        "set PARLEY_PUBLIC_URL if a proxy or tunnel changes it")  # fmt: skip

    @property
    def name(self) -> str:
        """See `agent.plugins.Transport`."""
        return "twilio"

    def routes(self) -> Iterable[web.RouteDef]:
        """See `agent.plugins.Transport`. Both sockets are served, whichever the webhook names."""
        return [
            web.post(VOICE_PATH, self._webhooks.voice),
            web.post(STATUS_PATH, self._webhooks.status),
            web.post(ACTION_PATH, self._webhooks.action),
            web.get(RELAY_PATH, self._relay, allow_head=False),
            web.get(MEDIA_PATH, self._media, allow_head=False),
        ]

    async def close(self) -> None:
        """See `agent.plugins.Transport`."""
        await self._parts.sockets.close()
        if self._actions is not None:
            await self._actions.close()

    async def _relay(self, request: web.Request) -> web.StreamResponse:
        self._guard.upgrade(request, RelaySession.TRANSPORT)
        return await RelaySession(self._parts).serve(request)

    async def _media(self, request: web.Request) -> web.StreamResponse:
        self._guard.upgrade(request, MediaSession.TRANSPORT)
        return await MediaSession(self._parts).serve(request)


def _actions(options: TwilioOptions) -> CallActions | None:
    """The REST client, if there are credentials for it."""
    if options.account_sid is None or not options.auth_tokens:
        return None
    if not options.account_sid.startswith("AC"):
        raise ConfigError("TWILIO_ACCOUNT_SID: expected an account SID, AC and 32 hexadecimal digits")
    # Not at the top: the SDK's client takes 140 ms to import, and most set-ups never call it.
    rest = importlib.import_module("transports.twilio.rest")
    client: CallActions = rest.TwilioRest(options.account_sid, options.auth_tokens[0], options.api_url)
    return client
