"""When a scenario's troubles happen, and what came of each. No IO.

A shorter run has shorter steps, but a caller's patience, a server's start and a provider's deadline stay as
long as they are. So `--scale` does not bring an event nearer to the next one than its effects last, unless
the scenario has it so itself.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from loadtest.scenarios.result import EventResult, Point
from loadtest.scenarios.schema import Action, Event

_REDIAL_S = 10.0
"""A call that was lost is made again (1 s), hears the greeting (5 s) and asks: seen after 5 to 7 s."""
LEAST_WATCH_S: Mapping[Action, float] = MappingProxyType(
    {
        Action.KILL_PROVIDERS: 10.0,
        # A caller gives up after 5 s, as long as a model has for its first token by default: the first
        # answers of a spare came 8 s after the stall, those of a second round 3 s later.
        Action.STALL_PROVIDERS: 16.0,
        Action.RESTORE_PROVIDERS: 8.0,
        Action.CUT_SOCKETS: _REDIAL_S,
        Action.RESTART_SERVER: _REDIAL_S,
        Action.KILL_SERVER: _REDIAL_S,
    }
)
"""What an event needs before the next one (or the end), so that its recovery can be seen."""
BAD_LIVE_SHARE = 0.9
"""A second with fewer of the wanted calls on is a bad one."""


def scaled(events: Sequence[Event], seconds: float, scale: float) -> tuple[list[Event], float]:
    """The events of a run whose steps last `seconds` unscaled, and how long they have to last in all."""
    if not events:
        return [], seconds * scale
    found: list[Event] = []
    at_s = events[0].at_s * scale
    for event, until_s in zip(events, [*(each.at_s for each in events[1:]), seconds], strict=True):
        found.append(event.model_copy(update={"at_s": at_s}))
        window_s = max(until_s - event.at_s, 0.0)
        at_s += max(window_s * scale, min(window_s, LEAST_WATCH_S[event.do]))
    return found, max(at_s, seconds * scale)


def recoveries(events: Sequence[EventResult], timeline: Sequence[Point]) -> None:
    """Fill in what callers met after each event, until the next one (or the end).

    A second is bad if a caller met an error in it, a reply turned out to be another than it must be, or too
    few calls were on; it is good if a reply turned out right. An apology, or an old reply that goes on since
    nobody understood the caller, is a sound but no recovery.
    """
    for at, event in enumerate(events):
        until_s = events[at + 1].at_s if at + 1 < len(events) else math.inf
        points = [point for point in timeline if event.at_s < point["t_s"] <= until_s]
        if points:
            _tell(event, points)


def _tell(event: EventResult, points: Sequence[Point]) -> None:
    bad = [
        index
        for index, point in enumerate(points)
        if point["errors"] or point["wrong"] or point["calls"] < BAD_LIVE_SHARE * point["wanted"]
    ]
    event.watched_s = points[-1]["t_s"] - event.at_s
    event.errors = sum(point["errors"] for point in points)
    event.answers = sum(point["answers"] for point in points)
    event.wrong = sum(point["wrong"] for point in points)
    event.fewest_calls = min(point["calls"] for point in points)
    event.slowest_ms = max((each for point in points if (each := point["p95_ms"]) is not None), default=None)
    good = [point["t_s"] for point in points[bad[-1] + 1 if bad else 0 :] if point["right"]]
    if good:
        event.recovery_s = good[0] - event.at_s if bad else 0.0
    elif bad:
        event.recovery_s = math.inf
    # Without errors and answers nobody asked anything: nothing is known.


def story(event: EventResult) -> str:
    """What happened, for people: one line without the event's name and time."""
    if not event.watched_s:
        return f"{event.detail}: the run ended with it".removeprefix(": ")
    told = [event.detail] if event.detail else []
    wrong = f", {event.wrong} of them not what they should be" if event.wrong else ""
    told.append(f"{event.errors} error{'s' * (event.errors != 1)}, {event.answers} answers{wrong}")
    if event.slowest_ms is not None:
        told.append(f"p95 up to {event.slowest_ms:,.0f} ms")
    if event.fewest_calls is not None:
        told.append(f"{event.fewest_calls} calls at the fewest")
    told.append(_recovered(event))
    return "; ".join(told)


def _recovered(event: EventResult) -> str:
    if math.isnan(event.recovery_s):
        return f"nobody asked within {event.watched_s:.0f} s, so recovery is not known"
    if math.isinf(event.recovery_s):
        return f"not well again within the {event.watched_s:.0f} s until the next event"
    return f"well again after {event.recovery_s:.0f} s" if event.recovery_s else "no caller met an error"
