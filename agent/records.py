"""What is kept of a call for people to look at: who said what, when, and how long each part took."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from struct import Struct
from typing import Any, overload

from agent.latency import CallCounters, Stage
from agent.lines import CallInfo

NOT_READ = "peer_not_reading"
"""What a line calls a message of ours that its peer did not read: dropped, and no fault of the message."""
_MAX_KINDS = 32
KEPT_TURNS = 64
"""Turns of a call that its record keeps: some six minutes of talk. One that is over takes 200 bytes and its
words (500 with what the history keeps: `bench/long_calls.py`), and a call may last for hours; what is older
is in the store, the traces and the counters."""
OPEN_TURNS = 2
"""The last turns are still written to: the present one, and the one before, whose cancelled reply may not
have noticed yet."""
MAX_SHAPES = 256
"""Kinds of turns that are told apart (`_Shape`). An agent's turns have a few dozen."""


@dataclass(slots=True)
class TurnRecord:
    """One thing that the caller said (or the greeting, or a reprompt) and the agent's reply."""

    index: int
    at_ms: float
    """When the turn's reply was begun, from the start of the call."""
    language: str
    caller: str = ""
    """The caller's words; empty for what the agent says by itself."""
    agent: str = ""
    """What the caller heard of the reply, as far as is known now."""
    kind: str = "speech"
    """`speech`, `dtmf`, `greeting`, `reprompt`, `goodbye`, `apology`."""
    interrupted: bool = False
    answered: bool = False
    """A sound (or, on text lines, text) of the reply was handed to the line."""
    stages: dict[Stage, float] = field(default_factory=dict)
    providers: dict[str, str] = field(default_factory=dict)
    """Which provider served `stt`, `llm`, `tts`."""
    tools: list[str] = field(default_factory=list)
    cache: str = ""
    """What the response cache did: `hit`, `miss`, …; empty where it was not asked."""
    blown: dict[Stage, str] = field(default_factory=dict)
    """Stages that took longer than their budget, and what was done about it (`none`: nothing)."""


_Shape = tuple[
    str, str, bool, bool, tuple[Stage, ...], tuple[tuple[str, str], ...], tuple[str, ...], str,
    tuple[tuple[Stage, str], ...],
]  # fmt: skip
"""What many turns have in common: language, kind, interrupted, answered, stages, providers, tools, cache,
blown. One for all of them, since it takes far more room than what is a turn's own."""
_Packed = tuple[_Shape, str, str, bytes]
"""A turn that is over: its shape, the words of both, its figures. The words are strings that the history has
as well; as bytes they would be there twice. The figures are the index, the time, and one for each of the
stages. Plain tuples take half the time of named ones to make."""
_FIGURES = tuple(Struct(f"=Id{stages}d") for stages in range(len(Stage) + 1))
"""By number of stages."""


@lru_cache(MAX_SHAPES)
def _shared(shape: _Shape) -> _Shape:
    """The one of that shape which was here first."""
    return shape


def _pack(turn: TurnRecord) -> _Packed:
    stages = turn.stages
    shape = _shared(
        (
            turn.language, turn.kind, turn.interrupted, turn.answered, tuple(stages),
            tuple(turn.providers.items()), tuple(turn.tools), turn.cache, tuple(turn.blown.items()),
        )
    )  # fmt: skip
    figures = _FIGURES[len(stages)].pack(turn.index, turn.at_ms, *stages.values())
    return shape, turn.caller, turn.agent, figures


def _unpack(packed: _Packed) -> TurnRecord:
    shape, caller, agent, figures = packed
    language, kind, interrupted, answered, stages, providers, tools, cache, blown = shape
    index, at_ms, *values = _FIGURES[len(stages)].unpack(figures)
    return TurnRecord(
        index, at_ms, language, caller, agent, kind, interrupted, answered,
        dict(zip(stages, values, strict=True)), dict(providers), list(tools), cache, dict(blown),
    )  # fmt: skip


class Turns(Sequence[TurnRecord]):  # noqa: PLW1641  # it changes, so it has no hash
    """A call's turns. Those that are over take a fraction of the room, and are made anew when looked at.

    Writing to a turn that came out of here lasts if it is one of the last `OPEN_TURNS`.
    """

    __slots__ = ("_kept",)

    def __init__(self, turns: Iterable[TurnRecord] = ()) -> None:
        self._kept: list[TurnRecord | _Packed] = list(turns)

    def __len__(self) -> int:
        return len(self._kept)

    @overload
    def __getitem__(self, at: int) -> TurnRecord: ...
    @overload
    def __getitem__(self, at: slice) -> list[TurnRecord]: ...
    def __getitem__(self, at: int | slice) -> TurnRecord | list[TurnRecord]:
        found = self._kept[at]
        return [_opened(kept) for kept in found] if isinstance(found, list) else _opened(found)

    def __iter__(self) -> Iterator[TurnRecord]:
        return map(_opened, self._kept)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, (Turns, list)) else NotImplemented

    def __repr__(self) -> str:
        return f"Turns({list(self)})"

    def append(self, turn: TurnRecord) -> None:
        """One more, to be filled in."""
        self._kept.append(turn)

    def extend(self, turns: Iterable[TurnRecord]) -> None:
        """Several more."""
        self._kept.extend(turns)

    def pack(self) -> None:
        """All but the last `OPEN_TURNS` are over. Call it for each new one: it looks no further back than
        the first that is packed already."""
        kept = self._kept
        for at in range(len(kept) - OPEN_TURNS - 1, -1, -1):
            turn = kept[at]
            if isinstance(turn, tuple):
                return
            kept[at] = _pack(turn)

    def let_go(self) -> None:
        """Forget the oldest."""
        del self._kept[0]


def _opened(kept: TurnRecord | _Packed) -> TurnRecord:
    return _unpack(kept) if isinstance(kept, tuple) else kept


@dataclass(frozen=True, slots=True)
class ClientReport:
    """What the caller's device last told about its own part. None or absent: it did not say."""

    at_ms: float
    """Monotonic time of its arrival: an old report says nothing about a new turn."""
    stages: Mapping[Stage, float] = field(default_factory=dict)
    """Milliseconds of capture (L1), processing (L2), rendering (L8), output (L9)."""
    rtt_ms: float | None = None
    jitter_ms: float | None = None
    loss: float | None = None
    """Share of packets lost on the way to the caller since the report before, 0 to 1."""


@dataclass(slots=True)
class CallRecord:
    """One call, while it lasts and for some time after."""

    call_id: str
    info: CallInfo
    started_unix_s: float
    language: str
    state: str = "greeting"
    """The turn machine's state, or `ended`."""
    ended_unix_s: float | None = None
    cause: str = ""
    """Why it ended: `caller_hung_up`, `agent_hung_up`, `transferred`, `silence`, `time_limit`, `drained`…"""
    turns: Turns = field(default_factory=Turns)
    """The last ones, `KEPT_TURNS` at most. A turn's `index` counts from the start of the call."""
    left_out: int = 0
    """Older turns, which were let go."""
    counters: CallCounters = field(default_factory=CallCounters)
    bad_messages: dict[str, int] = field(default_factory=dict)
    """By kind."""
    client: ClientReport | None = None

    @property
    def turn_count(self) -> int:
        """All turns so far."""
        return self.left_out + len(self.turns)

    def between(self, begin: int, until: int) -> list[TurnRecord]:
        """The turns of an index from `begin` to before `until`, as far as they are kept."""
        return self.turns[max(begin - self.left_out, 0) : max(until - self.left_out, 0)]

    def let_go(self) -> None:
        """Forget the oldest turn."""
        self.turns.let_go()
        self.left_out += 1

    def whole(self) -> dict[str, Any]:
        """All of it, by name, for JSON: the turns as they were, all else as it is."""
        found = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        found["turns"] = list(self.turns)
        return found

    def note_bad(self, kind: str) -> None:
        """Count what was dropped on the line; `kind` as in `agent.lines.LineCall.bad_message`."""
        if kind == NOT_READ:
            self.counters.sends_dropped += 1
        else:
            self.counters.bad_messages += 1
        kinds = self.bad_messages
        if kind in kinds or len(kinds) < _MAX_KINDS:
            kinds[kind] = kinds.get(kind, 0) + 1


class CallObserver:
    """Told by each call about what ended. The base class ignores everything: a call without a server."""

    def turn_ended(self, call: CallRecord, turn: TurnRecord) -> None:
        """A turn's first sound is out and its marks are complete. Called once per turn."""

    def turn_leaves(self, call: CallRecord, turn: TurnRecord) -> None:
        """The call's oldest turn will be let go: who wants to keep it has to take it now. It is over."""

    def barge_in(self, call: CallRecord, stop_ms: float) -> None:
        """The agent was stopped `stop_ms` after the first voiced sample of an interruption."""

    def record_stage(self, call: CallRecord, stage: Stage, value_ms: float) -> None:
        """A figure of its own, outside any turn's marks: the parts of a barge-in (B1 to B4)."""

    def budget_blown(self, call: CallRecord, stage: Stage, action: str) -> None:
        """A stage has taken longer than its budget, and `action` was taken (`none`: nothing)."""

    def stage_late(self, call: CallRecord, turn: TurnRecord, stage: Stage, value_ms: float) -> None:
        """A stage of a turn whose end came after `turn_ended`: the caller heard a filler meanwhile."""

    def record_client(self, call: CallRecord, turn: int | None, metrics: Mapping[str, float]) -> None:
        """The caller's device reports its own figures, at most once a second.

        `metrics` as in the page's `client` message: `l1_capture_ms`, `l2_processing_ms`, `l8_rendering_ms`,
        `l9_output_ms`, `rtt_ms`, `jitter_ms`, and `lost` and `received` packets of the last interval; others
        are ignored, and so are values that cannot be. `turn`: the turn's index, where the page says.
        """

    def state_changed(self, call: CallRecord) -> None:
        """The call's `state` is another one now. The end is told by `call_ended` alone."""

    def call_ended(self, call: CallRecord) -> None:
        """The call is over; its record will not change any more."""
