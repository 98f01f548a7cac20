"""WHIP (RFC 9725): how a browser's call is set up, changed and ended over HTTP."""

import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from agent.errors import Refused
from agent.lines import CallInfo
from agent.origin import client_address
from agent.plugins import TransportContext
from agent.problems import problem
from agent.settings import Settings
from agent.voices import CHOSEN_VOICE
from transports.webrtc.fragment import read_fragment
from transports.webrtc.frames import FrameStore
from transports.webrtc.guard import Guard, RequestRefused
from transports.webrtc.line import TRANSPORT
from transports.webrtc.options import WebRtcOptions
from transports.webrtc.sdp import OfferError, read_offer
from transports.webrtc.secure import Certificate
from transports.webrtc.session import Session, SessionParts
from transports.webrtc.tokens import TOKEN_S, Grant
from transports.webrtc.turn import IceServers

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
CALL_ID_HEADER = "Parley-Call-Id"
"""Of an answer: the call's id at `/calls/{id}`. No secret, and of no use to the caller but for being told."""
MAX_REMEMBERED = 1_000
"""Sessions whose call can be resumed; a call waits for its browser for some seconds only."""
_BUSY_S = "5"
"""`Retry-After` where the server is full: calls end every few seconds on a busy one."""

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Whip:
    """The endpoint and its sessions."""

    def __init__(self, parts: SessionParts, settings: Settings, guard: Guard) -> None:
        self._parts = parts
        self._settings = settings
        self._guard = guard
        self._certificate = Certificate.generateCertificate()
        self.sessions: dict[str, Session] = {}
        """By id: those that connect, and those that are calls."""
        self._carried: OrderedDict[str, str] = OrderedDict()
        """By session id, of the last sessions: which call they carried, by the platform's id."""
        self._handlers: dict[str, Handler] = {
            "config": self._config,
            "token": self._token,
            "options": self._options,
            "offer": self._post,
            "patch": self._patch,
            "delete": self._delete,
        }

    async def close(self) -> None:
        """End what is left."""
        for session in (left := list(self.sessions.values())):
            session.finish("closed")
        for session in left:
            await session.closed()

    async def answer(self, name: str, request: web.Request) -> web.Response:
        """Answer a request: `config`, `token`, `options`, `offer`, `patch` or `delete`.

        Refusals become answers, and all answers get CORS headers.
        """
        try:
            response = await self._handlers[name](request)
        except RequestRefused as refused:
            self._parts.host.count_bad_request(TRANSPORT, refused.kind)
            response = refused.response()
        except OfferError as error:
            self._parts.host.count_bad_request(TRANSPORT, error.kind)
            response = problem(error.status, error.detail)
        for header, value in self._guard.cross_origin(request).items():
            response.headers.setdefault(header, value)
        return response

    # --- before a call -----------------------------------------------------------------------------

    async def _config(self, request: web.Request) -> web.Response:
        """What a page needs to know to offer a call."""
        self._guard.admit(request)
        agent = self._parts.agent
        voices = {language: offered for language in agent.languages if (offered := self._voices(language))}
        body: dict[str, Any] = {
            "version": 1,
            "agent": {
                "name": agent.name,
                "languages": agent.languages,
                "language": agent.language,
                "voices": voices,
            },
            "iceServers": self._servers(request).for_browser(TRANSPORT, self._parts.clock.unix_s()),
            "token_required": self._guard.tokens is not None,
        }
        return web.json_response(body, headers={"Cache-Control": "no-store"})

    async def _token(self, request: web.Request) -> web.Response:
        """A session token for our own page."""
        self._guard.admit(request)
        tokens = self._guard.own_page(request)
        if not self._parts.options.page:
            raise RequestRefused(HTTPStatus.NOT_FOUND, "no_page", "PARLEY_WEBRTC_PAGE is off")
        self._guard.limit_tokens(request)
        body = {"token": tokens.mint(), "expires_in_s": TOKEN_S}
        return web.json_response(body, status=HTTPStatus.CREATED, headers={"Cache-Control": "no-store"})

    async def _options(self, request: web.Request) -> web.Response:
        """Preflight, and what the endpoint takes (RFC 9725, 4.1, 4.2)."""
        at_session = "session" in request.match_info
        methods = "PATCH, DELETE, OPTIONS" if at_session else "GET, POST, OPTIONS"
        accepts = {"Accept-Patch": FRAGMENT} if at_session else {"Accept-Post": SDP}
        headers = CIMultiDict({**self._guard.preflight(request, methods), **accepts})
        if not at_session and "Access-Control-Request-Method" not in request.headers:
            # Not for preflights, which browsers send before every call and read nothing of.
            self._add_links(headers, self._servers(request))
        return web.Response(status=HTTPStatus.NO_CONTENT, headers=headers)

    def _servers(self, request: web.Request) -> IceServers:
        """What may be told before a call. Credentials for TURN only to pages that may call: a relay costs."""
        servers = self._parts.options.servers
        open_to_all = self._guard.tokens is None
        return servers if open_to_all or self._guard.from_page(request) else servers.without_relays()

    # --- the call ----------------------------------------------------------------------------------

    async def _post(self, request: web.Request) -> web.Response:
        """An offer: a call begins."""
        # The cheapest checks first: what a flood costs is what these cost.
        self._guard.limit_offers(request)
        local = self._guard.admit(request)
        self._check_room()
        body = await self._guard.body(request, SDP)
        grant = self._guard.grant(request)
        offer = read_offer(body, self._parts.options.codecs)
        self._check_room()
        resumed = self._resumed(request)
        info = self._info(request, grant, resumed or secrets.token_urlsafe(18))
        session = Session(
            self._parts, self._certificate, offer, info, resumes=resumed is not None, local=local
        )
        try:
            session.reserve()
        except Refused as refused:
            raise _busy(str(refused)) from None
        self.sessions[session.id] = session
        self._carried[session.id] = info.platform_call_id
        if len(self._carried) > MAX_REMEMBERED:
            self._carried.popitem(last=False)
        try:
            answer = await session.answer()
        except BaseException as error:
            self._over(session)
            await session.closed()
            if isinstance(error, ConnectionError):
                raise _busy(str(error)) from None
            raise
        if resumed is not None:
            for other in self.sessions.values():
                other.moving |= other is not session and other.info.platform_call_id == resumed
        session.start(self._over)
        headers = CIMultiDict(
            {
                "Location": f"{request.path}/{session.id}",
                "ETag": session.etag,
                CALL_ID_HEADER: info.platform_call_id,
            }
        )
        self._add_links(headers, self._parts.options.servers)
        return web.Response(
            status=HTTPStatus.CREATED, text=answer, content_type=SDP, charset=None, headers=headers
        )

    async def _patch(self, request: web.Request) -> web.Response:
        """More candidates, or an ICE restart (RFC 9725, 4.3)."""
        session = self._session(request)
        if not session.patches.take(self._parts.clock.now_ms()):
            detail = "too many changes of one session"
            raise RequestRefused(HTTPStatus.TOO_MANY_REQUESTS, "rate", detail, {"Retry-After": "1"})
        body = await self._guard.body(request, FRAGMENT)
        condition = request.headers.get("If-Match")
        if condition is None:
            detail = "send If-Match: the session's ETag, or * for an ICE restart"
            raise RequestRefused(HTTPStatus.PRECONDITION_REQUIRED, "no_condition", detail)
        fragment = read_fragment(body)
        if condition.strip().strip('"') == "*":
            if not fragment.ufrag or not fragment.password:
                raise RequestRefused(
                    HTTPStatus.BAD_REQUEST, "malformed_sdp", "an ICE restart needs a=ice-ufrag and a=ice-pwd"
                )
            try:
                answer = await session.restart(fragment)
            except ConnectionError as error:
                raise RequestRefused(HTTPStatus.CONFLICT, "no_restart", str(error)) from None
            return web.Response(
                text=answer, content_type=FRAGMENT, charset=None, headers={"ETag": session.etag}
            )
        if session.etag not in [tag.strip() for tag in condition.split(",")]:
            detail = "the session's ICE credentials have changed: If-Match is not its ETag"
            raise RequestRefused(HTTPStatus.PRECONDITION_FAILED, "condition", detail)
        await session.trickle(fragment)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _delete(self, request: web.Request) -> web.Response:
        """The caller hangs up."""
        self._session(request).finish("caller_hung_up")
        return web.Response(status=HTTPStatus.OK)

    def _session(self, request: web.Request) -> Session:
        """Its unguessable id is what gives the right to it. Raises 404."""
        self._guard.origin(request)
        session = self.sessions.get(request.match_info["session"])
        if session is None:
            raise RequestRefused(HTTPStatus.NOT_FOUND, "no_session", "there is no such session (any more)")
        return session

    def _check_room(self) -> None:
        if len(self.sessions) >= self._parts.options.max_sessions:
            raise _busy("too many browsers are connected")

    def _resumed(self, request: web.Request) -> str | None:
        """The live call that goes on with this offer: the page's network has changed for good.

        Who names a session's id may move its call. None: a new call, also if the old one has ended by now.
        """
        call_id = self._carried.get(request.query.get("resume", ""))
        return call_id if call_id is not None and self._parts.host.is_live(call_id) else None

    def _info(self, request: web.Request, grant: Grant, call_id: str) -> CallInfo:
        agent = self._parts.agent
        language = request.query.get("language")
        language = language if language in agent.languages else None
        voice = request.query.get("voice", "")
        if voice not in self._voices(language or agent.language):
            voice = ""
        return CallInfo(
            transport=TRANSPORT,
            platform_call_id=call_id,
            caller=grant.caller or str(client_address(request, self._settings) or ""),
            language=language,
            parameters={CHOSEN_VOICE: voice} if voice else {},
        )

    def _voices(self, language: str) -> list[str]:
        """What a caller can choose from: none where there is only one."""
        further = self._parts.options.voices.get(language, ())
        own = self._parts.agent.voices.get(language)
        first = (own.name,) if own is not None and own.name and further else ()
        return list(dict.fromkeys((*first, *further)))

    def _add_links(self, headers: CIMultiDict[str], servers: IceServers) -> None:
        for link in servers.link_headers(TRANSPORT, self._parts.clock.unix_s()):
            headers.add("Link", link)

    def _over(self, session: Session) -> None:
        self.sessions.pop(session.id, None)


def make_whip(context: TransportContext, options: WebRtcOptions) -> Whip:
    """The endpoint of one server."""
    parts = SessionParts(context.host, context.clock, context.ticker, context.agent, options, FrameStore())
    return Whip(parts, context.settings, Guard(context.settings, options, context.clock))


def _busy(detail: str) -> RequestRefused:
    return RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "busy", detail, {"Retry-After": _BUSY_S})
