"""The client's side of WebSocket framing (RFC 6455 section 5.2), as cheap as it can be. No IO.

Frames are masked with the key 0, which leaves the payload as it is: so a frame is written once and sent by
hundreds of calls. The RFC wants the key unpredictable for the sake of proxies; there are none in between.
"""

import struct
from typing import NamedTuple

from agent.errors import WireError

TEXT = 0x1
CLOSE = 0x8
PING = 0x9
PONG = 0xA
_FIN = 0x80
_MASKED = 0x80
MAX_PAYLOAD_BYTES = 1 << 20
"""No server of ours sends more in one message."""
_KEY = bytes(4)
_MEDIUM = struct.Struct("!BBH4x")
_LONG = struct.Struct("!BBQ4x")


class ServerFrame(NamedTuple):
    """One whole frame as read. Servers do not split the short messages of these protocols."""

    opcode: int
    payload: bytes


def client_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """`payload` as one masked frame."""
    size = len(payload)
    if size < 126:
        return bytes((_FIN | opcode, _MASKED | size)) + _KEY + payload
    if size < 65536:
        return _MEDIUM.pack(_FIN | opcode, _MASKED | 126, size) + payload
    return _LONG.pack(_FIN | opcode, _MASKED | 127, size) + payload


class FrameParser:
    """Cuts what a server sends into frames."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[ServerFrame]:
        """The frames completed by `data`. Raises `WireError` for what no server may send us."""
        if self._rest:
            data = self._rest + data
        found: list[ServerFrame] = []
        at, end = 0, len(data)
        while end - at >= 2:
            first, size = data[at], data[at + 1]
            begin = at + 2
            if first & 0x70 or not first & _FIN or size & _MASKED:
                raise WireError("frame", f"an extended, split or masked frame: {first:#x} {size:#x}")
            if size == 126:
                begin += 2
                size = int.from_bytes(data[at + 2 : begin], "big")
            elif size == 127:
                begin += 8
                size = int.from_bytes(data[at + 2 : begin], "big")
            if end < begin:
                break
            if size > MAX_PAYLOAD_BYTES:
                raise WireError("frame", f"a frame of {size} bytes")
            if end - begin < size:
                break
            found.append(ServerFrame(first & 0x0F, data[begin : begin + size]))
            at = begin + size
        self._rest = data[at:]
        return found
