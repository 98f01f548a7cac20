"""One browser's ICE transport: aioice underneath, and what DTLS sits on.

Media does not queue: a datagram that is RTP or RTCP goes to `on_media` from within the socket's callback, and
what we send goes straight to the socket. Only DTLS records wait, for the task that reads them. An ICE restart
replaces the connection underneath; keys and streams stay.
"""
# ruff: noqa: SLF001  # aioice has no synchronous send, and no way to choose addresses and ports

import asyncio
import ipaddress
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aioice
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import StunProtocol
from aioice.stun import Message

from agent.clock import Clock
from transports.webrtc.reach import IceOptions
from transports.webrtc.sdp import IceParameters

MAX_RECORDS = 256
"""DTLS records that wait to be read: a window's worth of data channel. More are lost, and sent again."""
_LOOPBACK = "127.0.0.1"


class _Connection(aioice.Connection):
    """aioice's connection with our own choice of sockets, and datagrams handed over in place."""

    def __init__(self, link: "Link", options: IceOptions, *, local: bool) -> None:
        super().__init__(ice_controlling=False)
        self._link = link
        self._options = options
        self._local = local

    def data_received(self, data: bytes, component: int) -> None:
        self._link.received(data)

    def request_received(self, message: Message, addr: tuple[str, int], protocol: StunProtocol) -> None:
        self._link.heard()
        super().request_received(message, addr, protocol)

    async def get_component_candidates(
        self, component: int, addresses: list[str], timeout: int = 5
    ) -> list[aioice.Candidate]:
        """Host candidates only: a browser finds a server, not the other way round."""
        hosts = list(self._options.hosts or addresses)
        if not self._options.hosts and (self._local or not hosts):
            hosts.append(_LOOPBACK)
        found = []
        for rank, host in enumerate(hosts):
            protocol = await self._bind(host)
            if protocol is None:
                continue
            self._protocols.append(protocol)
            address = protocol.transport.get_extra_info("sockname")
            protocol.local_candidate = aioice.Candidate(
                foundation=candidate_foundation("host", "udp", address[0]),
                component=component,
                transport="udp",
                priority=candidate_priority(component, "host", 65535 - rank),
                host=address[0],
                port=address[1],
                type="host",
            )
            found.append(protocol.local_candidate)
        return found

    async def _bind(self, host: str) -> StunProtocol | None:
        loop = asyncio.get_running_loop()
        for port in self._options.ports:
            with suppress(OSError):  # taken, or the address is gone: the next one
                _, protocol = await loop.create_datagram_endpoint(
                    lambda: StunProtocol(self), local_addr=(host, port)
                )
                return protocol
        return None


class Link:
    """Stands in for aiortc's `RTCIceTransport` under a `RTCDtlsTransport`."""

    role = "controlled"
    """We answer offers (RFC 8445, 6.1.1)."""

    def __init__(
        self, options: IceOptions, clock: Clock, on_media: Callable[[bytes], None], *, local: bool
    ) -> None:
        """`local`: the browser is on this machine, so loopback is a way to reach us."""
        self._options = options
        self._clock = clock
        self._on_media = on_media
        self._local = local
        self._records: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_RECORDS)
        self._active = _Connection(self, options, local=local)
        self._fresh: _Connection | None = None
        self._restart: asyncio.Task[None] | None = None
        self._closed = False
        self.last_heard_ms = clock.now_ms()
        """When the browser was heard last: a datagram or a connectivity check."""
        self.dropped = 0
        """DTLS records dropped because the reader did not keep up."""

    async def gather(self) -> IceParameters:
        """Bind sockets. Returns our credentials and candidates. Raises `ConnectionError` for none."""
        return await self._gather(self._active)

    async def connect(self, remote: IceParameters) -> None:
        """Check candidates until a pair works. Has no deadline of its own; may be cancelled.

        Raises `ConnectionError`.
        """
        await _connect(self._active, remote)

    async def restart(self, remote: IceParameters, deadline_s: float) -> IceParameters:
        """New credentials on both sides (RFC 8445, 9); returns ours. The old path serves until the new works.

        Raises `ConnectionError` if nothing can be bound.
        """
        await self._stop_restart()
        fresh = _Connection(self, self._options, local=self._local)
        local = await self._gather(fresh)
        self._fresh = fresh
        self._restart = asyncio.create_task(self._replace(fresh, remote, deadline_s), name="ICE restart")
        return local

    async def add(self, remote: IceParameters) -> None:
        """Trickled candidates, for the newest credentials."""
        newest = self._active if self._fresh is None else self._fresh
        for candidate in remote.candidates:
            await newest.add_remote_candidate(candidate)

    def send_now(self, data: bytes) -> bool:
        """Send a datagram. False where there is no connection."""
        pair = self._active._nominated.get(1)
        if pair is None:
            return False
        pair.protocol.transport.sendto(data, pair.remote_addr)
        return True

    def received(self, data: bytes) -> None:
        """A datagram that is no STUN. RFC 7983 tells by the first byte what it is."""
        self.last_heard_ms = self._clock.now_ms()
        if data and 127 < data[0] < 192:
            self._on_media(data)
        elif self._records.full():
            self.dropped += 1
        else:
            self._records.put_nowait(data)

    def heard(self) -> None:
        """A connectivity check came."""
        self.last_heard_ms = self._clock.now_ms()

    async def close(self) -> None:
        """Close all sockets. Idempotent."""
        if self._closed:
            return
        self._closed = True
        await self._stop_restart()
        await self._active.close()
        if self._records.full():
            self._records.get_nowait()
        self._records.put_nowait(None)

    # --- for DTLS, which awaits ---------------------------------------------------------------------

    async def _recv(self) -> bytes:
        data = await self._records.get()
        if data is None:
            raise ConnectionError("the ICE transport is closed")
        return data

    async def _send(self, data: bytes) -> None:
        if not self.send_now(data):
            raise ConnectionError("there is no ICE connection")

    # -----------------------------------------------------------------------------------------------

    async def _gather(self, connection: _Connection) -> IceParameters:
        await connection.gather_candidates()
        candidates = tuple(connection.local_candidates)
        if not candidates:
            await connection.close()
            raise ConnectionError("no UDP port could be bound")
        if self._options.public_address is not None:
            candidates = _as_seen_outside(candidates, self._options.public_address)
        return IceParameters(connection.local_username, connection.local_password, candidates)

    async def _replace(self, fresh: _Connection, remote: IceParameters, deadline_s: float) -> None:
        old = fresh
        try:
            async with asyncio.timeout(deadline_s):
                await _connect(fresh, remote)
            old, self._active = self._active, fresh
        except (ConnectionError, TimeoutError):
            pass  # the old path goes on, if it still does; whoever watches `last_heard_ms` decides
        finally:
            self._fresh = None
            await old.close()

    async def _stop_restart(self) -> None:
        task, self._restart = self._restart, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})


async def _connect(connection: _Connection, remote: IceParameters) -> None:
    for candidate in remote.candidates:
        await connection.add_remote_candidate(candidate)
    connection.remote_username = remote.ufrag
    connection.remote_password = remote.password
    # The end of candidates is never told: browsers behind NAT are only found by their own checks.
    await connection.connect()


def _as_seen_outside(candidates: tuple[aioice.Candidate, ...], address: str) -> tuple[aioice.Candidate, ...]:
    """Each port under the public address too, and that first."""
    version = ipaddress.ip_address(address).version
    outside: list[Any] = []
    for candidate in candidates:
        if ipaddress.ip_address(candidate.host).version == version and candidate.host != _LOOPBACK:
            seen = aioice.Candidate.from_sdp(candidate.to_sdp())
            seen.host = address
            seen.foundation = candidate_foundation("host", "udp", address)
            outside.append(seen)
    return (*outside, *candidates)
