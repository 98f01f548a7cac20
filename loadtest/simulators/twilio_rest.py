"""A stand-in of the part of Twilio's REST API that a voice server uses: updating a call.

It listens on loopback, checks Basic auth, and answers in Twilio's shapes, so that Twilio's own SDK can be
pointed at it (`PARLEY_TWILIO_API_URL`). Twilio sheet 5.4 and 6.2; error bodies as the SDK parses them.
"""

import base64
import hmac
from dataclasses import dataclass
from typing import Self

from aiohttp import web

from agent.clock import Clock

LIVE = frozenset(("queued", "ringing", "in-progress"))
"""States in which a call can be updated."""


@dataclass(frozen=True, slots=True)
class CallUpdate:
    """One accepted update."""

    call_sid: str
    status: str | None
    twiml: str | None


class TwilioRestSimulator:
    """The API of one account. `async with` it: listens on entry.

    `calls` maps CallSids to their status; an update of a call that is not there or over is answered 404
    with code 20404. `delay_ms` holds every answer back.
    """

    def __init__(self, account_sid: str, auth_token: str, clock: Clock) -> None:
        self.calls: dict[str, str] = {}
        self.updates: list[CallUpdate] = []
        self.refused: list[int] = []
        """Error codes answered, in order."""
        self.delay_ms = 0.0
        self.url = ""
        self._account_sid = account_sid
        self._auth_token = auth_token
        self._clock = clock
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes([web.post("/2010-04-01/Accounts/{account}/Calls/{call}.json", self._update)])
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _update(self, request: web.Request) -> web.Response:
        if self.delay_ms:
            await self._clock.sleep(self.delay_ms)
        if not self._authenticated(request.headers.get("Authorization", "")):
            return self._error(401, 20003, "Authenticate")
        call_sid = request.match_info["call"]
        status = self.calls.get(call_sid)
        if request.match_info["account"] != self._account_sid or status not in LIVE:
            return self._error(404, 20404, f"The requested resource {request.path} was not found")
        fields = await request.post()
        update = CallUpdate(call_sid, _text(fields.get("Status")), _text(fields.get("Twiml")))
        if update.status is None and update.twiml is None:
            return self._error(400, 20001, "Nothing to update")
        self.updates.append(update)
        if update.status is not None:
            self.calls[call_sid] = update.status
        return web.json_response(
            {
                "sid": call_sid,
                "account_sid": self._account_sid,
                "api_version": "2010-04-01",
                "status": self.calls[call_sid],
                "uri": request.path,
            }
        )

    def _authenticated(self, header: str) -> bool:
        expected = b"Basic " + base64.b64encode(f"{self._account_sid}:{self._auth_token}".encode())
        return hmac.compare_digest(header.encode(errors="replace"), expected)

    def _error(self, status: int, code: int, message: str) -> web.Response:
        self.refused.append(code)
        more = f"https://www.twilio.com/docs/errors/{code}"
        body = {"code": code, "message": message, "more_info": more, "status": status}
        return web.json_response(body, status=status)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
