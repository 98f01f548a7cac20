"""Who may start a call from where: origins, the loopback rule, rates and tokens."""

import asyncio
from http import HTTPStatus
from urllib.parse import urlsplit

from aiohttp import web

from agent.clock import Clock
from agent.errors import ParleyError, TicketError
from agent.origin import client_address, is_loopback, public_url
from agent.problems import problem
from agent.settings import Settings
from transports.webrtc.bucket import AddressLimits
from transports.webrtc.limits import MAX_SDP_BYTES
from transports.webrtc.options import WebRtcOptions
from transports.webrtc.tokens import Grant, SessionTokens

BODY_DEADLINE_S = 5.0
_MAX_AGE_S = "600"
"""How long a browser may remember a preflight's answer."""


class RequestRefused(ParleyError):
    """An HTTP request that is answered with an error."""

    def __init__(self, status: int, kind: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        """Label of the bad-request counter."""
        self.detail = detail
        self.headers = headers or {}

    def response(self) -> web.Response:
        """As problem+json."""
        response = problem(self.status, self.detail)
        response.headers.update(self.headers)
        return response


class Guard:
    """Checks requests before anything is done for them."""

    def __init__(self, settings: Settings, options: WebRtcOptions, clock: Clock) -> None:
        self._settings = settings
        self._options = options
        self._clock = clock
        self._offers = AddressLimits(options.rate_per_s, options.burst)
        self._mints = AddressLimits(options.rate_per_s, options.burst)
        self.tokens = SessionTokens(options.secret, clock) if options.secret else None
        """None: only this machine may call, and needs none."""

    def origin(self, request: web.Request) -> str | None:
        """The page's origin, if a browser sent one that may call. Raises 403 for others."""
        origin = request.headers.get("Origin")
        if origin is None:
            return None
        origin = origin.lower()
        if origin != self._own_origin(request) and origin not in self._options.origins:
            detail = f"pages of {origin[:100]} may not call: add it to PARLEY_WEBRTC_ORIGINS"
            raise RequestRefused(HTTPStatus.FORBIDDEN, "origin", detail)
        return origin

    def admit(self, request: web.Request) -> bool:
        """Check where a request comes from. Returns whether it comes from this machine. Raises 403."""
        self.origin(request)
        local = is_loopback(request, self._settings)
        if self.tokens is None and not local:
            detail = "set PARLEY_WEBRTC_SECRET to take calls from elsewhere than this machine"
            raise RequestRefused(HTTPStatus.FORBIDDEN, "not_local", detail)
        return local

    def limit_offers(self, request: web.Request) -> None:
        """Count an offer against its address. Raises 429."""
        self._limit(request, self._offers)

    def limit_tokens(self, request: web.Request) -> None:
        """Count a token against the address that asks for it. Raises 429."""
        self._limit(request, self._mints)

    def _limit(self, request: web.Request, limits: AddressLimits) -> None:
        wait_s = limits.take(client_address(request, self._settings), self._clock.now_ms())
        if wait_s is not None:
            raise RequestRefused(
                HTTPStatus.TOO_MANY_REQUESTS, "rate", "too many calls from this address",
                {"Retry-After": str(wait_s)},
            )  # fmt: skip

    def grant(self, request: web.Request) -> Grant:
        """Use the request's token up, where one is needed. Raises 401."""
        if self.tokens is None:
            return Grant()
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _unauthorised("send a session token: Authorization: Bearer …", "no_token", "")
        try:
            return self.tokens.redeem(token.strip())
        except TicketError as error:
            raise _unauthorised(str(error), "bad_token", ' error="invalid_token"') from None

    def own_page(self, request: web.Request) -> SessionTokens:
        """The minter, for a request of our own page. Raises 403, or 404 where no token is needed."""
        if not self._own(request):
            detail = "tokens are minted for this server's own page; other sites' backends sign their own"
            raise RequestRefused(HTTPStatus.FORBIDDEN, "origin", detail)
        if self.tokens is None:
            raise RequestRefused(HTTPStatus.NOT_FOUND, "no_tokens", "no token is needed on this machine")
        return self.tokens

    def from_page(self, request: web.Request) -> bool:
        """Whether a page asks that may call: our own, or one of the allow-list's origins. Raises 403."""
        return self._own(request) or self.origin(request) is not None

    def cross_origin(self, request: web.Request) -> dict[str, str]:
        """CORS headers of an answer: none for origins that may not read it."""
        try:
            origin = self.origin(request)
        except RequestRefused:
            return {"Vary": "Origin"}
        if origin is None:
            return {"Vary": "Origin"}
        return {
            "Vary": "Origin",
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": "Location, ETag, Link, Accept-Patch, Accept-Post, Retry-After",
        }

    def preflight(self, request: web.Request, methods: str) -> dict[str, str]:
        """CORS headers of a preflight's answer. Raises 403."""
        self.origin(request)
        return {
            **self.cross_origin(request),
            "Access-Control-Allow-Methods": methods,
            "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
            "Access-Control-Max-Age": _MAX_AGE_S,
        }

    async def body(self, request: web.Request, content_type: str) -> bytes:
        """The body of a request. Raises 415, 413, 408."""
        if request.content_type != content_type:
            # RFC 5789, 2.2; Accept-Post is its like for POST (W3C LDP, 7.1).
            accepts = {f"Accept-{request.method.title()}": content_type}
            raise RequestRefused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content_type", f"send {content_type}", accepts
            )
        if (request.content_length or 0) > MAX_SDP_BYTES:
            raise _too_long()
        try:
            async with asyncio.timeout(BODY_DEADLINE_S):
                # One byte more than allowed is enough to know.
                body = bytearray()
                while chunk := await request.content.readany():
                    body += chunk
                    if len(body) > MAX_SDP_BYTES:
                        raise _too_long()
        except TimeoutError:
            raise RequestRefused(HTTPStatus.REQUEST_TIMEOUT, "slow_body", "the body did not come") from None
        return bytes(body)

    def _own(self, request: web.Request) -> bool:
        # Browsers send no Origin with a GET to the same origin.
        own = request.headers.get("Origin", "").lower() == self._own_origin(request)
        return own or request.headers.get("Sec-Fetch-Site") == "same-origin"

    def _own_origin(self, request: web.Request) -> str:
        url = urlsplit(public_url(request, self._settings, ""))
        return f"{url.scheme}://{url.netloc}".lower()


def _too_long() -> RequestRefused:
    detail = f"at most {MAX_SDP_BYTES} bytes of SDP"
    return RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_long", detail, {"Connection": "close"})


def _unauthorised(detail: str, kind: str, error: str) -> RequestRefused:
    # RFC 6750, 3.
    return RequestRefused(HTTPStatus.UNAUTHORIZED, kind, detail, {"WWW-Authenticate": f"Bearer{error}"})
