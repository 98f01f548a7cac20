"""What goes wrong with vendors, to be switched on while a simulator runs.

A simulator asks `Faults.next()` once per request (or once per socket) and plays the fault that it is given,
in its own protocol. `control_routes` lets a load test switch them, and the latency profiles, over HTTP:

    GET  /faults     what is switched on, and what has been done
    PUT  /faults     {"share": 0.1, "kinds": ["stall_open"], "limit": 5}
    GET  /profile    the delays by name
    PUT  /profile    {"first_token": "openai.gpt-4.1.first_token", "inter_token": {"median_ms": 5, ...}}
"""

import random
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import orjson
from aiohttp import web

from loadtest.simulators.profile import Profile, Timings, preset


class Fault(StrEnum):
    """One way to fail. How each looks on the wire is the simulator's to say."""

    REFUSE = "refuse"
    """The connection is dropped before an answer, as by a dead host or a full backlog."""
    TOO_MANY_REQUESTS = "too_many_requests"
    """429 with a Retry-After."""
    SERVER_ERROR = "server_error"
    """500, 502 or 503."""
    STALL_OPEN = "stall_open"
    """Accepted, then silence with the socket open: the commonest failure in the field."""
    DIE_MID_STREAM = "die_mid_stream"
    """A good beginning, then the socket is cut."""
    DRIBBLE = "dribble"
    """A good beginning, then pieces so slow that no sentence gets done."""
    GARBAGE = "garbage"
    """Bytes that the protocol does not allow."""
    SLOW_CLOSE = "slow_close"
    """A good answer, whose end (last message, close) does not come for a long time."""


ALL_FAULTS: tuple[Fault, ...] = tuple(Fault)


class Faults:
    """Which requests fail, and how.

    `share` of the requests (0 to 1) get one of `kinds`, drawn evenly; after `limit` faults (None: no limit)
    no more. All can be changed at any time with `switch`. Seeded, so that a run can be repeated.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.share = 0.0
        self.kinds: tuple[Fault, ...] = ALL_FAULTS
        self.limit: int | None = None
        self.requests = 0
        """Requests that asked."""
        self.done: Counter[Fault] = Counter()
        """Faults given out, by kind."""
        self._rng = random.Random(seed)

    def switch(self, share: float, kinds: Sequence[Fault] = ALL_FAULTS, *, limit: int | None = None) -> None:
        """From now on. `switch(0)` ends all faults; `switch(1, [Fault.GARBAGE], limit=1)` hits one request.

        Raises `ValueError` for a share outside 0 to 1, no kinds, or a negative limit.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share: expected 0 to 1, got {share}")
        if not kinds:
            raise ValueError("kinds: expected at least one fault")
        if limit is not None and limit < 0:
            raise ValueError(f"limit: expected 0 or more, got {limit}")
        self.share, self.kinds, self.limit = share, tuple(kinds), limit

    def next(self) -> Fault | None:
        """The fault of the next request, or None if it goes well. Counts both."""
        self.requests += 1
        if self.limit == 0 or self._rng.random() >= self.share:
            return None
        if self.limit is not None:
            self.limit -= 1
        fault = self._rng.choice(self.kinds)
        self.done[fault] += 1
        return fault


def control_routes(faults: Faults, timings: Timings) -> list[web.RouteDef]:
    """Routes that show and change a running simulator's faults and delays. A mistake is answered 400."""

    async def get_faults(_: web.Request) -> web.Response:
        return _json(_shown(faults))

    async def put_faults(request: web.Request) -> web.Response:
        try:
            _switch(faults, orjson.loads(await request.read()))
        except (ValueError, TypeError) as error:
            return _json({"error": str(error)}, 400)
        return _json(_shown(faults))

    async def get_profile(_: web.Request) -> web.Response:
        return _json(dict(timings.profiles))

    async def put_profile(request: web.Request) -> web.Response:
        try:
            changes = _profiles(orjson.loads(await request.read()), timings)
        except (ValueError, TypeError) as error:
            return _json({"error": str(error)}, 400)
        # Only when all of them are right: a mistake changes nothing.
        for name, profile in changes.items():
            timings.set(name, profile)
        return _json(dict(timings.profiles))

    return [
        web.get("/faults", get_faults),
        web.put("/faults", put_faults),
        web.get("/profile", get_profile),
        web.put("/profile", put_profile),
    ]


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def _shown(faults: Faults) -> dict[str, Any]:
    return {
        "share": faults.share,
        "kinds": [kind.value for kind in faults.kinds],
        "limit": faults.limit,
        "requests": faults.requests,
        "done": {kind.value: count for kind, count in faults.done.items()},
    }


def _switch(faults: Faults, wanted: Any) -> None:
    if not isinstance(wanted, dict) or not wanted.keys() <= {"share", "kinds", "limit"}:
        raise ValueError("expected an object with share, kinds, limit")
    share, limit = wanted.get("share", 0.0), wanted.get("limit")
    if isinstance(share, bool) or not isinstance(share, int | float):
        raise TypeError("share: expected a number from 0 to 1")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):
        raise TypeError("limit: expected a whole number or null")
    kinds = wanted.get("kinds", [kind.value for kind in ALL_FAULTS])
    names = {kind.value for kind in ALL_FAULTS}
    if not isinstance(kinds, list) or not all(kind in names for kind in kinds):
        raise ValueError(f"kinds: expected a list of {', '.join(sorted(names))}")
    faults.switch(share, [Fault(kind) for kind in kinds], limit=limit)


def _profiles(wanted: Any, timings: Timings) -> dict[str, Profile]:
    if not isinstance(wanted, dict):
        raise TypeError("expected an object: delay name to preset name or percentiles")
    changes: dict[str, Profile] = {}
    for name, value in wanted.items():
        if name not in timings.profiles:
            raise ValueError(f"no delay named {name!r}: use one of {', '.join(sorted(timings.profiles))}")
        changes[name] = preset(value) if isinstance(value, str) else _percentiles(name, value)
    return changes


def _percentiles(name: str, value: Any) -> Profile:
    fields = ("median_ms", "p95_ms", "p99_ms")
    if not isinstance(value, dict) or set(value) != set(fields):
        raise ValueError(f"{name}: expected a preset's name or {', '.join(fields)}")
    if not all(isinstance(number, int | float) for number in value.values()):
        raise TypeError(f"{name}: expected numbers")
    return Profile(*(float(value[field]) for field in fields))
