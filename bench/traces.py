"""What traces cost a call: the event loop's time per turn, and that of the thread that makes the spans.

    python -m bench.traces [--turns 2000]

Turns come one by one, some time apart, as calls take them; the spans are made and thrown away. Times of the
wall on a machine that does nothing else; the thread's is CPU.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence

import uvloop
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from agent.clock import LoopClock
from agent.latency import Stage
from agent.lines import CallInfo
from agent.records import CallRecord, TurnRecord
from agent.traces import SpanMaker, Traces

TARGET_US = 100.0
"""On the turn's path, p95: the cost that all instruments together are allowed per turn."""
APART_S = 0.002
STAGES = {
    Stage.ENDPOINTING: 310.0, Stage.STT_FINAL: 90.0, Stage.LLM_FIRST_TOKEN: 240.0,
    Stage.LLM_FIRST_SENTENCE: 330.0, Stage.TTS_FIRST_AUDIO: 120.0, Stage.RESPONSE: 853.0, Stage.ADDED: 3.0,
    Stage.OUR_PART: 313.0, Stage.PROVIDER_PART: 540.0, Stage.END_TO_END: 853.0,
}  # fmt: skip


class _Nowhere(SpanExporter):
    """Throws spans away."""

    def __init__(self) -> None:
        self.spans = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += len(spans)
        return SpanExportResult.SUCCESS


def provider(exporter: SpanExporter) -> TracerProvider:
    """As `agent.traces.make_traces` makes it."""
    found = TracerProvider(shutdown_on_exit=False)
    found.add_span_processor(BatchSpanProcessor(exporter))
    return found


def call_with(turns: int) -> CallRecord:
    """A call that took so many turns."""
    providers = {"stt": "deepgram", "llm": "openai", "tts": "cartesia"}
    record = CallRecord("c1", CallInfo("twilio-media", "CA1"), 1_900_000_000.0, "en")
    for number in range(turns):
        turn = TurnRecord(number, number * 5_000.0, "en", "When?", "At nine.", answered=True)
        turn.stages, turn.providers = dict(STAGES), providers
        record.turns.append(turn)
    return record


async def on_the_loop(record: CallRecord) -> list[float]:
    """Microseconds of each turn where calls run. Checks that every span was made."""
    exporter = _Nowhere()
    traces = Traces(provider(exporter), LoopClock())
    taken = []
    for turn in record.turns:
        began = time.perf_counter()
        traces.turn_ended(record, turn)
        taken.append((time.perf_counter() - began) * 1e6)
        await asyncio.sleep(APART_S)
    record.ended_unix_s = 1_900_100_000.0
    traces.call_ended(record)
    await asyncio.to_thread(traces.close)
    expected = len(record.turns) * 5 + 1
    assert exporter.spans == expected, f"{exporter.spans} spans, not {expected}: {traces.dropped} dropped"
    return taken


async def in_the_thread(record: CallRecord) -> float:
    """Microseconds of CPU per turn."""
    spans = provider(_Nowhere())
    maker = SpanMaker(spans, LoopClock(), words=False)
    began = time.thread_time()
    for turn in record.turns:
        maker.make(record, [turn], ended=False)
    taken = (time.thread_time() - began) * 1e6 / len(record.turns)
    spans.shutdown()
    return taken


def main() -> None:
    """The command line. Exit status 1 where the target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=2_000, help="turns to measure (2000)")
    turns = parser.parse_args().turns
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        taken = runner.run(on_the_loop(call_with(turns)))
        thread_us = runner.run(in_the_thread(call_with(turns)))
    percentiles = statistics.quantiles(taken, n=100)
    verdict = "ok" if percentiles[94] <= TARGET_US else "MISSED"
    print(
        f"a turn, event loop   p50 {percentiles[49]:6.1f} us   p95 {percentiles[94]:6.1f} us   "
        f"(target {TARGET_US:g})  {verdict}"
    )
    print(f"its 5 spans, thread  mean {thread_us:5.1f} us of CPU")
    sys.exit(verdict != "ok")


if __name__ == "__main__":
    main()
