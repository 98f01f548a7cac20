"""Do the two ends agree: the server's response time against its caller's own measure, turn by turn. No IO.

Both measure from the caller's last voiced frame to the reply's first sound (relay: prompt to first text),
each with its own eyes and clock: the server from the frame's arrival, by its voice detector, to the first
audio handed to the socket; the caller from the sending of the last frame with an audible sample to the
first audible sample as it would be played. A voice detector that clings to the caller's last syllable, a
wrong mark or a reply that waits in a queue of the server's shows as a difference; the sockets are in it too.

Voice to voice is longer by what follows the last audible sample within its frame, up to 20 ms: the server
sees whole frames only.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from loadtest.bulk.figures import Answered, percentile, percentiles

_EARLY_MS = 1_000.0
"""A reply may be begun on a partial transcript, before the last syllable; not before the sentence."""
_SLACK_MS = 100.0
"""How far a call's start as told by the server may be from when its turns are counted from."""


@dataclass(slots=True)
class Agreement:
    """Of one step."""

    apart_ms: dict[str, list[float]] = field(default_factory=dict)
    """By transport: by how much the caller's figure is greater than the server's, one for each turn."""
    unpaired: int = 0
    """Turns that a caller heard answered and for which the server has no account."""

    @property
    def summary(self) -> dict[str, dict[str, float]]:
        """By transport: `percentiles` of how far apart the ends are, and `bias`, the median with its sign."""
        return {
            transport: percentiles([abs(each) for each in values])
            | {"bias": round(percentile(values, 0.5), 1)}
            for transport, values in self.apart_ms.items()
        }

    @property
    def all_ms(self) -> list[float]:
        """How far apart the ends are, without sign, over all transports."""
        return [abs(each) for values in self.apart_ms.values() for each in values]


def agreement_of(
    answered: Iterable[Answered], records: Iterable[Mapping[str, Any]], unix_less_clock_ms: float
) -> Agreement:
    """Pair the turns of the calls in `records` (of `/calls/{id}`), in order, by call and time.

    Numbers alone would not do: a sentence that the server took for two, or an answer that never came, shifts
    all later ones. `unix_less_clock_ms` is what to add to a caller's time to make it Unix time in ms: server
    and callers must have the same idea of that, to some 100 ms.
    """
    by_call: dict[str, list[Answered]] = {}
    for each in answered:
        by_call.setdefault(each.call_id, []).append(each)
    found = Agreement()
    for record in records:
        mine = by_call.get(str(record.get("platform_call_id") or record.get("call_id")), [])
        apart = found.apart_ms.setdefault(str(record.get("transport")), [])
        waiting = _server_turns(record)
        for turn in sorted(mine, key=lambda each: each.asked_ms):
            response_ms = _pop_matching(waiting, turn, unix_less_clock_ms)
            if math.isnan(response_ms):
                found.unpaired += 1
            else:
                apart.append(turn.took_ms - response_ms)
    found.apart_ms = {transport: values for transport, values in found.apart_ms.items() if values}
    return found


def _server_turns(record: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Unix ms at which a reply to the caller was begun, and its response time; in order."""
    started_ms = float(record["started_unix_s"]) * 1000
    return [
        (started_ms + float(turn["at_ms"]), float(turn["stages"]["response"]))
        for turn in record["turns"]
        if turn["caller"] and "response" in turn["stages"]
    ]


def _pop_matching(waiting: list[tuple[float, float]], turn: Answered, unix_less_clock_ms: float) -> float:
    """The response time of the last reply begun between question and answer; it and those before are used
    up."""
    asked_ms = turn.asked_ms + unix_less_clock_ms
    latest_ms = asked_ms + turn.took_ms + _SLACK_MS
    fitting = [
        at for at, (begun_ms, _) in enumerate(waiting) if asked_ms - _EARLY_MS <= begun_ms <= latest_ms
    ]
    if not fitting:
        return math.nan
    response_ms = waiting[fitting[-1]][1]
    del waiting[: fitting[-1] + 1]
    return response_ms
