"""The dashboard's routes: the page, its feed of server-sent events, one call's trace.

Nothing runs while nobody watches. While somebody does, one task makes one message a second for all watchers;
each has a place for one message, and writes at its own pace. Who does not read is dropped, never waited for.
"""

import asyncio
import logging

from aiohttp import web

from agent.dashboard.page_files import PageFiles
from agent.dashboard.snapshot import Snapshots, Sources
from agent.problems import problem

logger = logging.getLogger(__name__)

PAGE = "/dashboard/page/"
PERIOD_MS = 1_000.0
MAX_WATCHERS = 20
STUCK_S = 5.0
"""A watcher who has not taken a message for so long is dropped. The browser asks again."""
SILENT_S = 3 * PERIOD_MS / 1000
"""A feed without messages for so long is ended: its maker has failed, and the next watcher starts another."""
_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would collect events
    "X-Content-Type-Options": "nosniff",
}


class _Watcher:
    """One open feed: the newest message that it has not sent yet."""

    __slots__ = ("_message", "_news", "missed")

    def __init__(self) -> None:
        self._message: bytes | None = None
        self._news = asyncio.Event()
        self.missed = 0
        """Messages replaced before they could be sent."""

    def put(self, message: bytes) -> None:
        if self._message is not None:
            self.missed += 1
        self._message = message
        self._news.set()

    async def take(self) -> bytes:
        await self._news.wait()
        self._news.clear()
        message, self._message = self._message, None
        assert message is not None
        return message


class Dashboard:
    """`mount` it on the side port's application."""

    def __init__(self, sources: Sources, files: PageFiles | None = None) -> None:
        self._sources = sources
        self._snapshots = Snapshots(sources)
        self._files = files or PageFiles()
        self._watchers: set[_Watcher] = set()
        self._handlers: set[asyncio.Task[object]] = set()
        self._beat: asyncio.Task[None] | None = None
        self.dropped = 0
        """Watchers dropped because they did not read."""

    def mount(self, app: web.Application) -> None:
        """Add the routes; the feeds end when the application shuts down."""
        app.router.add_get("/", self._files.index)
        app.router.add_get(PAGE + "{file}", self._files.file)
        app.router.add_get("/dashboard/feed", self._feed)
        app.router.add_get("/dashboard/calls/{call_id}", self._call)
        app.on_shutdown.append(self._shut)

    @property
    def watchers(self) -> int:
        """Feeds that are open."""
        return len(self._watchers)

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        if len(self._watchers) >= MAX_WATCHERS:
            return problem(503, f"{MAX_WATCHERS} dashboards are open already: close one")
        response = web.StreamResponse(headers=_HEADERS)
        watcher = _Watcher()
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        self._watchers.add(watcher)
        try:
            await response.prepare(request)
            await _send(response, b"greeting", self._snapshots.greeting())
            self._start()
            while True:
                async with asyncio.timeout(SILENT_S):
                    message = await watcher.take()
                if watcher.missed:
                    watcher.missed = 0
                    await _send(response, b"greeting", self._snapshots.greeting())
                await _send(response, b"present", message)
        except TimeoutError:
            self.dropped += 1
            logger.info("a dashboard that did not read was dropped")
            if request.transport is not None:
                request.transport.abort()
        except ConnectionResetError:
            pass  # the watcher has gone: the usual end
        finally:
            self._watchers.discard(watcher)
            self._handlers.discard(task)
            if not self._watchers:
                await self._stop()
        return response

    async def _call(self, request: web.Request) -> web.Response:
        record = self._sources.calls.find(request.match_info["call_id"])
        if record is None:
            return problem(404, "no live or recent call has this id")
        return web.Response(body=self._snapshots.call(record), content_type="application/json")

    def _start(self) -> None:
        if self._beat is None or self._beat.done():
            self._beat = asyncio.create_task(self._tell(), name="dashboard")
            self._beat.add_done_callback(_complain)

    async def _stop(self) -> None:
        beat, self._beat = self._beat, None
        if beat is not None:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)

    async def _tell(self) -> None:
        while True:
            message = self._snapshots.present()
            for watcher in self._watchers:
                watcher.put(message)
            await self._sources.clock.sleep(PERIOD_MS)

    async def _shut(self, _: web.Application) -> None:
        for task in tuple(self._handlers):
            task.cancel()


def _complain(beat: "asyncio.Task[None]") -> None:
    if not beat.cancelled() and (error := beat.exception()) is not None:
        logger.error("the dashboard failed", exc_info=error)


async def _send(response: web.StreamResponse, event: bytes, data: bytes) -> None:
    """One event. Raises `TimeoutError` for a watcher that does not read, `ConnectionResetError` for none."""
    async with asyncio.timeout(STUCK_S):
        await response.write(b"event: " + event + b"\ndata: " + data + b"\n\n")
