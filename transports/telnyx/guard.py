"""Who may speak to Telnyx's routes: signed requests, or this machine where no key is set.

A refusal is counted by kind, logged in one line at a bounded rate, and raised as the HTTP answer.
"""

import asyncio
import logging
import secrets

from aiohttp import web

from agent.clock import Clock
from agent.errors import WireError
from agent.lines import CallHost
from agent.origin import client_address, is_loopback
from agent.settings import Network, Settings
from transports.sparing_log import SparingLog
from transports.telnyx.signature import SIGNATURE_HEADER, Signatures

logger = logging.getLogger(__name__)

WEBHOOK = "telnyx"
"""Label of refused webhooks; sockets count under their line's own."""
MAX_BODY_BYTES = 64 * 1024
"""A `call.initiated` with all its SIP headers has some 4 kB."""
BODY_DEADLINE_S = 5.0
_ANSWERS: dict[int, type[web.HTTPException]] = {
    400: web.HTTPBadRequest,
    403: web.HTTPForbidden,
    404: web.HTTPNotFound,
    408: web.HTTPRequestTimeout,
    426: web.HTTPUpgradeRequired,
}


class Guard:
    """Checks requests before anything is done for them."""

    def __init__(
        self,
        host: CallHost,
        settings: Settings,
        signatures: Signatures,
        clock: Clock,
        texml_secret: str | None = None,
        texml_networks: tuple[Network, ...] = (),
    ) -> None:
        self._host = host
        self._settings = settings
        self._signatures = signatures
        self._secret = texml_secret
        self._networks = texml_networks
        self.notices = SparingLog(logger, clock)
        """For all that comes from who is not on a call."""

    @property
    def secured(self) -> bool:
        """True if requests can come from elsewhere, so that sockets need a ticket."""
        return self._signatures.configured or self._secret is not None

    async def body(self, request: web.Request) -> bytes:
        """The body of a webhook that may be trusted. Raises the HTTP answer to any other."""
        by_secret = "secret" in request.match_info
        if by_secret:
            self._knows_secret(request)
        elif not self._signatures.configured:
            self._only_local(request, WEBHOOK)
        body = await self._read(request)
        if self._signatures.configured and not by_secret:
            try:
                self._signatures.check(request.headers, body)
            except WireError as error:
                raise self.refuse(request, WEBHOOK, error.kind, 403, str(error)) from None
        return body

    def replay_id(self, request: web.Request) -> str:
        """What tells this request from all others, as long as it verifies; empty where it is not signed."""
        return request.headers.get(SIGNATURE_HEADER, "") if self._signatures.configured else ""

    def upgrade(self, request: web.Request, transport: str) -> None:
        """Let a WebSocket upgrade pass to where it shows its ticket, or raise the HTTP answer."""
        if not self.secured:
            self._only_local(request, transport)
        if not web.WebSocketResponse().can_prepare(request):
            raise self.refuse(request, transport, "no_upgrade", 426, "not a WebSocket upgrade")

    def refuse(
        self, request: web.Request, transport: str, kind: str, status: int, detail: str
    ) -> web.HTTPException:
        """Count and log a refusal; returns the exception to raise."""
        self._host.count_bad_request(transport, kind)
        resource = request.match_info.route.resource
        # The route, since its path may hold the secret.
        path = request.path if resource is None else resource.canonical
        address = client_address(request, self._settings)
        self.notices.warn(kind, "refused %s %s from %s: %s", request.method, path, address, detail)
        if status == 413:
            return web.HTTPRequestEntityTooLarge(MAX_BODY_BYTES, text=f"{kind}\n")
        return _ANSWERS[status](text=f"{kind}\n")

    # -----------------------------------------------------------------------------------------------

    def _knows_secret(self, request: web.Request) -> None:
        given = request.match_info["secret"].encode(errors="replace")
        if self._secret is None or not secrets.compare_digest(self._secret.encode(), given):
            raise self.refuse(request, WEBHOOK, "bad_secret", 404, "bad_secret: the path's secret is wrong")
        address = client_address(request, self._settings)
        if self._networks and not (address and any(address in network for network in self._networks)):
            detail = (
                "bad_address: not from PARLEY_TELNYX_TEXML_NETWORKS "
                "(behind a proxy, set PARLEY_TRUSTED_PROXIES as well)"
            )
            raise self.refuse(request, WEBHOOK, "bad_address", 403, detail)

    def _only_local(self, request: web.Request, transport: str) -> None:
        if not is_loopback(request, self._settings):
            detail = "not_local: set TELNYX_PUBLIC_KEY to take requests from elsewhere than this machine"
            raise self.refuse(request, transport, "not_local", 403, detail)
        if "Origin" in request.headers:
            # A web page that is open on this machine could else place calls (WebSockets know no same-origin
            # rule). Telnyx and telephone simulators send no Origin.
            detail = "browser: a web page may not call this route"
            raise self.refuse(request, transport, "browser", 403, detail)

    async def _read(self, request: web.Request) -> bytes:
        try:
            async with asyncio.timeout(BODY_DEADLINE_S):
                body: bytes | None = await request.read()
        except TimeoutError:
            detail = "slow_body: the body did not come"
            raise self.refuse(request, WEBHOOK, "slow_body", 408, detail) from None
        except web.HTTPRequestEntityTooLarge:
            body = None
        if body is None or len(body) > MAX_BODY_BYTES:
            detail = f"too_long: a body over {MAX_BODY_BYTES} bytes"
            raise self.refuse(request, WEBHOOK, "too_long", 413, detail)
        return body
