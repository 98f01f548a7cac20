"""The side port: metrics, latency, calls, health. Loopback by default, a bearer token elsewhere."""

import dataclasses
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from agent.admission import LoopLag
from agent.metrics import Metrics
from agent.problems import problem, problems
from agent.records import CallRecord
from agent.registry import Registry

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Side:
    """Routes of the side port."""

    def __init__(
        self,
        calls: Registry,
        metrics: Metrics,
        token: str | None,
        ready: Callable[[], str | None],
        lag: LoopLag,
    ) -> None:
        """`ready()` is None, or says why not."""
        self._calls = calls
        self._metrics = metrics
        self._token = token
        self._ready = ready
        self._lag = lag

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(middlewares=[problems, self._authorised])
        app.router.add_get("/metrics", self._exposition)
        app.router.add_get("/latency", self._latency)
        app.router.add_get("/calls", self._list)
        app.router.add_get("/calls/{call_id}", self._one)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/readyz", self._readiness)
        return app

    @web.middleware
    async def _authorised(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._token is not None and request.path not in ("/healthz", "/readyz"):
            scheme, _, given = request.headers.get("Authorization", "").partition(" ")
            # Headers arrive as text with escaped raw bytes; "surrogateescape" gives those bytes back.
            offered = given.strip().encode("utf-8", "surrogateescape")
            right = secrets.compare_digest(offered, self._token.encode())
            if scheme.lower() != "bearer" or not right:
                return problem(401, "send Authorization: Bearer with the value of PARLEY_SIDE_TOKEN")
        return await handler(request)

    async def _exposition(self, request: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics.exposition(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    async def _latency(self, request: web.Request) -> web.Response:
        return _json(self._metrics.book.summary())

    async def _list(self, request: web.Request) -> web.Response:
        live = [_brief(call.record) for call in self._calls.live]
        recent = [_brief(record) for record in reversed(self._calls.recent)]
        return _json({"live": live, "recent": recent})

    async def _one(self, request: web.Request) -> web.Response:
        record = self._calls.find(request.match_info["call_id"])
        if record is None:
            return problem(404, "no live or recent call has this id")
        return _json({**_brief(record), **dataclasses.asdict(record)})

    async def _health(self, request: web.Request) -> web.Response:
        return _json({"status": "ok", "loop_lag_ms": round(self._lag.smoothed_ms, 2)})

    async def _readiness(self, request: web.Request) -> web.Response:
        reason = self._ready()
        return _json({"status": "ready"}) if reason is None else problem(503, reason)


def _brief(record: CallRecord) -> dict[str, Any]:
    return {
        "call_id": record.call_id,
        "platform_call_id": record.info.platform_call_id,
        "transport": record.info.transport,
        "language": record.language,
        "state": record.state,
        "cause": record.cause,
        "started_unix_s": record.started_unix_s,
        "turn_count": len(record.turns),
    }


def _json(content: object) -> web.Response:
    body = orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)
    return web.Response(body=body, content_type="application/json")
