"""The network between a page and the server, in a test's hand: it can lose packets, or be cut.

The page's requests are rewritten so that either side knows no other way to the other than through here.
"""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from playwright.async_api import Page, Route

Address = tuple[str, int]
_CANDIDATE = re.compile(r"a=candidate:.*\r\n")
_HERE = re.compile(r"a=candidate:(\S+ 1 udp \d+) 127\.0\.0\.1 (\d+) (typ host)", re.IGNORECASE)


class _Socket(asyncio.DatagramProtocol):
    """Passes on what comes."""

    def __init__(self, path: "UdpPath", peer: Address | None, owner: "_Forward") -> None:
        self._path = path
        self._peer = peer
        self._owner = owner
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Before Python 3.12 the loop's datagram transport does not say that it is one.
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if self._path.passes(data):
            self._owner.forward(data, addr, self._peer)

    def error_received(self, exc: Exception) -> None:
        """The far socket is closed: so be it."""


class _Forward:
    """One port for a page, in front of one of the server's."""

    def __init__(self, path: "UdpPath", server: Address) -> None:
        self._server = server
        self._path = path
        self._outside: _Socket
        self._inside: dict[Address, _Socket] = {}
        self._opening: set[asyncio.Task[None]] = set()

    async def open(self) -> int:
        loop = asyncio.get_running_loop()
        _, self._outside = await loop.create_datagram_endpoint(
            lambda: _Socket(self._path, None, self), local_addr=("127.0.0.1", 0)
        )
        return int(self._outside.transport.get_extra_info("sockname")[1])

    def forward(self, data: bytes, sender: Address, page: Address | None) -> None:
        """From the page's address `sender`, or from the server to the address `page`."""
        if page is not None:
            self._outside.transport.sendto(data, page)
        elif sender in self._inside:
            self._inside[sender].transport.sendto(data, self._server)
        elif len(self._opening) < 16:  # the packet is lost; ICE repeats its checks
            task = asyncio.create_task(self._meet(sender))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _meet(self, page: Address) -> None:
        loop = asyncio.get_running_loop()
        _, socket = await loop.create_datagram_endpoint(
            lambda: _Socket(self._path, page, self), local_addr=("127.0.0.1", 0)
        )
        if (twin := self._inside.setdefault(page, socket)) is not socket:
            assert twin
            socket.transport.close()

    async def close(self) -> None:
        await asyncio.gather(*self._opening)
        for socket in (self._outside, *self._inside.values()):
            socket.transport.close()


class UdpPath:
    """All paths of one page."""

    def __init__(self) -> None:
        self.cut = False
        """Nothing passes any more; a path of a later session does, once this is false again."""
        self.loss = 0.0
        """Share of media packets that are lost, either way."""
        self.lost = 0
        self.passed = 0
        """Media packets."""
        self.restarts = 0
        """ICE restarts that were asked for, and refused."""
        self.refuse_restarts = False
        self._random = random.Random(7)
        self._forwards: list[_Forward] = []

    def passes(self, data: bytes) -> bool:
        """False for a packet that is lost. RFC 7983 tells media by the first byte."""
        if self.cut:
            return False
        if not 127 < data[0] < 192:
            return True
        lost = self._random.random() < self.loss
        self.lost += lost
        self.passed += not lost
        return not lost

    async def handle(self, route: Route) -> None:
        """A request of the page to the WHIP endpoint."""
        request = route.request
        if request.method not in ("POST", "PATCH") or request.url.endswith("/token"):
            await route.continue_()
            return
        if request.headers.get("if-match") == '"*"' and self.refuse_restarts:
            self.restarts += 1
            await route.fulfill(status=409, content_type="application/problem+json", body='{"title": "no"}')
            return
        response = await route.fetch(post_data=_CANDIDATE.sub("", request.post_data or ""))
        answer = await response.text()
        if (here := _HERE.search(answer)) is not None:
            forward = _Forward(self, ("127.0.0.1", int(here[2])))
            self._forwards.append(forward)
            port = await forward.open()
            first = f"a=candidate:{here[1]} 127.0.0.1 {port} {here[3]}\r\n"
            answer = _CANDIDATE.sub("", answer)
            answer = answer.replace("a=end-of-candidates", first + "a=end-of-candidates", 1)
        await route.fulfill(response=response, body=answer)

    async def close(self) -> None:
        for forward in self._forwards:
            await forward.close()


@asynccontextmanager
async def path_under(page: Page) -> AsyncIterator[UdpPath]:
    """The page's calls go through the path that is yielded."""
    path = UdpPath()
    await page.route(re.compile(r"/webrtc(/|\?|$)"), path.handle)
    try:
        yield path
    finally:
        await page.unroute_all(behavior="wait")
        await path.close()
