"""Reading the server's own account of a call from its side port. Lenient: a view, not a contract."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class ServerTurn:
    """One turn as the server recorded it."""

    caller: str
    agent: str
    kind: str
    interrupted: bool
    stages: dict[str, float] = field(default_factory=dict)
    """Milliseconds by stage."""


class SidePort:
    """The side endpoint of one server. Close it after use."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S), headers=headers
        )

    async def close(self) -> None:
        """Idempotent."""
        await self._session.close()

    async def call(self, call_id: str) -> dict[str, Any] | None:
        """`/calls/{id}` by the platform's id; None if it cannot be had."""
        return await self._object(f"/calls/{quote(call_id, safe='')}")

    async def latency(self) -> dict[str, Any] | None:
        """`/latency`; None if it cannot be had."""
        return await self._object("/latency")

    async def ready(self) -> bool:
        """True once `/readyz` answers 200."""
        try:
            async with self._session.get(self._url + "/readyz") as response:
                return response.status == 200
        except (TimeoutError, aiohttp.ClientError):
            return False

    async def _object(self, path: str) -> dict[str, Any] | None:
        try:
            async with self._session.get(self._url + path) as response:
                found = orjson.loads(await response.read()) if response.status == 200 else None
        except (TimeoutError, aiohttp.ClientError, ValueError):
            return None
        return found if isinstance(found, dict) else None


def server_turns(record: dict[str, Any] | None) -> list[ServerTurn]:
    """The turns in a call record, whatever else is in it."""
    found = (record or {}).get("turns")
    turns = found if isinstance(found, list) else []
    return [_turn(turn) for turn in turns if isinstance(turn, dict)]


def _turn(turn: dict[str, Any]) -> ServerTurn:
    stages = turn.get("stages")
    figures = stages.items() if isinstance(stages, dict) else ()
    return ServerTurn(
        caller=str(turn.get("caller") or ""),
        agent=str(turn.get("agent") or ""),
        kind=str(turn.get("kind") or ""),
        interrupted=bool(turn.get("interrupted")),
        stages={str(name): float(value) for name, value in figures if isinstance(value, int | float)},
    )
