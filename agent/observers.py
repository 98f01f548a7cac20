"""Several observers of calls as one."""

import logging
from collections.abc import Callable, Mapping, Sequence

from agent.latency import Stage
from agent.records import CallObserver, CallRecord, TurnRecord

logger = logging.getLogger(__name__)


class Observers(CallObserver):
    """Tells each in order. One that fails keeps nothing from the others, nor from the call."""

    def __init__(self, observers: Sequence[CallObserver]) -> None:
        self._observers = tuple(observers)
        self.faults = 0
        """Observers' failures, each logged."""

    def turn_ended(self, call: CallRecord, turn: TurnRecord) -> None:
        self._each(lambda observer: observer.turn_ended(call, turn))

    def turn_leaves(self, call: CallRecord, turn: TurnRecord) -> None:
        self._each(lambda observer: observer.turn_leaves(call, turn))

    def barge_in(self, call: CallRecord, stop_ms: float) -> None:
        self._each(lambda observer: observer.barge_in(call, stop_ms))

    def record_stage(self, call: CallRecord, stage: Stage, value_ms: float) -> None:
        self._each(lambda observer: observer.record_stage(call, stage, value_ms))

    def budget_blown(self, call: CallRecord, stage: Stage, action: str) -> None:
        self._each(lambda observer: observer.budget_blown(call, stage, action))

    def stage_late(self, call: CallRecord, turn: TurnRecord, stage: Stage, value_ms: float) -> None:
        self._each(lambda observer: observer.stage_late(call, turn, stage, value_ms))

    def record_client(self, call: CallRecord, turn: int | None, metrics: Mapping[str, float]) -> None:
        self._each(lambda observer: observer.record_client(call, turn, metrics))

    def state_changed(self, call: CallRecord) -> None:
        self._each(lambda observer: observer.state_changed(call))

    def call_ended(self, call: CallRecord) -> None:
        self._each(lambda observer: observer.call_ended(call))

    def _each(self, tell: Callable[[CallObserver], None]) -> None:
        for observer in self._observers:
            try:
                tell(observer)
            except Exception:  # who watches must not hurt what is watched; counted and logged
                self.faults += 1
                logger.exception("%s failed", type(observer).__name__)
