"""Writes down how long everything took: told by calls once per turn, read by whoever looks.

Nothing here runs per frame. A turn costs some tens of microseconds (`bench/instruments.py`).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from agent.clock import Clock
from agent.latency import Stage
from agent.metrics.histograms import SINCE_START, WINDOW_NAMES, WINDOWS, Counted, Key, LatencyTable, Series
from agent.metrics.quality import CLIENT_STAGES, STALE_MS, outer_stages, read_report
from agent.metrics.together import Windows, count_windows, merge_windows
from agent.records import CallObserver, CallRecord, TurnRecord

MAX_LABELS = 32
"""Values of one label; further ones are `other`. Labels come from code and configuration, but a plugin or a
platform may be inventive."""
NONE = "none"
"""The label where there is no such thing: no provider has part in the stage, no cache was asked."""
_PROVIDER_OF = {
    Stage.STT_FINAL: "stt",
    Stage.LLM_FIRST_TOKEN: "llm",
    Stage.LLM_FIRST_SENTENCE: "llm",
    Stage.TTS_FIRST_AUDIO: "tts",
}
_TOLD_APART = frozenset(
    (
        Stage.BARGE_IN, Stage.INTERRUPTION_DETECTION, Stage.PLAYBACK_STOP, Stage.SERVER_CANCEL,
        Stage.BUFFER_FLUSH,
    )
)  # fmt: skip
"""Told by themselves when they happen; a turn's copy of them is not counted again."""
Piece = tuple[str, str, dict[str, object]]
"""A window, a stage, and its figures."""
NATURAL_MS = (200.0, 500.0)
"""Gaps between turns that people leave: DESIGN and docs/metrics.md."""


class BoundedLabels:
    """The first so many values of a label; all others are `other`."""

    def __init__(self, known: Iterable[str] = (), *, limit: int = MAX_LABELS) -> None:
        self._known = set(known)
        self._limit = limit

    def __call__(self, value: str) -> str:
        if value in self._known:
            return value
        if len(self._known) < self._limit:
            self._known.add(value)
            return value
        return "other"


class LatencyBook(CallObserver):
    """Latencies by stage, transport, language, provider, cache outcome: last minutes, hour, since start."""

    def __init__(self, languages: Iterable[str], clock: Clock) -> None:
        self._clock = clock
        self._language = BoundedLabels(languages, limit=0)
        self._transport = BoundedLabels()
        self._provider = BoundedLabels()
        self._cache = BoundedLabels()
        self._table = LatencyTable(self._clock.now_ms())
        self.gaps: Counter[tuple[str, str]] = Counter()
        """Answered turns by transport and `short`, `natural`, `long`."""
        self.blown: Counter[tuple[str, str, str]] = Counter()
        """Blown budgets by stage, what was done, and transport."""

    # --- told by calls -----------------------------------------------------------------------------

    def turn_ended(self, call: CallRecord, turn: TurnRecord) -> None:
        now_ms = self._clock.now_ms()
        report = call.client
        outer = outer_stages(report) if report is not None and now_ms - report.at_ms < STALE_MS else {}
        turn.stages.update(split(turn.stages, outer))
        transport, language = self._transport(call.info.transport), self._language(turn.language)
        cache = self._cache(turn.cache or NONE)
        for stage, value_ms in turn.stages.items():
            if stage in _TOLD_APART:
                continue
            provider = self._provider_of(stage, turn)
            self._table.record(Key(stage.value, transport, language, provider, cache), value_ms, now_ms)
        if Stage.RESPONSE in turn.stages:
            self.gaps[transport, _gap(turn.stages[Stage.RESPONSE])] += 1

    def stage_late(self, call: CallRecord, turn: TurnRecord, stage: Stage, value_ms: float) -> None:
        transport, language = self._transport(call.info.transport), self._language(turn.language)
        provider, cache = self._provider_of(stage, turn), self._cache(turn.cache or NONE)
        key = Key(stage.value, transport, language, provider, cache)
        self._table.record(key, value_ms, self._clock.now_ms())

    def _provider_of(self, stage: Stage, turn: TurnRecord) -> str:
        kind = _PROVIDER_OF.get(stage)
        return NONE if kind is None else self._provider(turn.providers.get(kind) or NONE)

    def budget_blown(self, call: CallRecord, stage: Stage, action: str) -> None:
        self.blown[stage.value, action, self._transport(call.info.transport)] += 1

    def barge_in(self, call: CallRecord, stop_ms: float) -> None:
        self.record_stage(call, Stage.BARGE_IN, stop_ms)

    def record_stage(self, call: CallRecord, stage: Stage, value_ms: float) -> None:
        key = Key(
            stage.value, self._transport(call.info.transport), self._language(call.language), NONE, NONE
        )
        self._table.record(key, value_ms, self._clock.now_ms())

    def record_client(self, call: CallRecord, turn: int | None, metrics: Mapping[str, float]) -> None:
        call.client = read_report(metrics, self._clock.now_ms())

    # --- read --------------------------------------------------------------------------------------

    def summary(self, windows: Iterable[str] = WINDOW_NAMES) -> dict[str, object]:
        """By window and stage: `all`, and `by` transport, language, provider, cache: count, p50, p90, p95,
        p99 and max, in ms. `stages` is the window since start. Raises `KeyError` for an unknown window.
        """
        windows = tuple(windows)
        return summary_of_pieces(windows, self.summary_pieces(windows))

    def summary_pieces(self, windows: Iterable[str]) -> Iterator[Piece]:
        """What `summary` is made of, bit by bit: between two the event loop may do something else."""
        now_ms = self._clock.now_ms()
        for window in windows:
            for stage, figures in self._table.stage_figures(window, now_ms):
                yield window, stage, figures

    def counted(self, windows: Iterable[str] = WINDOW_NAMES) -> dict[str, list[Counted]]:
        """A copy of the counts that `summary` is made from, to be added to other processes'."""
        return count_windows(self._table, windows, self._clock.now_ms())

    def encoded(self, window: str = SINCE_START) -> dict[str, object]:
        """What `merge` takes: HdrHistograms in microseconds, to be added up with those of other processes."""
        series = list(self._table.encoded(window, self._clock.now_ms()))
        return {"unit": "us", "encoding": "HdrHistogram V2, base64", "window": window, "series": series}

    def series(self) -> Iterable[Series]:
        """All label sets since start."""
        return self._table.series.values()


def summary_of_pieces(windows: Iterable[str], pieces: Iterable[Piece]) -> dict[str, object]:
    """`LatencyBook.summary`, of `summary_pieces`."""
    found: dict[str, dict[str, dict[str, object]]] = {window: {} for window in windows}
    for window, stage, figures in pieces:
        found[window][stage] = figures
    return _summary(found)


def summary_of(processes: Sequence[Windows], windows: Iterable[str]) -> dict[str, object]:
    """`LatencyBook.summary` of what several processes have counted, as of one. Takes 10 to 50 ms."""
    return _summary({name: merge_windows(processes, name) for name in windows})


def _summary(figures: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    seconds: dict[str, float | None] = {window.name: window.seconds for window in WINDOWS}
    seconds[SINCE_START] = None
    found = {name: {"seconds": seconds[name], "stages": stages} for name, stages in figures.items()}
    summary: dict[str, object] = {"unit": "ms", "windows": found}
    if SINCE_START in found:
        summary["stages"] = found[SINCE_START]["stages"]
    return summary


def merge(documents: Iterable[Mapping[str, Any]]) -> dict[str, object]:
    """`encoded()` of several processes as one table: stages as in a window of `LatencyBook.summary`.

    Raises `ValueError` for what is no such document.
    """
    table = LatencyTable(0.0)
    for document in documents:
        entries = document.get("series")
        if not isinstance(entries, list):
            raise ValueError("not a document of /latency?format=hdr: it has no series")  # noqa: TRY004
        table.add_encoded(entries, 0.0)
    return {"unit": "ms", "stages": table.figures(SINCE_START, 0.0)}


def split(stages: Mapping[Stage, float], outer: Mapping[Stage, float]) -> dict[Stage, float]:
    """A turn's wait by whose it is. `outer`: what is known of the way to and from this machine.

    Our part and the providers' part make up the response, however much the stages overlap: what work of a
    provider went on behind the endpointing wait cost the caller nothing.
    """
    found: dict[Stage, float] = dict(outer)
    response_ms = stages.get(Stage.RESPONSE)
    if response_ms is None:
        return found
    ours_ms = min(stages.get(Stage.ENDPOINTING, 0.0) + stages.get(Stage.ADDED, 0.0), response_ms)
    found[Stage.OUR_PART] = ours_ms
    found[Stage.PROVIDER_PART] = response_ms - ours_ms
    if Stage.UPLINK in outer:
        found[Stage.CARRIER_PART] = outer[Stage.UPLINK] + outer[Stage.DOWNLINK]
    client = [outer[stage] for stage in CLIENT_STAGES if stage in outer]
    if client:
        found[Stage.CLIENT_PART] = sum(client)
    found[Stage.END_TO_END] = response_ms + sum(outer.values())
    return found


def _gap(response_ms: float) -> str:
    if response_ms < NATURAL_MS[0]:
        return "short"
    return "natural" if response_ms <= NATURAL_MS[1] else "long"
