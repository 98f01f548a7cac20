"""Twilio's HTTP requests: a call comes in, a session has ended, a call is over (protocol sheet 1, 3.5, 6)."""

import logging
from collections.abc import Mapping

import orjson
from aiohttp import web

from agent.errors import LineError, Refused
from agent.lines import CallHost
from agent.origin import public_url, websocket_url
from agent.settings import Settings
from transports.twilio import relay, twiml
from transports.twilio.book import CallBook
from transports.twilio.guard import WEBHOOK, Guard
from transports.twilio.options import Mode
from transports.twilio.twiml import ConnectAnswers

logger = logging.getLogger(__name__)

VOICE_PATH = "/twilio/voice"
RELAY_PATH = "/twilio/relay"
MEDIA_PATH = "/twilio/media"
STATUS_PATH = "/twilio/status"
ACTION_PATH = "/twilio/action"

_OVER = frozenset(("completed", "failed", "busy", "no-answer", "canceled"))
"""Values of `CallStatus` after which nothing comes."""
_NOT_YET_ANSWERED = frozenset(("ringing", "queued", ""))
_RETRY_HEADER = "I-Twilio-Idempotency-Token"
_INVALID_PARAMETER = "64101"
"""Twilio did not accept our attributes: the same TwiML would fail again."""


class Webhooks:
    """The three routes. All are idempotent by CallSid: Twilio repeats a request that it saw no answer to."""

    def __init__(
        self,
        host: CallHost,
        settings: Settings,
        guard: Guard,
        book: CallBook,
        answers: ConnectAnswers,
        mode: Mode,
    ) -> None:
        self._host = host
        self._settings = settings
        self._guard = guard
        self._book = book
        self._answers = answers
        self._mode = mode

    async def voice(self, request: web.Request) -> web.Response:
        """A call comes in, or another TwiML document sends one here: connect it, or refuse."""
        fields = await self._guard.fields(request)
        call_sid = self._guard.call_sid(request, fields)
        status = fields.get("CallStatus", "")
        # Without a secret there is nothing to replay, and a test may use one CallSid for ever.
        if self._guard.secured and self._book.is_replay(call_sid, ringing=status == "ringing"):
            detail = f"call {call_sid} has been connected before: a recorded request?"
            raise self._guard.refuse(request, WEBHOOK, "replayed", 403, detail)
        try:
            greet = not self._host.is_live(call_sid)
            answer = self._connect(request, self._wanted(request), call_sid, fields, greet=greet)
        except Refused as refused:
            logger.info("call %s: %s", call_sid, refused)
            # Only a call that still rings can be rejected.
            return _xml(twiml.reject_busy() if status in _NOT_YET_ANSWERED else twiml.hang_up())
        return _xml(answer)

    async def status(self, request: web.Request) -> web.Response:
        """The call's status callback."""
        fields = await self._guard.fields(request)
        call_sid = self._guard.call_sid(request, fields)
        status = fields.get("CallStatus", "")
        if status in _OVER:
            await self._over(call_sid, status)
        return _xml(twiml.nothing())

    async def action(self, request: web.Request) -> web.Response:
        """The relay session or the stream has ended: what comes next."""
        fields = await self._guard.fields(request)
        call_sid = self._guard.call_sid(request, fields)
        status, session = fields.get("CallStatus", ""), fields.get("SessionStatus", "")
        if status in _OVER or session == "completed":
            await self._over(call_sid, status if status in _OVER else "completed")
            return _xml(twiml.nothing())
        target = _transfer_target(fields.get("HandoffData")) or self._book.handoff(call_sid)
        if target is not None:
            try:
                answer = twiml.dial(target)
            except LineError as error:
                logger.warning("call %s: %s", call_sid, error)
                self._host.count_bad_request(WEBHOOK, "bad_handoff")
            else:
                await self._host.hang_up(call_sid, "transferred")
                return _xml(answer)
        if session == "failed":
            saved = self._save(request, call_sid, fields)
            if saved is not None:
                return _xml(saved)
        await self._host.hang_up(call_sid, "line_lost" if session == "failed" else "session_ended")
        return _xml(twiml.hang_up())

    # -----------------------------------------------------------------------------------------------

    def _wanted(self, request: web.Request) -> Mode:
        """The product that this number's webhook address names (`?mode=media`), or the one that is set."""
        named = request.query.get("mode")
        if named is None:
            return self._mode
        try:
            return Mode(named)
        except ValueError:
            # Whoever calls is not to blame for the address that was typed into Twilio's console.
            logger.warning("%s?mode=%s: use one of %s", VOICE_PATH, named[:40], ", ".join(Mode))
            return self._mode

    def _connect(
        self, request: web.Request, mode: Mode, call_sid: str, fields: Mapping[str, str], *, greet: bool
    ) -> str:
        """TwiML that connects the call. Raises `Refused`."""
        parameters = {twiml.TICKET: self._host.tickets.issue(call_sid)}
        action_url = public_url(request, self._settings, ACTION_PATH)
        if mode is Mode.RELAY:
            url = websocket_url(request, self._settings, RELAY_PATH)
            return self._answers.relay(url, action_url, parameters, greet=greet)
        for name, field in ((twiml.CALLER, "From"), (twiml.CALLED, "To"), (twiml.DIRECTION, "Direction")):
            if value := fields.get(field):
                parameters[name] = value
        url = websocket_url(request, self._settings, MEDIA_PATH)
        return self._answers.media(url, action_url, parameters)

    def _save(self, request: web.Request, call_sid: str, fields: Mapping[str, str]) -> str | None:
        """TwiML that connects a call again whose socket dropped; None if it cannot be saved."""
        error = fields.get("ErrorCode", "")
        said = f"{error} {fields.get('ErrorMessage', '')}".strip()[:200]
        if error == _INVALID_PARAMETER:
            logger.error(
                "call %s: Twilio refuses our session (%s): check the PARLEY_TWILIO_ settings of voice, "
                "provider and model against Twilio's lists",
                *(call_sid, said),
            )
            return None
        if not self._book.may_reconnect(call_sid, request.headers.get(_RETRY_HEADER, "")):
            logger.warning("call %s: lost again (%s), giving up", call_sid, said)
            return None
        try:
            # Only ConversationRelay reports a failed session.
            answer = self._connect(request, Mode.RELAY, call_sid, fields, greet=False)
        except Refused as refused:
            logger.warning("call %s: cannot be saved: %s", call_sid, refused)
            return None
        logger.info("call %s: session failed (%s), connecting again", call_sid, said)
        return answer

    async def _over(self, call_sid: str, cause: str) -> None:
        self._book.ended(call_sid)
        self._host.tickets.cancel(call_sid)
        await self._host.hang_up(call_sid, cause)


def _transfer_target(handoff: str | None) -> str | None:
    """Where our own `end` message said that the call goes; None for any other hand-off data."""
    try:
        data = orjson.loads(handoff or "null")
    except orjson.JSONDecodeError:
        return None
    if not isinstance(data, dict) or data.get("reason") != relay.TRANSFER:
        return None
    target = data.get("target")
    return target if isinstance(target, str) else None


def _xml(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/xml")
