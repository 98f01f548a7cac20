"""A WebSocket's connection, taken over from the HTTP server once it is one.

aiohttp keeps what a request was made of (its parser, headers, two tasks and the frames of every handler) for
as long as its WebSocket lives: some 9 kB a call that nobody looks at again. Here it does the handshake, and
then the connection gets another protocol, by asyncio's `set_protocol`; for aiohttp the request is answered.
"""

import asyncio

from aiohttp import web
from aiohttp._websocket.writer import WebSocketWriter
from aiohttp.http import WebSocketReader


class Upgraded(asyncio.Protocol):
    """Whoever goes on with the connection. From `taken` on it gets what any protocol gets."""

    __slots__ = ()

    def taken(self, transport: asyncio.Transport) -> WebSocketReader:
        """The 101 is written and the connection is this one's. Returns the parser of what the peer sends.

        The parser gets at once what the peer sent right behind its request.
        """
        raise NotImplementedError


class Upgrade(web.WebSocketResponse):
    """The answer 101. `await prepare(request)`, then return it from the handler: nothing closes with it."""

    def __init__(self, upgraded: Upgraded) -> None:
        super().__init__(compress=False)
        self._upgraded = upgraded

    def _post_start(self, request: web.BaseRequest, protocol: str | None, writer: WebSocketWriter) -> None:
        # The private half of `prepare`: the headers are out, and a parser is to be given to the connection.
        handler, transport = request.protocol, request.transport
        if transport is None:
            raise ConnectionResetError("the connection is gone")
        handler.keep_alive(False)
        # This is the only way to what the handler has read beyond the request.
        handler.set_parser(self._upgraded.taken(transport))
        transport.set_protocol(self._upgraded)
        # Without its transport it has nothing to close, and lets go of everything.
        handler.transport = None
        handler.connection_lost(None)

    async def write_eof(self, data: bytes = b"") -> None:
        """The request is answered; the connection goes on."""
        self._eof_sent = True
