"""OpenTelemetry traces: a span per call, per turn, per stage. Optional: install `parley[otel]`.

Switched on by the standard variables: `OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`) names the
collector, which is spoken to by OTLP over HTTP; the SDK reads the rest of them (headers, sampler, service
name, batch sizes). Spans are made from a turn's figures once it sounds or is over, never while it runs, so a
collector that hangs costs nothing but its own spans.

Attributes follow the semantic conventions for generative AI where those have a name (`gen_ai.*`); the rest is
`parley.*`. Words and numbers of callers are left out unless `PARLEY_OTEL_WORDS=1`.
"""

from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from agent.clock import Clock
from agent.latency import Stage
from agent.records import CallObserver, CallRecord, TurnRecord

MAX_OPEN = 2_000
"""Calls whose spans are open; a further one is not traced (the slots of a process are fewer)."""
CLOSE_MS = 3_000
"""How long the last spans may take to be sent."""
_NS = 1_000_000_000

_KINDS = {
    Stage.STT_FINAL: "stt",
    Stage.LLM_FIRST_SENTENCE: "llm",
    Stage.TTS_FIRST_AUDIO: "tts",
}
"""Stages that are a provider's work."""
_IN_ORDER = (Stage.ENDPOINTING, Stage.STT_FINAL, Stage.LLM_FIRST_SENTENCE, Stage.TTS_FIRST_AUDIO)
"""Stages as they follow one another; the time left at the end of the response is ours (`added`)."""
_ALONE = ("greeting", "reprompt", "goodbye", "apology", "not_understood")
"""Turns that the agent takes by itself."""


class Traces(CallObserver):
    """Observer of all calls. Event loop only; exporting is the SDK's own thread's work."""

    def __init__(self, provider: TracerProvider, clock: Clock, *, words: bool = False) -> None:
        """`words`: what both sides said becomes an attribute of the turn."""
        self._provider = provider
        self._tracer = provider.get_tracer("parley")
        self._clock = clock
        self._words = words
        self._open: dict[str, Span] = {}
        self._told: dict[str, int] = {}
        """By call: turns that have their spans."""
        self.skipped = 0

    def turn_ended(self, call: CallRecord, turn: TurnRecord) -> None:
        """A turn sounds: the ones before it are over."""
        span = self._span_of(call)
        if span is not None:
            self._tell_until(call, turn.index, span)

    def call_ended(self, call: CallRecord) -> None:
        """See `agent.records.CallObserver`."""
        span = self._span_of(call)
        if span is None:
            return
        self._tell_until(call, len(call.turns), span)
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
        self._told.pop(call.call_id, None)

    def close(self) -> None:
        """Send what is left; `CLOSE_MS` at most. Blocks."""
        self._provider.force_flush(CLOSE_MS)
        self._provider.shutdown()

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

    def _tell_until(self, call: CallRecord, until: int, span: Span) -> None:
        begin = self._told.get(call.call_id, 0)
        for turn in call.turns[begin:until]:
            self._tell(call, turn, span)
        self._told[call.call_id] = max(begin, until)

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
            if value_ms is not None and Stage.RESPONSE in stages:
                self._stage(stage, turn, inner, at_s, value_ms)
                at_s += value_ms / 1000
        if not turn.answered and turn.kind not in _ALONE:
            span.set_status(Status(StatusCode.ERROR, "unanswered"))
        span.end(_ns(max(start_s + response_ms / 1000, at_s)))

    def _stage(self, stage: Stage, turn: TurnRecord, context: Any, at_s: float, value_ms: float) -> None:
        attributes: dict[str, str | float] = {}
        kind = _KINDS.get(stage)
        if kind is not None:
            attributes["gen_ai.provider.name"] = turn.providers.get(kind, "")
        if stage is Stage.LLM_FIRST_SENTENCE:
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
