"""The side port: metrics, latency, calls, health. Loopback by default, a bearer token elsewhere.

With no token only this machine is answered, and only under a name of this machine: a web page in an
operator's browser whose host name was pointed at 127.0.0.1 gets nothing. Metrics and latencies carry no
words, numbers or secrets of callers; `/calls/{id}` shows what was said, and is there for that.
"""

import asyncio
import dataclasses
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import orjson
from aiohttp import web

from agent.admission import LoopLag
from agent.dashboard import Dashboard
from agent.dashboard.feed import PAGE
from agent.metrics import Metrics
from agent.metrics.histograms import SINCE_START, WINDOW_NAMES
from agent.metrics.latency_book import summary_of_pieces
from agent.metrics.together import windows_document
from agent.origin import is_loopback
from agent.peers import LATENCY_PATH, METRICS_PATH, Peers
from agent.problems import problem, problems
from agent.records import CallRecord
from agent.registry import Registry
from agent.settings import Settings

logger = logging.getLogger(__name__)

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPEN_TO_ALL = ("/healthz", "/readyz")
"""An orchestrator's probes carry no token, and learn nothing but whether the server is well."""
_SECRET_WORDS = ("ticket", "token", "secret", "password", "key", "authorization")
"""A parameter of a call with such a name is not shown."""


class Side:
    """Routes of the side port."""

    def __init__(
        self,
        calls: Registry,
        metrics: Metrics,
        settings: Settings,
        ready: Callable[[], str | None],
        lag: LoopLag,
        dashboard: Dashboard | None = None,
        peers: Peers | None = None,
    ) -> None:
        """`ready()` is None, or says why not. `peers`: siblings that `/metrics` and `/latency` add up."""
        self._peers = peers
        self._dashboard = dashboard
        self._calls = calls
        self._metrics = metrics
        self._settings = settings
        self._token = settings.side_token
        self._ready = ready
        self._lag = lag

    def announce(self, address: tuple[str, int]) -> None:
        """Say in the log who is answered on the port."""
        if self._token is None:
            logger.info("side port on %s:%d: this machine only, no token", *address)
        else:
            logger.info("side port on %s:%d: bearer token required (it is sent in clear)", *address)

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(middlewares=[problems, self._authorised])
        app.router.add_get("/metrics", self._exposition)
        app.router.add_get("/latency", self._latency)
        app.router.add_get(METRICS_PATH, self._told_metrics)
        app.router.add_get(LATENCY_PATH, self._told_latency)
        app.router.add_get("/calls", self._list)
        app.router.add_get("/calls/{call_id}", self._one)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/readyz", self._readiness)
        if self._dashboard is not None:
            self._dashboard.mount(app)
        return app

    @web.middleware
    async def _authorised(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN_TO_ALL:
            return await handler(request)
        if self._token is None:
            if not is_loopback(request, self._settings):
                return problem(403, "without PARLEY_SIDE_TOKEN the side port only answers this machine")
        else:
            if request.path == "/" or request.path.startswith(PAGE):
                # The dashboard's own files: no data in them, and a browser cannot send a token for a page.
                return await handler(request)
            scheme, _, given = request.headers.get("Authorization", "").partition(" ")
            # Headers arrive as text with escaped raw bytes; "surrogateescape" gives those bytes back.
            offered = given.strip().encode("utf-8", "surrogateescape")
            right = secrets.compare_digest(offered, self._token.encode())
            if scheme.lower() != "bearer" or not right:
                return problem(401, "send Authorization: Bearer with the value of PARLEY_SIDE_TOKEN")
        return await handler(request)

    async def _exposition(self, request: web.Request) -> web.Response:
        peers = self._asked(request)
        if peers is None:
            body = b"".join(await _in_pieces(self._metrics.exposition_pieces()))
        else:
            body = await peers.exposition()
        return web.Response(
            body=body,
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    async def _latency(self, request: web.Request) -> web.Response:
        """`?window=5m` (one or several, comma-separated; all unless told), `?format=hdr` for one window."""
        names, form = _windows(request), request.query.get("format", "summary")
        if names is None or form not in ("summary", "hdr"):
            return problem(400, f"{_WINDOWS}; format is summary or hdr")
        book = self._metrics.book
        if form == "hdr":
            return _json(book.encoded(names[0] if "window" in request.query else SINCE_START))
        peers = self._asked(request)
        if peers is not None:
            return _json(await peers.latency(names))
        return _json(summary_of_pieces(names, await _in_pieces(book.summary_pieces(names))))

    def _asked(self, request: web.Request) -> Peers | None:
        """`?only=self`: this process alone."""
        return None if request.query.get("only") == "self" else self._peers

    async def _told_metrics(self, request: web.Request) -> web.Response:
        """For a sibling's sum: see `agent.metrics.together`. Never asks further."""
        return _json({"instance": self._metrics.instance, "metrics": self._metrics.document()})

    async def _told_latency(self, request: web.Request) -> web.Response:
        """The same for `/latency`; `?window=` as there."""
        names = _windows(request)
        if names is None:
            return problem(400, _WINDOWS)
        windows = windows_document(self._metrics.book.counted(names))
        return _json({"instance": self._metrics.instance, "windows": windows})

    async def _list(self, request: web.Request) -> web.Response:
        live = [_brief(call.record) for call in self._calls.live]
        recent = [_brief(record) for record in reversed(self._calls.recent)]
        return _json({"live": live, "recent": recent})

    async def _one(self, request: web.Request) -> web.Response:
        record = self._calls.find(request.match_info["call_id"])
        if record is None:
            return problem(404, "no live or recent call has this id")
        parameters = {name: _shown(name, value) for name, value in record.info.parameters.items()}
        info = dataclasses.replace(record.info, parameters=parameters)
        return _json({**_brief(record), **record.whole(), "info": info})

    async def _health(self, request: web.Request) -> web.Response:
        return _json({"status": "ok", "loop_lag_ms": round(self._lag.smoothed_ms, 2)})

    async def _readiness(self, request: web.Request) -> web.Response:
        reason = self._ready()
        return _json({"status": "ready"}) if reason is None else problem(503, reason)


_WINDOWS = f"window is of {', '.join(WINDOW_NAMES)}"


def _windows(request: web.Request) -> tuple[str, ...] | None:
    """Those asked for, all unless told; None where there is no such window."""
    given = request.query.get("window")
    names = tuple(given.split(",")) if given else WINDOW_NAMES
    return names if set(names) <= set(WINDOW_NAMES) else None


def _brief(record: CallRecord) -> dict[str, Any]:
    return {
        "call_id": record.call_id,
        "platform_call_id": record.info.platform_call_id,
        "transport": record.info.transport,
        "language": record.language,
        "state": record.state,
        "cause": record.cause,
        "started_unix_s": record.started_unix_s,
        "turn_count": record.turn_count,
    }


def _shown(name: str, value: str) -> str:
    return "(not shown)" if any(word in name.lower() for word in _SECRET_WORDS) else value


async def _in_pieces(pieces: Iterable[T]) -> list[T]:
    """All of them. Calls go on in between: no frame waits for a scrape."""
    found: list[T] = []
    for piece in pieces:
        found.append(piece)
        await asyncio.sleep(0)
    return found


def _json(content: object) -> web.Response:
    body = orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)
    return web.Response(body=body, content_type="application/json")
