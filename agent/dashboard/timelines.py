"""Who spoke when: the states of each call and the moments at which they began.

Nine bytes a change, kept for the calls that the registry keeps.
"""

from array import array
from collections import OrderedDict

from agent.clock import Clock
from agent.records import CallObserver, CallRecord
from agent.registry import RECENT
from agent.turns.machine import State

MAX_MOMENTS = 2_000
"""Changes kept of one call: some 300 turns. The first ones go first."""
_NUMBERS = {state.value: number for number, state in enumerate(State)}
_STATES = [state.value for state in State]


class _Line:
    __slots__ = ("at_s", "states")

    def __init__(self) -> None:
        self.at_s = array("d")
        self.states = bytearray()


class Timelines(CallObserver):
    """Observer of all calls. Event loop only."""

    def __init__(self, clock: Clock, ended: int = RECENT) -> None:
        """`ended`: how many calls are kept after their end."""
        self._clock = clock
        self._kept = ended
        self._live: dict[str, _Line] = {}
        self._ended: OrderedDict[str, _Line] = OrderedDict()

    def state_changed(self, call: CallRecord) -> None:
        """The call's state is another one now."""
        line = self._live.get(call.call_id)
        if line is None:
            line = self._live[call.call_id] = _Line()
        line.at_s.append(self._clock.unix_s() - call.started_unix_s)
        line.states.append(_NUMBERS.get(call.state, 0))
        if len(line.states) > MAX_MOMENTS:
            del line.at_s[: MAX_MOMENTS // 10]
            del line.states[: MAX_MOMENTS // 10]

    def call_ended(self, call: CallRecord) -> None:
        """See `agent.records.CallObserver`."""
        line = self._live.pop(call.call_id, None)
        if line is None:
            return
        line.at_s.append((call.ended_unix_s or self._clock.unix_s()) - call.started_unix_s)
        line.states.append(_NUMBERS[State.ENDED.value])
        self._ended[call.call_id] = line
        while len(self._ended) > self._kept:
            self._ended.popitem(last=False)

    def of(self, call_id: str) -> list[tuple[float, str]]:
        """Seconds from the call's start and the state that began there, in order."""
        line = self._live.get(call_id) or self._ended.get(call_id)
        if line is None:
            return []
        return [
            (round(at_s, 3), _STATES[number]) for at_s, number in zip(line.at_s, line.states, strict=True)
        ]
