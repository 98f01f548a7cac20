"""The socket between platform and server, as little of it as a caller needs."""

from collections.abc import Mapping
from typing import Protocol

import websockets
from websockets.asyncio.client import ClientConnection, connect

from loadtest.callers.errors import CallRefused, Unreachable

OPEN_TIMEOUT_S = 5.0
"""Until the server has taken the upgrade. Twilio gives a connection about as long (sheet 8)."""
CLOSE_TIMEOUT_S = 1.0
_ALIVE_S = 20.0
"""A server that answers no ping for so long is taken for dead, which also ends a blocked `send`."""


class WireClosed(Exception):
    """The socket is closed. `code` is 1006 if no closing frame came."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed with {code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class Wire(Protocol):
    """One open WebSocket, text messages only."""

    async def send(self, text: str) -> None:
        """Send a message. Raises `WireClosed`. Messages leave in the order in which `send` was called."""

    async def receive(self) -> str:
        """The next message. Raises `WireClosed`."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, with a bound on the handshake. Idempotent."""


class WebSocketWire:
    """A `Wire` on a real socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, text: str) -> None:
        try:
            await self._connection.send(text)
        except websockets.ConnectionClosed as error:
            raise _closed(error) from None

    async def receive(self) -> str:
        try:
            message = await self._connection.recv()
        except websockets.ConnectionClosed as error:
            raise _closed(error) from None
        # No protocol here uses binary frames; seen as text, one is reported as malformed.
        return message if isinstance(message, str) else message.decode(errors="replace")

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._connection.close(code, reason)


async def open_wire(url: str, headers: Mapping[str, str]) -> WebSocketWire:
    """Open a WebSocket as the platform would. Raises `Unreachable` or `CallRefused`."""
    try:
        connection = await connect(
            url,
            additional_headers=dict(headers),
            compression=None,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=_ALIVE_S,
            ping_timeout=_ALIVE_S,
            proxy=None,
        )
    except websockets.InvalidStatus as error:
        status = error.response.status_code
        raise CallRefused(f"the WebSocket at {url} was refused with HTTP {status}") from None
    except (TimeoutError, OSError, websockets.WebSocketException) as error:
        raise Unreachable(f"cannot open the WebSocket at {url}: {error or 'timed out'}") from None
    return WebSocketWire(connection)


def _closed(error: websockets.ConnectionClosed) -> WireClosed:
    if error.rcvd is None:
        return WireClosed(1006, "")
    return WireClosed(error.rcvd.code, error.rcvd.reason)
