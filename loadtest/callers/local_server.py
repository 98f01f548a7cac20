"""A Parley server of one's own: `parley serve` as a child process on free loopback ports."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from agent.clock import Clock
from loadtest.callers.errors import Unreachable
from loadtest.callers.side import SidePort

READY_TIMEOUT_MS = 30_000.0
"""Process start to listening should take a second; a busy machine may take many times that."""
STOP_TIMEOUT_S = 15.0
_POLL_MS = 50.0
_LAST_LINES = 15
_PLATFORM_PREFIXES = ("PARLEY_", "TWILIO_", "TELNYX_")
_RUN = "import sys; from agent.cli import main; sys.exit(main())"


class LocalServer:
    """One server process. `async with` it: ready on entry, stopped by SIGTERM on exit."""

    def __init__(self, clock: Clock, environ: Mapping[str, str], **settings: str) -> None:
        """`settings` become `PARLEY_…` variables; the platforms' secrets in `environ` are not passed on."""
        self._clock = clock
        self.port, self.side_port = free_ports(2)
        self._environ = {
            name: value for name, value in environ.items() if not name.startswith(_PLATFORM_PREFIXES)
        }
        self._environ |= {
            "PARLEY_HOST": "127.0.0.1",
            "PARLEY_PORT": str(self.port),
            "PARLEY_SIDE_PORT": str(self.side_port),
            **settings,
        }
        self._log = Path(tempfile.mkdtemp(prefix="parley-")) / "server.log"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def side_url(self) -> str:
        return f"http://127.0.0.1:{self.side_port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        """What the server printed so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _start(self) -> None:
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-c", _RUN, "serve"),
                env=self._environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        side = SidePort(self.side_url)
        try:
            give_up_ms = self._clock.now_ms() + READY_TIMEOUT_MS
            while not await side.ready():
                if self._process.returncode is not None:
                    raise Unreachable(f"the server ended with {self._process.returncode}:\n{self._tail()}")
                if self._clock.now_ms() > give_up_ms:
                    raise Unreachable(f"the server was not ready in time:\n{self._tail()}")
                await self._clock.sleep(_POLL_MS)
        finally:
            await side.close()

    def terminate(self) -> None:
        """Send SIGTERM to all of the server's processes, as service managers do: it drains."""
        if self._process is not None and self._process.returncode is None:
            # It may have ended in this very moment.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)

    async def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int | None:
        """The exit code; None if it is still running after `timeout_s`."""
        if self._process is None:
            return None
        with contextlib.suppress(asyncio.TimeoutError):
            return await asyncio.wait_for(self._process.wait(), timeout_s)
        return None

    async def stop(self) -> int | None:
        """SIGTERM, then SIGKILL if that does not help. Returns the exit code. Idempotent."""
        self.terminate()
        code = await self.wait()
        if code is None and self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            code = await self._process.wait()
        with contextlib.suppress(OSError):
            self._log.unlink(missing_ok=True)
            self._log.parent.rmdir()
        return code

    def _tail(self) -> str:
        return "\n".join(self.log().splitlines()[-_LAST_LINES:])


def free_ports(count: int) -> tuple[int, ...]:
    """Ports that were free a moment ago on 127.0.0.1, all different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(each.getsockname()[1] for each in sockets)
