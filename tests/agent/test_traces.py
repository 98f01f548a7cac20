"""Traces, as a real OTLP receiver gets them over HTTP."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from agent.clock import LoopClock
from agent.latency import Stage
from agent.lines import CallInfo
from agent.records import CallRecord, TurnRecord

pytest.importorskip("opentelemetry.sdk")
collector = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

from opentelemetry.sdk.trace import SpanProcessor, TracerProvider  # noqa: E402

from agent import otlp  # noqa: E402
from agent.traces import MAX_WAITING, Traces  # noqa: E402

NOW = 1_900_000_000.0


class Receiver:
    """Takes `POST /v1/traces`, as collectors do."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.take(body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def take(self, body: bytes) -> None:
        request = collector.ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            self.services |= {
                a.value.string_value for a in resource.resource.attributes if a.key == "service.name"
            }
            for scope in resource.scope_spans:
                self.spans += scope.spans

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    found = Receiver()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{found.server.server_port}")
    yield found
    found.close()


def call() -> CallRecord:
    record = CallRecord("c1", CallInfo("twilio-media", "CA1", caller="+442079460958"), NOW, "en")
    stages = {
        Stage.ENDPOINTING: 300.0, Stage.STT_FINAL: 40.0, Stage.LLM_FIRST_TOKEN: 90.0,
        Stage.LLM_FIRST_SENTENCE: 150.0, Stage.TTS_FIRST_AUDIO: 60.0, Stage.ADDED: 5.0, Stage.RESPONSE: 555.0,
    }  # fmt: skip
    providers = {"stt": "deepgram", "llm": "openai", "tts": "cartesia"}
    record.turns.append(TurnRecord(0, 10.0, "en", agent="Hello.", kind="greeting", answered=True))
    record.turns.append(
        TurnRecord(1, 5_340.0, "en", "my secret", "Nine.", answered=True, stages=stages, providers=providers)
    )
    record.turns.append(TurnRecord(2, 9_000.0, "en", "hello?"))
    return record


async def traced(environ: dict[str, str]) -> Traces:
    return otlp.make(LoopClock(), environ)


def attributes(span: Any) -> dict[str, Any]:
    found = {}
    for attribute in span.attributes:
        kind = attribute.value.WhichOneof("value")
        found[attribute.key] = getattr(attribute.value, kind)
    return found


def end(record: CallRecord) -> None:
    record.ended_unix_s, record.cause = NOW + 12.0, "caller_hung_up"


async def test_a_span_per_call_per_turn_and_per_stage(receiver: Receiver) -> None:
    traces = await traced({})
    record = call()
    for turn in record.turns:
        traces.turn_ended(record, turn)
    end(record)
    traces.call_ended(record)
    await asyncio.to_thread(traces.close)
    assert receiver.services == {"parley"}
    by_name = {span.name: span for span in receiver.spans}
    assert sorted(by_name) == [
        "call twilio-media", "endpointing", "llm_first_sentence", "stt_final", "tts_first_audio",
        "turn greeting", "turn speech",
    ]  # fmt: skip
    root = by_name["call twilio-media"]
    turns = [span for span in receiver.spans if span.name.startswith("turn")]
    assert len(turns) == 3
    assert {span.parent_span_id for span in turns} == {root.span_id}
    assert len({span.trace_id for span in receiver.spans}) == 1
    assert (root.end_time_unix_nano - root.start_time_unix_nano) / 1e9 == pytest.approx(12.0)
    assert attributes(root)["parley.call.cause"] == "caller_hung_up"


async def test_stages_follow_one_another_and_end_with_the_first_sound(receiver: Receiver) -> None:
    traces = await traced({})
    record = call()
    end(record)
    traces.call_ended(record)
    await asyncio.to_thread(traces.close)
    turn = next(span for span in receiver.spans if attributes(span).get("parley.turn") == 1)
    # at_ms is when the words were there: the caller had stopped 340 ms before.
    assert turn.start_time_unix_nano / 1e9 == pytest.approx(NOW + 5.0, abs=1e-3)
    assert (turn.end_time_unix_nano - turn.start_time_unix_nano) / 1e6 == pytest.approx(555.0, abs=0.1)
    stages = [span for span in receiver.spans if span.parent_span_id == turn.span_id]
    stages.sort(key=lambda span: span.start_time_unix_nano)
    assert [span.name for span in stages] == [
        "endpointing", "stt_final", "llm_first_sentence", "tts_first_audio",
    ]  # fmt: skip
    model = attributes(stages[2])
    assert model["gen_ai.provider.name"] == "openai"
    assert model["gen_ai.operation.name"] == "chat"
    assert model["gen_ai.response.time_to_first_chunk"] == pytest.approx(0.09)


async def test_blown_budgets_are_on_the_turn_and_on_the_stage(receiver: Receiver) -> None:
    traces = await traced({})
    record = call()
    record.turns[1].blown = {Stage.LLM_FIRST_TOKEN: "next_provider", Stage.RESPONSE: "filler"}
    end(record)
    traces.call_ended(record)
    await asyncio.to_thread(traces.close)
    told = {
        span.name: {name: value for name, value in attributes(span).items() if "budget" in name}
        for span in receiver.spans
        if any("budget" in name for name in attributes(span))
    }
    model = {"parley.budget.llm_first_token.blown": "next_provider"}
    assert told == {
        "llm_first_sentence": model,
        "turn speech": {**model, "parley.budget.response.blown": "filler"},
    }


async def test_on_a_text_line_the_models_span_ends_with_its_first_token(receiver: Receiver) -> None:
    traces = await traced({})
    record = CallRecord("c1", CallInfo("twilio-relay", "CA1"), NOW, "en")
    stages = {Stage.LLM_FIRST_TOKEN: 90.0, Stage.RESPONSE: 95.0, Stage.ADDED: 5.0}
    record.turns.append(
        TurnRecord(
            0, 5_000.0, "en", "when?", "Nine.", answered=True, stages=stages, providers={"llm": "openai"}
        )
    )
    end(record)
    traces.call_ended(record)
    await asyncio.to_thread(traces.close)
    by_name = {span.name: span for span in receiver.spans}
    assert sorted(by_name) == ["call twilio-relay", "llm_first_token", "turn speech"]
    model = by_name["llm_first_token"]
    assert (model.end_time_unix_nano - model.start_time_unix_nano) / 1e6 == pytest.approx(90.0, abs=0.1)
    assert attributes(model)["gen_ai.provider.name"] == "openai"
    assert attributes(model)["gen_ai.response.time_to_first_chunk"] == pytest.approx(0.09)


async def test_an_unanswered_turn_is_an_error(receiver: Receiver) -> None:
    traces = await traced({})
    record = call()
    end(record)
    traces.call_ended(record)
    await asyncio.to_thread(traces.close)
    codes = [span.status.code for span in receiver.spans if span.name.startswith("turn")]
    assert codes == [0, 0, 2]


@pytest.mark.parametrize(("environ", "shown"), [({}, False), ({"PARLEY_OTEL_WORDS": "1"}, True)])
async def test_words_leave_only_on_request_and_numbers_never(
    receiver: Receiver, environ: dict[str, str], shown: bool
) -> None:
    traces = await traced(environ)
    record = call()
    end(record)
    traces.call_ended(record)
    await asyncio.to_thread(traces.close)
    assert ("my secret" in str(receiver.spans)) is shown
    assert "2079460958" not in str(receiver.spans)


class Stuck(SpanProcessor):
    """A span processor that holds the thread up until it is let go, or fails."""

    def __init__(self, *, fails: bool = False) -> None:
        self.go = threading.Event()
        self.fails = fails
        self.failed = threading.Event()
        self.call_over = threading.Event()
        self.ended: list[str] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        if self.fails:
            self.failed.set()
            raise ValueError("not today")
        assert self.go.wait(30)

    def on_end(self, span: Any) -> None:
        self.ended.append(span.name)
        if span.name.startswith("call"):
            self.call_over.set()


def made(processor: Stuck) -> Traces:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return Traces(provider, LoopClock())


async def test_a_turn_never_waits_for_the_spans_of_earlier_ones() -> None:
    processor = Stuck()
    traces = made(processor)
    record = call()
    for turn in record.turns:
        traces.turn_ended(record, turn)
    end(record)
    traces.call_ended(record)
    # Nothing has been made: the thread is held up, and we are here all the same.
    assert processor.ended == []
    processor.go.set()
    await asyncio.to_thread(traces.close)
    assert [name for name in processor.ended if not name.startswith("turn")][-1] == "call twilio-media"
    assert len([name for name in processor.ended if name.startswith("turn")]) == 3


async def test_turns_that_leave_their_record_have_spans_and_no_turn_has_two() -> None:
    processor = Stuck()
    traces = made(processor)
    record = call()
    processor.go.set()
    traces.turn_ended(record, record.turns[1])
    for _ in range(2):
        traces.turn_leaves(record, record.turns[0])
        record.let_go()
    end(record)
    traces.call_ended(record)
    await asyncio.to_thread(traces.close)
    assert [name for name in processor.ended if name.startswith("turn")] == [
        "turn greeting", "turn speech", "turn speech",
    ]  # fmt: skip


async def test_turns_that_the_thread_cannot_keep_up_with_have_no_spans_but_every_call_ends() -> None:
    processor = Stuck()
    traces = made(processor)
    record = call()
    for number in range(3, MAX_WAITING + 100):
        record.turns.append(TurnRecord(number, 0.0, "en"))
        traces.turn_ended(record, record.turns[-1])
    assert traces.dropped > 0
    end(record)
    traces.call_ended(record)
    processor.go.set()
    # The thread rests between two turns; what is asserted is the end, not how soon it comes.
    assert await asyncio.to_thread(processor.call_over.wait, 60)
    turns = [name for name in processor.ended if name.startswith("turn")]
    assert len(turns) == len(record.turns) - traces.dropped
    await asyncio.to_thread(traces.close)


async def test_spans_that_cannot_be_made_are_counted_and_the_next_ones_are_made() -> None:
    processor = Stuck(fails=True)
    traces = made(processor)
    record = call()
    end(record)
    traces.call_ended(record)
    assert await asyncio.to_thread(processor.failed.wait, 60)
    processor.fails = False
    processor.go.set()
    traces.call_ended(record)
    await asyncio.to_thread(traces.close)
    assert traces.faults == 1
    assert "call twilio-media" in processor.ended
