"""Who may speak to Twilio's routes: signed requests, or this machine where no secret is set.

A refusal is counted by kind, logged in one line without the query (tokens leak there) and at a bounded rate,
and raised as the HTTP answer.
"""

import asyncio
import logging
import re
from urllib.parse import parse_qsl

import orjson
from aiohttp import web
from multidict import MultiDict

from agent.clock import Clock
from agent.errors import TicketError, WireError
from agent.lines import CallHost, Slot
from agent.origin import client_address, is_loopback, public_url, websocket_url
from agent.settings import Settings
from transports.sparing_log import SparingLog
from transports.twilio.signature import SIGNATURE_HEADER, Signatures

logger = logging.getLogger(__name__)

WEBHOOK = "twilio"
"""Label of refused webhooks; sockets count under their line's own."""
MAX_BODY_BYTES = 64 * 1024
"""Twilio's forms have some 30 fields in 2 kB."""
BODY_DEADLINE_S = 5.0
_MAX_FIELDS = 500
_CALL_SID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""`CA` and 32 hexadecimal digits at Twilio; only what could hurt a log or a path is kept out."""


class Guard:
    """Checks requests before anything is done for them."""

    def __init__(self, host: CallHost, settings: Settings, signatures: Signatures, clock: Clock) -> None:
        self._host = host
        self._settings = settings
        self._signatures = signatures
        self.notices = SparingLog(logger, clock)
        """For all that comes from who is not on a call."""

    @property
    def secured(self) -> bool:
        """True if requests have to be signed; else they have to come from this machine."""
        return self._signatures.configured

    async def fields(self, request: web.Request) -> MultiDict[str]:
        """The fields of a webhook that may be trusted. Raises the HTTP answer to any other."""
        if not self.secured:
            self._only_local(request, WEBHOOK)
        body = await self._body(request)
        is_json = request.content_type == "application/json"
        try:
            fields = _json_fields(body) if is_json else _form_fields(body)
        except ValueError as error:
            raise self.refuse(request, WEBHOOK, "malformed_body", 400, str(error)) from None
        if self.secured:
            url = public_url(request, self._settings)
            valid = (
                self._signatures.body(url, body, request.headers)
                if is_json
                else self._signatures.form(url, fields, request.headers)
            )
            if not valid:
                raise self._bad_signature(request, WEBHOOK, url)
        return fields

    def call_sid(self, request: web.Request, fields: MultiDict[str]) -> str:
        """The call that a webhook is about. Raises 400."""
        call_sid = fields.get("CallSid", "")
        if not _CALL_SID.fullmatch(call_sid):
            raise self.refuse(request, WEBHOOK, "no_call_sid", 400, "the CallSid is missing or no id")
        return call_sid

    def upgrade(self, request: web.Request, transport: str) -> None:
        """Let a WebSocket upgrade pass, or raise the HTTP answer: before it is accepted, not after."""
        if not self.secured:
            self._only_local(request, transport)
        else:
            url = websocket_url(request, self._settings, request.raw_path)
            if not self._signatures.upgrade(url, request.headers):
                raise self._bad_signature(request, transport, url)
        if not web.WebSocketResponse().can_prepare(request):
            raise self.refuse(request, transport, "no_upgrade", 426, "not a WebSocket upgrade")

    def admit(self, ticket: str | None, call_sid: str) -> Slot:
        """The place for the call of a socket that has named itself.

        Raises `TicketError`, `WireError` for a call id that is none, or `Refused` for a local caller
        without a ticket when the server is full.
        """
        if not _CALL_SID.fullmatch(call_sid):
            raise WireError("call_sid", f"no call id: {call_sid[:40]!r}")
        if ticket:
            return self._host.tickets.redeem(ticket, call_sid)
        if self.secured:
            raise TicketError("no ticket")
        return self._host.reserve()

    def refuse(
        self, request: web.Request, transport: str, kind: str, status: int, detail: str
    ) -> web.HTTPException:
        """Count and log a refusal; returns the exception to raise."""
        self._host.count_bad_request(transport, kind)
        self.notices.warn(
            kind,
            "refused %s %s from %s: %s: %s",
            *(request.method, request.path, client_address(request, self._settings), kind, detail),
        )
        if status == 413:
            return web.HTTPRequestEntityTooLarge(MAX_BODY_BYTES, text=f"{kind}\n")
        return _ANSWERS[status](text=f"{kind}\n")

    # -----------------------------------------------------------------------------------------------

    def _only_local(self, request: web.Request, transport: str) -> None:
        if not is_loopback(request, self._settings):
            detail = "set TWILIO_AUTH_TOKEN to take requests from elsewhere than this machine"
            raise self.refuse(request, transport, "not_local", 403, detail)
        if "Origin" in request.headers:
            # A web page that is open on this machine could else place calls (WebSockets know no
            # same-origin rule). Twilio and telephone simulators send no Origin.
            detail = "a web page may not call this route"
            raise self.refuse(request, transport, "browser", 403, detail)

    async def _body(self, request: web.Request) -> bytes:
        try:
            async with asyncio.timeout(BODY_DEADLINE_S):
                body = await request.read()
        except TimeoutError:
            raise self.refuse(request, WEBHOOK, "slow_body", 408, "the body did not come") from None
        except web.HTTPRequestEntityTooLarge:
            body = None
        if body is None or len(body) > MAX_BODY_BYTES:
            raise self.refuse(request, WEBHOOK, "too_long", 413, f"a body over {MAX_BODY_BYTES} bytes")
        return body

    def _bad_signature(self, request: web.Request, transport: str, url: str) -> web.HTTPException:
        if SIGNATURE_HEADER not in request.headers:
            return self.refuse(request, transport, "no_signature", 403, "it is not signed")
        bare = url.partition("?")[0]
        detail = (
            f"the signature does not fit {bare!r}: is that the address in the Twilio console "
            "(else set PARLEY_PUBLIC_URL), and TWILIO_AUTH_TOKEN that account's primary token?"
        )
        return self.refuse(request, transport, "bad_signature", 403, detail)


_ANSWERS: dict[int, type[web.HTTPException]] = {  # 413 needs the limit, so it is made by hand
    400: web.HTTPBadRequest,
    403: web.HTTPForbidden,
    408: web.HTTPRequestTimeout,
    426: web.HTTPUpgradeRequired,
}


def _form_fields(body: bytes) -> MultiDict[str]:
    pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    return MultiDict(pairs)


def _json_fields(body: bytes) -> MultiDict[str]:
    message = orjson.loads(body)
    if not isinstance(message, dict):
        raise ValueError("the JSON body is no object")  # noqa: TRY004  # the caller's one kind of mistake
    return MultiDict({name: value for name, value in message.items() if isinstance(value, str)})
