"""A child process that listens on known ports: the server under test, stub providers, simulated vendors."""

import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from agent.clock import Clock
from loadtest.callers.errors import Unreachable

RUN_PARLEY = "import sys; from agent.cli import main; sys.exit(main())"
"""For `python -c`: the command line, also where no `parley` is on the path."""
START_TIMEOUT_MS = 60_000.0
"""Simulators synthesise the callers' sentences before they listen; on a busy machine that takes long."""
_POLL_MS = 50.0
_STOP_TIMEOUT_S = 5.0


class Child:
    """`python …` listening on `ports` of 127.0.0.1. May be killed, stalled and started again."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        ports: Sequence[int],
        clock: Clock,
        *,
        environ: Mapping[str, str] | None = None,
        ready: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """`ready` says when it has started; without it, when all ports answer. `environ` None: ours."""
        self.name = name
        self.ports = tuple(ports)
        self._environ = environ
        self._ready = ready or self._answers
        self._arguments = tuple(arguments)
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None
        self._stalled = False
        self._folder = tempfile.TemporaryDirectory(prefix="parley-load-")
        self._log = Path(self._folder.name) / "child.log"

    @property
    def running(self) -> bool:
        """True while the process lives, stalled or not."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """Of the latest process."""
        assert self._process is not None
        return self._process.pid

    @property
    def ended(self) -> str:
        """How it ended, one line; empty while it runs."""
        if self._process is None or self._process.returncode is None:
            return ""
        # Who is killed has no last words: what it said last is about something else.
        killed = self._process.returncode == -signal.SIGKILL
        why = "killed, by somebody or for want of memory" if killed else self._last_line()
        return f"{self.name} ended with {self._process.returncode}: {why}"

    async def start(self) -> None:
        """Returns once it is ready. Raises `Unreachable`, one line."""
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *self._arguments, env=self._environ,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                # Ctrl-C is for us: a server that it reached too could not be asked for its figures any more.
                start_new_session=True,
            )  # fmt: skip
        give_up_ms = self._clock.now_ms() + START_TIMEOUT_MS
        while not await self._ready() or not self.running:
            if not self.running:
                raise Unreachable(f"{self.name} did not start: {self._last_line()}")
            if self._clock.now_ms() > give_up_ms:
                raise Unreachable(f"{self.name} did not listen in time: {self._last_line()}")
            await self._clock.sleep(_POLL_MS)

    def kill(self) -> None:
        """At once. Does nothing if it has ended."""
        self._signal(signal.SIGKILL)

    def stall(self) -> None:
        """It stands still, its sockets open, until `restore`."""
        self._stalled = True
        self._signal(signal.SIGSTOP)

    async def restore(self) -> None:
        """As it was: goes on if it was stalled, starts again if it was killed. Raises `Unreachable`."""
        if self.running and not self._stalled:
            # A kill of a moment ago may not have been noticed yet.
            await self._clock.sleep(_POLL_MS)
        if self._stalled:
            self._stalled = False
            self._signal(signal.SIGCONT)
        if not self.running:
            await self.start()

    async def stop(self) -> None:
        """End it, and forget what it said. Idempotent."""
        await self.end()
        self._folder.cleanup()

    async def end(self) -> None:
        """SIGTERM, then SIGKILL. It may be started again."""
        process = self._process
        if process is not None and process.returncode is None:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    await process.wait()
            except TimeoutError:
                self._signal(signal.SIGKILL)
                await process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _answers(self) -> bool:
        for port in self.ports:
            try:
                async with asyncio.timeout(1.0):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
            except (TimeoutError, OSError):
                return False
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        return True

    def _last_line(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"
