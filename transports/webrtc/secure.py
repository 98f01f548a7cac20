"""DTLS, SRTP and SCTP for one browser: aiortc's, put together without its peer connection.

A peer connection would bring aiortc's senders and receivers, a certificate per call and SDP twice through
text. Here are only the parts below those.
"""
# ruff: noqa: SLF001  # aiortc's DTLS transport has SRTP sessions and a role, but no public way to them

import asyncio
import logging
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import pylibsrtp
from aiortc import (
    RTCCertificate,
    RTCDataChannel,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    RTCIceTransport,
    RTCSctpTransport,
)
from aiortc.rtcdtlstransport import SRTPProtectionProfile
from aiortc.rtcsctptransport import Chunk, RTCSctpCapabilities
from OpenSSL import SSL

from transports.webrtc.limits import MAX_MESSAGE_BYTES
from transports.webrtc.link import Link
from transports.webrtc.rtp import is_rtcp
from transports.webrtc.sdp import Offer

logger = logging.getLogger(__name__)

MAX_UNREAD_BYTES = 4 * MAX_MESSAGE_BYTES
"""Fragments of data-channel messages that are not complete. A peer that sends more ignores our window."""
_CLOSE_S = 1.0


class Certificate(RTCCertificate):
    """A certificate whose OpenSSL context is made once: 0.3 ms less per call, and 7 ms for the key pair.

    It may outlive its dates: browsers check its fingerprint, which came with the answer, and nothing else.
    """

    _context: SSL.Context | None = None

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        if self._context is None:
            self._context = super()._create_ssl_context(srtp_profiles)
        return self._context


class _Sctp(RTCSctpTransport):
    """Bounds what a peer can make us keep, and survives what it should not send."""

    def __init__(self, transport: RTCDtlsTransport, on_bad: Callable[[str, str], None]) -> None:
        super().__init__(transport)
        self._advertised_rwnd = MAX_UNREAD_BYTES
        self._on_bad = on_bad

    async def _send_chunk(self, chunk: Chunk) -> None:
        # Called from tasks that nobody waits for. A lost chunk is sent again, or the call is over.
        with suppress(ConnectionError):
            await super()._send_chunk(chunk)

    async def _handle_data(self, data: bytes) -> None:
        if self._advertised_rwnd < 0:
            return
        try:
            await super()._handle_data(data)
        except (AssertionError, IndexError, KeyError, ValueError, struct.error) as error:
            self._on_bad("sctp", f"{type(error).__name__} {error}")
        if self._advertised_rwnd < 0:
            self._on_bad("giant_message", f"over {MAX_UNREAD_BYTES} bytes without an end")


class SecureTransport:
    """Keys, encryption and data channels over one `Link`."""

    def __init__(
        self,
        link: Link,
        certificate: RTCCertificate,
        offer: Offer,
        on_lost: Callable[[], None],
        on_channel: Callable[[RTCDataChannel], None],
        on_bad: Callable[[str, str], None],
    ) -> None:
        """`on_lost()`: the browser closed the connection, or it broke. `on_channel` for each data channel
        that the browser opens. `on_bad(kind, detail)` for what no browser sends; all plain calls."""
        self._link = link
        self._offer = offer
        self._on_lost = on_lost
        # Duck-typed: DTLS uses the role, _recv and _send of its transport.
        self._dtls = RTCDtlsTransport(cast("RTCIceTransport", link), [certificate])
        self._dtls._set_role("server" if offer.dtls_active else "client")
        self._dtls.on("statechange", self._state_changed)
        self._sctp = _Sctp(self._dtls, on_bad)
        self._sctp.on("datachannel", on_channel)
        self._connected = False

    @property
    def fingerprints(self) -> tuple[RTCDtlsFingerprint, ...]:
        """Of our certificate."""
        return tuple(self._dtls.getLocalParameters().fingerprints[:1])

    async def connect(self) -> None:
        """Shake hands; ICE is connected. Has no deadline of its own. Raises `ConnectionError`."""
        await self._dtls.start(RTCDtlsParameters(fingerprints=list(self._offer.fingerprints)))
        if self._dtls.state != "connected":
            raise ConnectionError("the DTLS handshake failed")
        self._connected = True
        if self._dtls._task is not None:
            self._dtls._task.add_done_callback(_retrieve)
        if self._offer.sctp_port is not None:
            caps = RTCSctpCapabilities(maxMessageSize=self._offer.max_message_bytes)
            await self._sctp.start(caps, self._offer.sctp_port)

    def send(self, data: bytes) -> bool:
        """Encrypt and send RTP or RTCP. False where there is no connection."""
        if not self._connected:
            return False
        srtp = self._dtls._tx_srtp
        return self._link.send_now(srtp.protect_rtcp(data) if is_rtcp(data) else srtp.protect(data))

    def open(self, data: bytes) -> bytes | None:
        """Decrypt RTP or RTCP. None for what is forged, replayed or came before the keys."""
        if not self._connected:
            return None
        srtp = self._dtls._rx_srtp
        try:
            opened: bytes = srtp.unprotect_rtcp(data) if is_rtcp(data) else srtp.unprotect(data)
        except pylibsrtp.Error:
            return None
        return opened

    async def close(self) -> None:
        """Say goodbye, as far as the peer is there, and stop. Bounded; idempotent."""
        self._connected = False
        task = self._dtls._task
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_CLOSE_S):
                await self._sctp.stop()
                await self._dtls.stop()
        if task is not None:
            await asyncio.wait({task}, timeout=_CLOSE_S)

    def _state_changed(self) -> None:
        if self._connected and self._dtls.state in ("closed", "failed"):
            self._connected = False
            self._on_lost()


def _retrieve(task: "asyncio.Future[None]") -> None:
    """aiortc's reading task logs its own faults; nobody else waits for it."""
    if not task.cancelled() and task.exception() is not None:
        logger.debug("the DTLS reader ended: %r", task.exception())
