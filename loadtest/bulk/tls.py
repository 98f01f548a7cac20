"""TLS for callers' sockets without a transport per call: bytes in, records out. No IO.

`asyncio`'s TLS wraps its own transports; bulk callers have bare sockets, so they use the library's memory
buffers (`ssl.MemoryBIO`), and the socket stays with `loadtest.bulk.socket`.
"""

import ssl

_READ_BYTES = 64 * 1024


class TlsChannel:
    """One connection, client's side. Shake hands until `shake` says so, then `encrypt` and `decrypt`."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def shake(self, received: bytes = b"") -> tuple[bytes, bool]:
        """Go on with the handshake: what is to be sent, and whether that was all.

        Raises `ssl.SSLError` (an `OSError`) for a certificate that is not to be trusted, or what is no TLS.
        """
        if received:
            self._incoming.write(received)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return self._outgoing.read(), False
        return self._outgoing.read(), True

    def encrypt(self, data: bytes) -> bytes:
        """Records with `data`. All of them have to be sent, in order."""
        self._object.write(data)
        return self._outgoing.read()

    def decrypt(self, received: bytes) -> bytes:
        """What is complete of the far end's data; nothing for its close notice.

        Raises `ssl.SSLError` for what is no record of this connection.
        """
        if received:
            self._incoming.write(received)
        found = b""
        try:
            while data := self._object.read(_READ_BYTES):
                found += data
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass  # all that there is
        return found

    def pending(self) -> bytes:
        """Records that the library itself wants to send, such as the answer to a key update."""
        return self._outgoing.read()
