"""Messages between the server and its recogniser process. Pure.

Each: kind (1 byte), stream number (4), length of the body (4), body. Big-endian.
"""

import struct
from typing import BinaryIO

OPEN, AUDIO, FINALIZE, CLOSE = 1, 2, 3, 4
_HEAD = struct.Struct("!BII")
HEAD_BYTES = _HEAD.size
MAX_BODY_BYTES = 4 * 1024 * 1024


def pack(kind: int, number: int, body: bytes = b"") -> bytes:
    """One message."""
    return _HEAD.pack(kind, number, len(body)) + body


def unpack_head(head: bytes) -> tuple[int, int, int]:
    """Kind, stream number, length of the body."""
    kind, number, size = _HEAD.unpack(head)
    return kind, number, size


def read(source: BinaryIO) -> tuple[int, int, bytes] | None:
    """The next message of a blocking stream; None at its end."""
    head = source.read(HEAD_BYTES)
    if len(head) < HEAD_BYTES:
        return None
    kind, number, size = unpack_head(head)
    if size > MAX_BODY_BYTES:
        return None
    body = source.read(size)
    return (kind, number, body) if len(body) == size else None
