"""The server's own account of a run, turn by turn, read from its side port."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from prometheus_client.parser import text_string_to_metric_families

from loadtest.callers.errors import Unreachable

_TIMEOUT = aiohttp.ClientTimeout(total=30.0)
"""For one request: a server that is busy with hundreds of calls may take its time."""
COUNTERS = (
    "frames_late",
    "underruns",
    "unanswered",
    "provider_failures",
    "bad_messages",
    "apologies",
    "ceilings",
)
"""What should not happen in a run: names as on `/metrics`, without prefix and unit."""


@dataclass(slots=True)
class Account:
    """Milliseconds, one of each per answered turn of a caller."""

    response_ms: list[float] = field(default_factory=list)
    """Last voiced sample in (relay: prompt), to first sound (text) out."""
    added_ms: list[float] = field(default_factory=list)
    """The server's share as it tells it itself: without all waits for providers."""
    strict_ms: list[float] = field(default_factory=list)
    """Response, less the endpointing wait and the pace that was asked of the stubs. What sockets, wake-ups
    and the stubs' own process take is in it, so the server's share is this much at most."""

    def add(self, stages: dict[str, float], pace_ms: float) -> None:
        """One turn's stages, by name."""
        response_ms = stages.get("response")
        if response_ms is None:
            return
        self.response_ms.append(response_ms)
        self.added_ms.append(stages.get("added", response_ms))
        self.strict_ms.append(max(response_ms - stages.get("endpointing", 0.0) - pace_ms, 0.0))


def account_of(records: Iterable[dict[str, Any]], since_unix_s: float, pace_ms: float) -> Account:
    """From the records of `/calls/{id}`: the callers' turns that were answered after `since_unix_s`.

    `pace_ms` is what the stub providers were told to take for a turn.
    """
    account = Account()
    for record in records:
        begun_s = float(record["started_unix_s"])
        for turn in record["turns"]:
            if turn["caller"] and begun_s + turn["at_ms"] / 1000 >= since_unix_s:
                account.add(turn["stages"], pace_ms)
    return account


def stages_of(records: Iterable[dict[str, Any]], since_unix_s: float) -> dict[str, list[float]]:
    """Milliseconds by stage, one for each answered turn of a caller after `since_unix_s` that has it."""
    found: dict[str, list[float]] = {}
    for record in records:
        begun_s = float(record["started_unix_s"])
        for turn in record["turns"]:
            if (
                turn["caller"]
                and begun_s + turn["at_ms"] / 1000 >= since_unix_s
                and "response" in turn["stages"]
            ):
                for stage, value_ms in turn["stages"].items():
                    found.setdefault(stage, []).append(float(value_ms))
    return found


async def read_records(
    side_url: str, call_ids: Iterable[str], token: str | None = None
) -> list[dict[str, Any]]:
    """`/calls/{id}` of each, one after the other; unknown calls are left out. Raises `Unreachable`."""
    found: list[dict[str, Any]] = []
    async with aiohttp.ClientSession(timeout=_TIMEOUT, headers=_headers(token)) as client:
        for call_id in call_ids:
            text = await _get(client, f"{side_url}/calls/{quote(call_id, safe='')}")
            if text is not None:
                found.append(orjson.loads(text))
    return found


async def read_counters(side_url: str, token: str | None = None) -> dict[str, float]:
    """`COUNTERS` from `/metrics`, summed over transports. Raises `Unreachable`."""
    async with aiohttp.ClientSession(timeout=_TIMEOUT, headers=_headers(token)) as client:
        text = await _get(client, f"{side_url}/metrics")
    sums = dict.fromkeys(COUNTERS, 0.0)
    for family in text_string_to_metric_families((text or b"").decode()):
        name = family.name.removeprefix("parley_")
        if name in sums:
            sums[name] = sum(each.value for each in family.samples if each.name.endswith("_total"))
    return sums


def _headers(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


async def _get(client: aiohttp.ClientSession, url: str) -> bytes | None:
    try:
        async with client.get(url) as answer:
            return await answer.read() if answer.status == 200 else None
    except (TimeoutError, aiohttp.ClientError) as error:
        raise Unreachable(f"cannot read {url}: {error or 'timed out'}") from None
