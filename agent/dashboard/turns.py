"""What the dashboard remembers of turns: the last ones, their response times over an hour, providers' work.

Told once per turn and called by nobody else, it costs a few microseconds a turn; percentiles are worked out
when somebody looks, or once when ten seconds are over.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from agent.clock import Clock
from agent.latency import Stage
from agent.metrics.latency_book import BoundedLabels
from agent.percentiles import percentile
from agent.records import CallObserver, CallRecord, TurnRecord

POINT_S = 10
"""One point of the chart: at a wall's distance nothing shorter can be told apart."""
POINTS = 360
"""An hour."""
LATEST = 32
RECENT_S = 300.0
"""What counts as now: long enough for percentiles to mean something with few calls."""
RECENT_TURNS = 1_000
"""Turns looked at for that: at 200 calls about half a minute, at ten calls all five."""
KINDS = {"stt": Stage.STT_FINAL, "llm": Stage.LLM_FIRST_TOKEN, "tts": Stage.TTS_FIRST_AUDIO}
"""Which stage shows how quick a kind of provider is."""


@dataclass(frozen=True, slots=True)
class SeenTurn:
    """A turn whose reply has begun to sound."""

    unix_s: float
    call_id: str
    transport: str
    """Of the call, whose record is not kept here: a thousand turns would keep a thousand ended calls."""
    turn: TurnRecord
    """Still being filled in: the agent's words follow."""


class TurnWatch(CallObserver):
    """Observer of all calls. Event loop only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.latest: deque[SeenTurn] = deque(maxlen=LATEST)
        self.recent: deque[SeenTurn] = deque(maxlen=RECENT_TURNS)
        self.served: dict[tuple[str, str], int] = {}
        """Turns by kind and provider."""
        self._provider = BoundedLabels()
        self._blown: deque[tuple[float, str, str]] = deque(maxlen=RECENT_TURNS)
        self._points: deque[list[float]] = deque(maxlen=POINTS)
        self._bucket = 0
        self._responses: list[float] = []

    def turn_ended(self, call: CallRecord, turn: TurnRecord) -> None:
        """See `agent.records.CallObserver`."""
        unix_s = self._clock.unix_s()
        seen = SeenTurn(unix_s, call.call_id, call.info.transport, turn)
        self.recent.append(seen)
        for kind, provider in turn.providers.items():
            key = (kind, self._provider(provider))
            self.served[key] = self.served.get(key, 0) + 1
        response_ms = turn.stages.get(Stage.RESPONSE)
        if response_ms is None:
            return  # the agent spoke by itself: nobody waited for it
        self.latest.append(seen)
        bucket = int(unix_s // POINT_S)
        if bucket != self._bucket:
            self._close_bucket()
            self._bucket = bucket
        self._responses.append(response_ms)

    def budget_blown(self, call: CallRecord, stage: Stage, action: str) -> None:
        """See `agent.records.CallObserver`."""
        self._blown.append((self._clock.unix_s(), stage.value, action))

    def blown(self) -> dict[str, dict[str, int]]:
        """Blown budgets of the last five minutes: by stage, how often what was done about it."""
        since_s = self._clock.unix_s() - RECENT_S
        found: dict[str, dict[str, int]] = {}
        for unix_s, stage, action in self._blown:
            if unix_s >= since_s:
                actions = found.setdefault(stage, {})
                actions[action] = actions.get(action, 0) + 1
        return found

    def points(self, last: int = POINTS) -> list[list[float]]:
        """Per ten seconds in which there were turns: their start (unix s), count, p50, p95, p99 in ms."""
        closed = list(self._points)[-last:]
        return [*closed, self._point()] if self._responses else closed

    def stages(self, wanted: Iterable[Stage]) -> dict[str, list[float]]:
        """Per stage, over the last five minutes: count, p50, p95, max in ms. Absent where there is none."""
        since_s = self._clock.unix_s() - RECENT_S
        turns = [seen.turn.stages for seen in self.recent if seen.unix_s >= since_s]
        found: dict[str, list[float]] = {}
        for stage in wanted:
            values = sorted(stages[stage] for stages in turns if stage in stages)
            if values:
                figures = (percentile(values, 0.5), percentile(values, 0.95), values[-1])
                found[stage.value] = [len(values), *(round(value, 1) for value in figures)]
        return found

    def providers(self) -> dict[tuple[str, str], list[float]]:
        """By kind and name: p50 and p95 in ms of what the provider took, over the last five minutes."""
        since_s = self._clock.unix_s() - RECENT_S
        times: dict[tuple[str, str], list[float]] = {}
        for seen in self.recent:
            if seen.unix_s < since_s:
                continue
            for kind, provider in seen.turn.providers.items():
                stage = KINDS.get(kind)
                if stage is not None and stage in seen.turn.stages:
                    times.setdefault((kind, provider), []).append(seen.turn.stages[stage])
        return {key: _middle_and_end(sorted(values)) for key, values in times.items()}

    def _close_bucket(self) -> None:
        if self._responses:
            self._points.append(self._point())
            self._responses = []

    def _point(self) -> list[float]:
        values = sorted(self._responses)
        figures = (percentile(values, share) for share in (0.5, 0.95, 0.99))
        return [self._bucket * POINT_S, len(values), *(round(value, 1) for value in figures)]


def _middle_and_end(ordered: list[float]) -> list[float]:
    return [round(percentile(ordered, 0.5), 1), round(percentile(ordered, 0.95), 1)]


def describe(seen: SeenTurn) -> dict[str, Any]:
    """A turn for the waterfall. Without words: those are on the call's own page."""
    turn = seen.turn
    return {
        "at": round(seen.unix_s, 2),
        "call": seen.call_id,
        "turn": turn.index,
        "transport": seen.transport,
        "language": turn.language,
        "kind": turn.kind,
        "cache": turn.cache,
        "stages": {stage.value: round(value, 1) for stage, value in turn.stages.items()},
        "providers": turn.providers,
        "blown": {stage.value: action for stage, action in turn.blown.items()},
    }
