"""A stand-in of the part of Telnyx's REST API that a voice server uses: Call Control commands.

It listens on loopback, checks the bearer token, and answers in Telnyx's shapes, so that Telnyx's own SDK can
be pointed at it (`PARLEY_TELNYX_API_URL`). Telnyx sheet 2.5 and 6.
"""

import hmac
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
from aiohttp import web

from agent.clock import Clock

RINGING = "ringing"
ANSWERED = "answered"
ENDED = "ended"
REQUIRED = {
    "reject": "cause",
    "send_dtmf": "digits",
    "speak": "payload",
    "streaming_start": "stream_url",
    "transfer": "to",
}
"""Fields without which a command is 422."""
COMMANDS = frozenset(("answer", "hangup", *REQUIRED))
_NEEDS_ANSWER = frozenset(("speak", "streaming_start", "send_dtmf"))
_CODECS = frozenset(("PCMU", "PCMA", "G722", "OPUS", "AMR-WB", "L16"))


@dataclass(frozen=True, slots=True)
class Command:
    """One accepted command."""

    call_control_id: str
    name: str
    fields: dict[str, Any] = field(default_factory=dict)


class TelnyxRestSimulator:
    """The API of one account. `async with` it: listens on entry.

    `calls` maps call_control_ids to `RINGING`, `ANSWERED` or `ENDED`; `unknown` is the state of ids that are
    not there. A command on an id without a state is answered 404, on a call that has ended 422 with code
    90018. A command_id that came before for the same call is answered ok and not done again. `delay_ms` holds
    every answer back; `failures` holds statuses with which the next commands are answered instead.
    """

    def __init__(self, api_key: str, clock: Clock) -> None:
        self.calls: dict[str, str] = {}
        self.unknown: str | None = None
        self.commands: list[Command] = []
        self.refused: list[tuple[int, str]] = []
        """Status and error code answered, in order."""
        self.failures: list[int] = []
        self.requests = 0
        self.delay_ms = 0.0
        self.url = ""
        """With `/v2`, as the SDK wants it."""
        self._api_key = api_key
        self._clock = clock
        self._done: set[tuple[str, str]] = set()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes([web.post("/v2/calls/{call}/actions/{name}", self._command)])
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v2"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def named(self, name: str) -> list[Command]:
        """The accepted commands of this name, in order."""
        return [command for command in self.commands if command.name == name]

    async def _command(self, request: web.Request) -> web.Response:
        self.requests += 1
        if self.delay_ms:
            await self._clock.sleep(self.delay_ms)
        if self.failures:
            return self._error(self.failures.pop(0), "10016", "Something went wrong")
        given = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {self._api_key}".encode()):
            return self._error(401, "10009", "Authentication failed")
        call_id, name = request.match_info["call"], request.match_info["name"]
        fields = await _json_object(request)
        if fields is None:
            return self._error(400, "10015", "Bad Request")
        state = self.calls.get(call_id, self.unknown)
        if state is None or name not in COMMANDS:
            return self._error(404, "10005", "Resource not found")
        command_id = str(fields.get("command_id", ""))
        if command_id and (call_id, command_id) in self._done:
            return _ok()
        refusal = _refusal(state, name, fields)
        if refusal is not None:
            return self._error(422, *refusal)
        self._done.add((call_id, command_id))
        self.commands.append(Command(call_id, name, fields))
        if name == "answer":
            self.calls[call_id] = ANSWERED
        elif name in ("hangup", "reject"):
            self.calls[call_id] = ENDED
        return _ok()

    def _error(self, status: int, code: str, title: str) -> web.Response:
        self.refused.append((status, code))
        body = {"errors": [{"code": code, "title": title, "detail": title}]}
        return web.json_response(body, status=status)


def _refusal(state: str, name: str, fields: dict[str, Any]) -> tuple[str, str] | None:
    """Code and title of the 422 that this command gets, None if it is good."""
    if state == ENDED:
        return "90018", "Call has already ended"
    wanted = REQUIRED.get(name)
    if wanted is not None and not fields.get(wanted):
        return "10004", f"Missing required parameter: {wanted}"
    if name in _NEEDS_ANSWER and state != ANSWERED:
        return "90034", "Call not answered yet"
    if fields.get("stream_bidirectional_codec", "PCMU") not in _CODECS:
        return "10032", "Invalid stream_bidirectional_codec"
    return None


async def _json_object(request: web.Request) -> dict[str, Any] | None:
    try:
        fields = orjson.loads(await request.read() or b"{}")
    except orjson.JSONDecodeError:
        return None
    return fields if isinstance(fields, dict) else None


def _ok() -> web.Response:
    return web.json_response({"data": {"result": "ok"}})
