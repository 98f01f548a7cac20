"""The far end of a socket in tests."""

import asyncio
from collections.abc import Mapping
from typing import Any, Self

import aiohttp
import orjson
from aiohttp import WSMsgType


class Phone:
    """Twilio's side of one socket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    @classmethod
    async def dial(cls, client: aiohttp.ClientSession, url: str, headers: Mapping[str, str]) -> Self:
        return cls(await client.ws_connect(url, headers=headers))

    @property
    def transport(self) -> asyncio.Transport:
        """The connection below the WebSocket, to break it."""
        connection = self.socket._conn
        assert connection is not None
        transport = connection.transport
        assert isinstance(transport, asyncio.Transport)
        return transport

    async def send(self, *messages: dict[str, Any] | bytes) -> None:
        for message in messages:
            data = message if isinstance(message, bytes) else orjson.dumps(message)
            await self.socket.send_frame(data, WSMsgType.TEXT)

    async def receive(self) -> dict[str, Any]:
        message = await self.socket.receive(timeout=3)
        assert message.type is WSMsgType.TEXT, message
        return dict(orjson.loads(message.data))

    async def closed(self) -> int | None:
        """The server's close code."""
        message = await self.socket.receive(timeout=5)
        assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED), message
        return self.socket.close_code

    async def vanish(self) -> None:
        """The connection breaks without a closing handshake."""
        self.transport.abort()
        await asyncio.sleep(0)
