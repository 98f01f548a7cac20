"""What the dashboard shows, as JSON: a greeting with the past hour, then the present once a second.

Both are complete in themselves: a watcher who missed one has missed nothing but a moment.
"""

import resource
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import orjson

from agent.admission import LoopLag
from agent.clock import Clock
from agent.dashboard.timelines import Timelines
from agent.dashboard.turns import TurnWatch, describe
from agent.latency import Stage
from agent.logs import RecentProblems
from agent.metrics.names import STAGES
from agent.records import CallRecord
from agent.registry import Registry

VERSION = 1
"""Of the messages; a page of another version loads itself anew."""
LIVE_SHOWN = 400
"""Calls that are listed; all are counted."""
TURNS_SHOWN = 24
PROBLEMS_SHOWN = 12
FIGURES_EVERY = 5
"""Snapshots between two looks at the stages and providers: those take the longest and change the least."""
_FIGURES = tuple(entry.stage for entry in STAGES)


class ChainView(Protocol):
    """What is shown of a provider chain."""

    @property
    def all(self) -> tuple[tuple[str, Any], ...]:
        """Names and providers, in order; behind them those that are asked only on occasion."""

    @property
    def failures(self) -> Mapping[str, int]:
        """By provider name."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the dashboard looks. Nothing in it knows that it is watched."""

    calls: Registry
    turns: TurnWatch
    timelines: Timelines
    lag: LoopLag
    chains: Mapping[str, ChainView]
    """By kind: `stt`, `llm`, `tts`."""
    problems: RecentProblems
    clock: Clock
    agent_name: str
    not_ready: Callable[[], str | None] = lambda: None
    budgets_ms: Mapping[str, float] = field(default_factory=dict)
    """By stage; where there is none, the stage's target of `agent.metrics.names`."""


class Snapshots:
    """Makes the messages. One per dashboard: it remembers what a rate needs."""

    def __init__(self, sources: Sources) -> None:
        self._from = sources
        self._count = 0
        self._cpu: tuple[float, float] | None = None
        self._figures: dict[str, Any] = {}

    def greeting(self) -> bytes:
        """What does not change, and the past hour."""
        sources = self._from
        stages = [
            {
                "stage": entry.stage.value,
                "code": entry.code,
                "party": entry.party.value,
                "text": entry.text,
                "budget_ms": sources.budgets_ms.get(entry.stage.value, entry.target_ms),
            }
            for entry in STAGES
        ]
        return orjson.dumps(
            {
                "version": VERSION,
                "agent": sources.agent_name,
                "stages": stages,
                "points": sources.turns.points(),
                "slots": sources.calls.admission.max_calls,
            }
        )

    def present(self) -> bytes:
        """What is now."""
        sources = self._from
        if self._count % FIGURES_EVERY == 0:
            self._figures = {
                "stages": sources.turns.stages(_FIGURES),
                "blown": sources.turns.blown(),
                "providers": self._providers(),
                "finalizes": self._finalizes(),
            }
        self._count += 1
        live = [call.record for call in sources.calls.live]
        newest = list(sources.turns.latest)[-TURNS_SHOWN:]
        noted = list(sources.problems.noted)[-PROBLEMS_SHOWN:]
        return orjson.dumps(
            {
                "at": sources.clock.unix_s(),
                "live": len(live),
                "states": Counter(record.state for record in live),
                "transports": Counter(record.info.transport for record in live),
                "calls": [_row(record) for record in islice(live, LIVE_SHOWN)],
                "ended": [_row(record) for record in list(sources.calls.recent)[-TURNS_SHOWN:]],
                "ended_count": sum(sources.calls.ended_calls.values()),
                "refused": sum(sources.calls.admission.refused.values()),
                "bad_requests": sum(sources.calls.bad_requests.values()),
                "lag_ms": round(sources.lag.smoothed_ms, 2),
                "cpu": self._cpu_share(),
                "not_ready": sources.not_ready(),
                "points": sources.turns.points(2),
                "turns": [describe(seen) for seen in newest],
                "problems": [
                    [note.number, note.unix_s, note.level, note.logger, note.text, note.call]
                    for note in noted
                ],
                "problem_count": sources.problems.count,
                **self._figures,
            }
        )

    def call(self, record: CallRecord) -> bytes:
        """One call, turn by turn, with both sides' words."""
        turns = [
            {
                "turn": turn.index,
                "at_s": round(turn.at_ms / 1000, 3),
                "kind": turn.kind,
                "language": turn.language,
                "caller": turn.caller,
                "agent": turn.agent,
                "interrupted": turn.interrupted,
                "answered": turn.answered,
                "tools": turn.tools,
                "cache": turn.cache,
                "providers": turn.providers,
                "stages": {stage.value: round(value, 1) for stage, value in turn.stages.items()},
                "blown": {stage.value: action for stage, action in turn.blown.items()},
            }
            for turn in record.turns
        ]
        return orjson.dumps(
            {
                "call": record.call_id,
                "platform_call": record.info.platform_call_id,
                "transport": record.info.transport,
                "language": record.language,
                "state": record.state,
                "cause": record.cause,
                "started": record.started_unix_s,
                "ended": record.ended_unix_s,
                "now": self._from.clock.unix_s(),
                "counters": record.counters,
                "turns": turns,
                "left_out": record.left_out,
                "timeline": self._from.timelines.of(record.call_id),
            }
        )

    def _providers(self) -> list[dict[str, Any]]:
        """Each provider of each chain: what it did, how quick, how often it failed."""
        turns = self._from.turns
        times = turns.providers()
        return [
            {
                "kind": kind,
                "name": name,
                "turns": turns.served.get((kind, name), 0),
                "failures": chain.failures.get(name, 0),
                "ms": times.get((kind, name)),
            }
            for kind, chain in self._from.chains.items()
            for name, _ in chain.all
        ]

    def _finalizes(self) -> tuple[int, int]:
        """Of all calls: last words that were asked for in a pause, used and wasted."""
        calls = self._from.calls
        counters = [*calls.ended_totals.values(), *(call.record.counters for call in calls.live)]
        return sum(each.finalizes_used for each in counters), sum(each.finalizes_wasted for each in counters)

    def _cpu_share(self) -> float | None:
        """Of one core, since the last time; None the first time."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu_s, now_s = used.ru_utime + used.ru_stime, self._from.clock.now_ms() / 1000
        before, self._cpu = self._cpu, (cpu_s, now_s)
        if before is None or now_s - before[1] < 0.1:
            return None
        return round((cpu_s - before[0]) / (now_s - before[1]), 3)


def _row(record: CallRecord) -> list[Any]:
    """Id, transport, language, state, start, turns, response time of the last turn (ms), cause."""
    turns = record.turns
    response_ms = turns[-1].stages.get(Stage.RESPONSE) if turns else None
    return [
        record.call_id, record.info.transport, record.language, record.state,
        round(record.started_unix_s, 1), record.counters.turns,
        None if response_ms is None else round(response_ms), record.cause,
    ]  # fmt: skip
