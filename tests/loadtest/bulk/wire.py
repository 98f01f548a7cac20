"""Reads what bulk callers send, as a server would."""

from typing import Any

import orjson


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """Opcode and unmasked payload of each client frame (RFC 6455, 5.2). `data` must be whole frames."""
    found = []
    at = 0
    while at < len(data):
        first, second = data[at], data[at + 1]
        assert first & 0xF0 == 0x80, "final, no extension"
        assert second & 0x80, "clients mask"
        size, at = second & 0x7F, at + 2
        if size >= 126:
            wide = 2 if size == 126 else 8
            size, at = int.from_bytes(data[at : at + wide], "big"), at + wide
        key, at = data[at : at + 4], at + 4
        payload = data[at : at + size]
        assert len(payload) == size
        at += size
        found.append((first & 0x0F, bytes(byte ^ key[number % 4] for number, byte in enumerate(payload))))
    return found


def messages(data: bytes) -> list[dict[str, Any]]:
    """The text messages in `data`."""
    found: list[dict[str, Any]] = [orjson.loads(payload) for opcode, payload in frames(data) if opcode == 1]
    return found
