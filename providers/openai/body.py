"""A response's body: pieces with a bound on each wait, and a close that leaves nothing behind."""

import asyncio
from contextlib import suppress
from typing import Any

import aiohttp
import httpx2
import openai

from agent.errors import ProviderUnavailable
from providers.openai.problems import of_connection

FAILURES = (openai.APIConnectionError, httpx2.HTTPError, httpx2.StreamError, aiohttp.ClientError, OSError)
"""All that the SDK, its HTTP client and the transport below let through when a connection fails."""
END_MS = 25.0
"""Wait for the stream's end once the answer is complete. It mostly comes in the same packet, and the
connection can be used again; a server that is slow with it must not hold up the last sentence."""
MAX_WHOLE_BYTES = 1024 * 1024
"""Longest answer of a server that does not stream."""
_MAX_LEFT = 64
"""Pieces that a closed response may still give."""


class Body:
    """What the server answers with. `close` must be called."""

    def __init__(
        self, provider: str, url: str, timeout_ms: float, response: openai.AsyncAPIResponse[Any]
    ) -> None:
        self._provider = provider
        self._url = url
        self._timeout_ms = timeout_ms
        self._response = response
        # With no compression to undo, each piece goes through two generators less.
        packed = response.headers.get("content-encoding", "identity") != "identity"
        self._pieces = response.iter_bytes() if packed else response.http_response.aiter_raw()
        self.kind = (response.headers.get("content-type") or "").partition(";")[0].strip().lower()
        """The media type in small letters, without parameters."""

    async def read(self) -> bytes:
        """The next piece; empty at the end. Raises `ProviderError`."""
        try:
            return await anext(self._pieces, b"")
        except FAILURES as error:
            raise of_connection(self._provider, error, self._url, self._timeout_ms) from error

    async def whole(self) -> bytes:
        """All of it. Raises `ProviderError`, also for more than any answer can be."""
        found = bytearray()
        while piece := await self.read():
            found += piece
            if len(found) > MAX_WHOLE_BYTES:
                raise ProviderUnavailable(self._provider, f"an answer of more than {MAX_WHOLE_BYTES} bytes")
        return bytes(found)

    async def ends(self) -> bool:
        """Take what is left, but wait for it only a moment. False: the server does not come to an end."""
        try:
            async with asyncio.timeout(END_MS / 1000):
                for _ in range(_MAX_LEFT):
                    if not await anext(self._pieces, b""):
                        return True
        except (TimeoutError, *FAILURES):
            return False  # the answer is complete all the same
        return False

    async def close(self) -> None:
        """Free the connection: for the next reply if the body was read to its end, else by closing it.

        The SDK reads through generators in generators. One that is left in the middle would be finished by
        the event loop in a task of its own, some time later; on a closed response each of them ends at once.
        """
        await self._response.close()
        with suppress(*FAILURES):
            for _ in range(_MAX_LEFT):
                if not await anext(self._pieces, b""):
                    break
