"""The stubs' wire: frames of kind, stream and body over TCP. No IO.

It is as thin as a wire can be, so that what is measured is the server and not a vendor's client library.
Layout, big-endian: kind (one byte), stream (4 bytes), size of the body (4 bytes), body.
"""

import struct
from typing import NamedTuple

from agent.errors import WireError

MAX_BODY_BYTES = 1 << 20
"""No honest frame comes near: a minute of mu-law audio is 480 kB."""

# From the client.
AUDIO = 0x41
"""Caller's audio, mu-law at 8 kHz."""
FINALIZE = 0x46
CHAT = 0x43
"""JSON: the conversation."""
SPEAK = 0x53
"""UTF-8: one sentence."""
CANCEL = 0x58
# From the server.
PARTIAL = 0x50
FINAL = 0x54
TOKEN = 0x4B
SPEECH = 0x55
"""Mu-law at 8 kHz."""
DONE = 0x44

_HEADER = struct.Struct("!BII")


class Frame(NamedTuple):
    """One frame as read."""

    kind: int
    stream: int
    body: bytes


def encode(kind: int, stream: int, body: bytes = b"") -> bytes:
    """One frame as bytes."""
    return _HEADER.pack(kind, stream, len(body)) + body


class FrameReader:
    """Cuts a byte stream into frames."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames completed by `data`. Raises `WireError` for a size that no frame has."""
        data = self._rest + data if self._rest else data
        found: list[Frame] = []
        at, end = 0, len(data)
        while end - at >= _HEADER.size:
            kind, stream, size = _HEADER.unpack_from(data, at)
            if size > MAX_BODY_BYTES:
                raise WireError("too_long", f"a stub frame of {size} bytes")
            if end - at - _HEADER.size < size:
                break
            at += _HEADER.size
            found.append(Frame(kind, stream, data[at : at + size]))
            at += size
        self._rest = data[at:]
        return found
