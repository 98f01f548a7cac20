"""The stub providers as a child process of a test or a benchmark."""

import asyncio
import contextlib
import sys
from typing import Self

from loadtest.callers.errors import Unreachable

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0


class StubProcess:
    """`async with` it: listening on entry, gone on exit."""

    def __init__(self, **options: object) -> None:
        """`options` are those of `StubScript`."""
        self.address = ""
        """`host:port`, for the option `address` of the stub providers."""
        self._options = options
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def __aenter__(self) -> Self:
        options = [part for name, value in self._options.items() for part in ("--set", f"{name}={value}")]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "loadtest.stubs.server", *options,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                line = (await self._process.stdout.readline()).decode()
        except TimeoutError:
            line = ""
        except BaseException:
            await self.stop()
            raise
        if not line.startswith("listening on "):
            await self.stop()
            raise Unreachable("the stub providers did not start: run `python -m loadtest.stubs.server`")
        self.address = f"127.0.0.1:{line.split()[-1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL. Idempotent."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.communicate()
