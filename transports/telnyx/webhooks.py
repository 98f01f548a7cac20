"""Telnyx's HTTP requests: Call Control events, TeXML documents, TeXML status callbacks (sheet 1, 2.1, 4)."""

import logging
from collections.abc import Mapping
from urllib.parse import parse_qsl

from aiohttp import web

from agent.audio.formats import AudioFormat
from agent.errors import Refused, WireError
from agent.lines import CallHost
from agent.origin import websocket_url
from agent.settings import Settings
from transports.telnyx import texml
from transports.telnyx.call_control import CallControl
from transports.telnyx.door import Door
from transports.telnyx.guard import WEBHOOK, Guard
from transports.telnyx.signature import Seen
from transports.telnyx.webhook_codec import read_webhook

logger = logging.getLogger(__name__)

VOICE_PATH = "/telnyx/voice"
TEXML_PATH = "/telnyx/texml"
STATUS_PATH = "/telnyx/status"
MEDIA_PATH = "/telnyx/media"

_OVER = frozenset(("completed", "failed", "busy", "no-answer", "canceled"))
"""Values of `CallStatus` after which nothing comes. Assumed to be Twilio's, whose callbacks TeXML copies."""
_MAX_ID_CHARS = 512
_MAX_FIELDS = 500


class Webhooks:
    """The handlers. All are idempotent: Telnyx sends at least once, in any order and in parallel."""

    def __init__(
        self,
        host: CallHost,
        settings: Settings,
        guard: Guard,
        door: Door,
        seen: Seen,
        control: CallControl,
        outbound: AudioFormat,
    ) -> None:
        self._host = host
        self._settings = settings
        self._guard = guard
        self._door = door
        self._seen = seen
        self._control = control
        self._outbound = outbound

    async def voice(self, request: web.Request) -> web.Response:
        """A Call Control event: answered at once, worked on in the background."""
        body = await self._guard.body(request)
        try:
            event = read_webhook(body)
        except WireError as error:
            raise self._guard.refuse(request, WEBHOOK, error.kind, 400, str(error)) from None
        if event.kind is None:
            return web.Response()
        # An event without an id is told apart by its signature.
        name = event.event_id or self._guard.replay_id(request)
        if name and self._seen.before(name):
            self._host.count_bad_request(WEBHOOK, "repeated_event")
            logger.debug("call %.64s: %s came before", event.call_control_id, event.kind)
            return web.Response()
        if not self._control.handle(event, websocket_url(request, self._settings, MEDIA_PATH)):
            # Telnyx asks again, then its failover URL.
            self._seen.forget(name)
            return web.Response(status=503)
        return web.Response()

    async def texml(self, request: web.Request) -> web.Response:
        """A call comes in by TeXML: connect it, or refuse."""
        fields, call_id = await self._form(request)
        signature = self._guard.replay_id(request)
        # The same request may come again while the call rings, since a lost answer is asked for again;
        # afterwards it could only fetch a ticket for a conversation that is under way.
        if signature and self._seen.before(signature) and self._door.was_served(call_id):
            detail = f"replayed: the request for call {call_id:.64} was used before"
            raise self._guard.refuse(request, WEBHOOK, "replayed", 403, detail)
        if fields.get("CallStatus", "") in _OVER:
            return _xml(texml.nothing())
        try:
            ticket = self._door.ticket(call_id)
        except Refused as refused:
            logger.info("call %.64s: %s", call_id, refused)
            return _xml(texml.reject_busy())
        url = websocket_url(request, self._settings, MEDIA_PATH)
        return _xml(texml.connect_stream(url, self._outbound, ticket))

    async def status(self, request: web.Request) -> web.Response:
        """A TeXML application's status callback."""
        fields, call_id = await self._form(request)
        status = fields.get("CallStatus", "")
        if status in _OVER:
            self._door.over(call_id)
            await self._host.hang_up(call_id, status)
        return _xml(texml.nothing())

    async def wrong_method(self, request: web.Request) -> web.Response:
        """TeXML by GET: the signature does not cover the query, so nothing in it can be believed."""
        detail = "get: set the TeXML application's webhook method to POST in the Telnyx portal"
        raise self._guard.refuse(request, WEBHOOK, "get", 400, detail)

    async def _form(self, request: web.Request) -> tuple[Mapping[str, str], str]:
        """The fields of a form, or of the query where the path's secret vouches for it, and the call's id."""
        body = await self._guard.body(request)
        text = body or (request.rel_url.raw_query_string.encode() if _by_secret(request) else b"")
        try:
            fields = dict(parse_qsl(text.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS))
        except ValueError as error:
            detail = f"malformed_body: {error}"
            raise self._guard.refuse(request, WEBHOOK, "malformed_body", 400, detail) from None
        call_id = fields.get("CallSid", "")
        if not 0 < len(call_id) <= _MAX_ID_CHARS or not call_id.isprintable():
            detail = "no_call_id: the CallSid is missing or no id"
            raise self._guard.refuse(request, WEBHOOK, "no_call_id", 400, detail)
        return fields, call_id


def _by_secret(request: web.Request) -> bool:
    return "secret" in request.match_info


def _xml(text: str) -> web.Response:
    return web.Response(text=text, content_type="application/xml")
