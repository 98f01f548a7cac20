"""OpenTelemetry traces: a span per call, per turn, per stage. Optional: install `parley[otel]`.

Switched on by the standard variables: `OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`) names the
collector, which is spoken to by OTLP over HTTP; the SDK reads the rest of them (headers, sampler, service
name, batch sizes). Spans are made from a turn's figures once the next one sounds or the call is over, by a
thread of their own: five spans take the SDK 100 to 400 us, which the event loop does not have to give. A turn
costs it a reference put into a queue (`bench/traces.py`), and a collector that hangs costs nothing but its
own spans.

Attributes follow the semantic conventions for generative AI where those have a name (`gen_ai.*`); the rest is
`parley.*`. Words and numbers of callers are left out unless `PARLEY_OTEL_WORDS=1`.
"""

import logging
import queue
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from agent.clock import Clock
from agent.latency import Stage
from agent.records import CallObserver, CallRecord, TurnRecord

logger = logging.getLogger(__name__)

MAX_OPEN = 2_000
"""Calls whose spans are open; a further one is not traced (the slots of a process are fewer)."""
MAX_WAITING = 2_000
"""Turns that wait for their spans; further ones have none. There is room beyond it for the ends of calls:
without its end a call's span would stay open for ever."""
CLOSE_MS = 3_000
"""How long the last spans may take to be made, and again to be sent."""
_PAUSE_S = 0.001
"""Between two turns' spans: the event loop, which shares one interpreter lock with this, never waits for more
than one turn's."""
_NS = 1_000_000_000

_KINDS = {
    Stage.STT_FINAL: "stt",
    Stage.LLM_FIRST_TOKEN: "llm",
    Stage.LLM_FIRST_SENTENCE: "llm",
    Stage.TTS_FIRST_AUDIO: "tts",
}
"""Stages that are a provider's work."""
_IN_ORDER = (
    Stage.ENDPOINTING, Stage.STT_FINAL, Stage.LLM_FIRST_TOKEN, Stage.LLM_FIRST_SENTENCE,
    Stage.TTS_FIRST_AUDIO,
)  # fmt: skip
"""Stages as they follow one another; the time left at the end of the response is ours (`added`). The model's
is that of its first sentence, or where none is waited for (text lines) that of its first token."""
_BUDGETS_OF = {Stage.LLM_FIRST_SENTENCE: (Stage.LLM_FIRST_TOKEN,)}
"""A stage's span tells of its own budget, the model's of that of its first token, which has no span."""
_BLOWN = "parley.budget.{}.blown"
"""Attribute of a turn, and of the stage: what was done about the blown budget (`none`: nothing)."""
_ALONE = ("greeting", "reprompt", "goodbye", "apology", "not_understood")
"""Turns that the agent takes by itself."""


class _Work(NamedTuple):
    """Turns of a call that are over, and will not change any more."""

    call: CallRecord
    turns: Sequence[TurnRecord]
    ended: bool
    """So is the call."""


class Traces(CallObserver):
    """Observer of all calls. Called on the event loop; never waits."""

    def __init__(self, provider: TracerProvider, clock: Clock, *, words: bool = False) -> None:
        """Starts the thread. `words`: what both sides said becomes an attribute of the turn."""
        self._provider = provider
        self._told: dict[str, int] = {}
        """By call: turns handed over."""
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        """Bounded by `_hand_over`. Nobody holds a lock of it: the event loop never waits for the thread."""
        self._maker = SpanMaker(provider, clock, words=words)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._make, name="traces", daemon=True)
        self.dropped = 0
        """Turns without spans, because the thread did not keep up."""
        self.faults = 0
        """Hand-overs whose spans could not be made, each logged."""
        self._behind = False
        self._thread.start()

    @property
    def skipped(self) -> int:
        """Calls without spans, because too many were open."""
        return self._maker.skipped

    def turn_ended(self, call: CallRecord, turn: TurnRecord) -> None:
        """A turn sounds: the ones before it are over."""
        self._tell_until(call, turn.index)

    def turn_leaves(self, call: CallRecord, turn: TurnRecord) -> None:
        """See `agent.records.CallObserver`. As a rule it was handed over long ago."""
        self._tell_until(call, turn.index + 1)

    def call_ended(self, call: CallRecord) -> None:
        """See `agent.records.CallObserver`."""
        begin = self._told.pop(call.call_id, 0)
        self._hand_over(_Work(call, call.between(begin, call.turn_count), ended=True))

    def close(self) -> None:
        """Make and send what is left; twice `CLOSE_MS` at most. Blocks. Idempotent."""
        self._stopping.set()
        self._queue.put(None)
        self._thread.join(CLOSE_MS / 1000)
        if self._thread.is_alive():
            logger.error("traces: %d turns have no spans: not made in time", self._queue.qsize())
        self._provider.force_flush(CLOSE_MS)
        self._provider.shutdown()

    def _tell_until(self, call: CallRecord, until: int) -> None:
        begin = self._told.get(call.call_id, 0)
        if until > begin:
            self._told[call.call_id] = until
            self._hand_over(_Work(call, call.between(begin, until), ended=False))

    def _hand_over(self, work: _Work) -> None:
        # The event loop alone puts: there is still room then.
        if self._queue.qsize() < MAX_WAITING + (MAX_OPEN if work.ended else 0):
            self._queue.put(work)
            return
        self.dropped += len(work.turns)
        if not self._behind:
            self._behind = True
            logger.warning("traces cannot keep up: turns have no spans")

    def _make(self) -> None:
        """The thread: until told to stop and nothing is left."""
        while not (self._stopping.is_set() and self._queue.empty()):
            work = self._queue.get()
            if work is None:
                continue
            try:
                self._maker.make(work.call, work.turns, ended=work.ended)
            except Exception:  # one turn's spans, or an exporter of somebody else's: the next one may do
                self.faults += 1
                logger.exception("call %s: spans could not be made", work.call.call_id)
            self._stopping.wait(_PAUSE_S)


class SpanMaker:
    """Makes the spans of calls: one thread's."""

    def __init__(self, provider: TracerProvider, clock: Clock, *, words: bool) -> None:
        self._tracer = provider.get_tracer("parley")
        self._clock = clock
        self._words = words
        self._open: dict[str, Span] = {}
        self.skipped = 0
        """Calls without spans, because too many were open."""

    def make(self, call: CallRecord, turns: Sequence[TurnRecord], *, ended: bool) -> None:
        """Spans of turns that are over; `ended`: they are the call's last, and its own span ends."""
        span = self._span_of(call)
        if span is None:
            return
        for turn in turns:
            self._tell(call, turn, span)
        if ended:
            self._end(call, span)

    def _end(self, call: CallRecord, span: Span) -> None:
        counters = call.counters
        span.set_attributes(
            {
                "parley.call.cause": call.cause,
                "parley.call.turns": counters.turns,
                "parley.call.barge_ins": counters.barge_ins,
                "parley.call.provider_failures": counters.provider_failures,
                "parley.call.underruns": counters.underruns,
            }
        )
        if call.cause == "internal_error":
            span.set_status(Status(StatusCode.ERROR, call.cause))
        span.end(_ns(call.ended_unix_s or self._clock.unix_s()))
        self._open.pop(call.call_id, None)

    def _span_of(self, call: CallRecord) -> Span | None:
        span = self._open.get(call.call_id)
        if span is None:
            if len(self._open) >= MAX_OPEN:
                self.skipped += 1
                return None
            attributes = {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.conversation.id": call.call_id,
                "parley.transport": call.info.transport,
                "parley.direction": call.info.direction.value,
                "parley.language": call.language,
            }
            span = self._open[call.call_id] = self._tracer.start_span(
                f"call {call.info.transport}",
                kind=SpanKind.SERVER,
                start_time=_ns(call.started_unix_s),
                attributes=attributes,
            )
        return span

    def _tell(self, call: CallRecord, turn: TurnRecord, parent: Span) -> None:
        """The spans of one turn: from the caller's last voiced sample to the reply's first sound."""
        stages = turn.stages
        began_s = call.started_unix_s + turn.at_ms / 1000
        waited_ms = sum(stages.get(stage, 0.0) for stage in (Stage.ENDPOINTING, Stage.STT_FINAL))
        start_s = began_s - waited_ms / 1000
        response_ms = stages.get(Stage.RESPONSE, waited_ms)
        context = trace.set_span_in_context(parent)
        span = self._tracer.start_span(
            f"turn {turn.kind}", context, start_time=_ns(start_s), attributes=self._attributes(call, turn)
        )
        at_s = start_s
        inner = trace.set_span_in_context(span)
        for stage in _IN_ORDER:
            value_ms = stages.get(stage)
            if stage is Stage.LLM_FIRST_TOKEN and Stage.LLM_FIRST_SENTENCE in stages:
                continue
            if value_ms is not None and Stage.RESPONSE in stages:
                self._stage(stage, turn, inner, at_s, value_ms)
                at_s += value_ms / 1000
        if not turn.answered and turn.kind not in _ALONE:
            span.set_status(Status(StatusCode.ERROR, "unanswered"))
        span.end(_ns(max(start_s + response_ms / 1000, at_s)))

    def _stage(self, stage: Stage, turn: TurnRecord, context: Any, at_s: float, value_ms: float) -> None:
        attributes: dict[str, str | float] = {}
        kind = _KINDS.get(stage)
        for budgeted in _BUDGETS_OF.get(stage, (stage,)):
            if budgeted in turn.blown:
                attributes[_BLOWN.format(budgeted.value)] = turn.blown[budgeted]
        if kind is not None:
            attributes["gen_ai.provider.name"] = turn.providers.get(kind, "")
        if stage in (Stage.LLM_FIRST_TOKEN, Stage.LLM_FIRST_SENTENCE):
            attributes["gen_ai.operation.name"] = "chat"
            if Stage.LLM_FIRST_TOKEN in turn.stages:
                seconds = turn.stages[Stage.LLM_FIRST_TOKEN] / 1000
                attributes["gen_ai.response.time_to_first_chunk"] = seconds
        span = self._tracer.start_span(
            stage.value,
            context,
            kind=SpanKind.INTERNAL if kind is None else SpanKind.CLIENT,
            start_time=_ns(at_s),
            attributes=attributes,
        )
        span.end(_ns(at_s + value_ms / 1000))

    def _attributes(self, call: CallRecord, turn: TurnRecord) -> dict[str, Any]:
        found: dict[str, Any] = {
            "gen_ai.conversation.id": call.call_id,
            "parley.turn": turn.index,
            "parley.turn.kind": turn.kind,
            "parley.turn.interrupted": turn.interrupted,
            "parley.language": turn.language,
        }
        if turn.cache:
            found["parley.cache"] = turn.cache
        if turn.tools:
            found["gen_ai.tool.name"] = turn.tools
        for stage, value_ms in turn.stages.items():
            found[f"parley.stage.{stage.value}_ms"] = round(value_ms, 2)
        for stage, action in turn.blown.items():
            found[_BLOWN.format(stage.value)] = action
        if self._words:
            found["gen_ai.input.messages"] = turn.caller
            found["gen_ai.output.messages"] = turn.agent
        return found


def make_traces(exporter: Any, clock: Clock, environ: Mapping[str, str]) -> Traces:
    """Traces that go to `exporter` in batches, by a thread of the SDK. Its queue is bounded (2,048 spans)."""
    resource = Resource.create({SERVICE_NAME: environ.get("OTEL_SERVICE_NAME") or "parley"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Traces(provider, clock, words=environ.get("PARLEY_OTEL_WORDS", "").strip() == "1")


def _ns(unix_s: float) -> int:
    return int(unix_s * _NS)
