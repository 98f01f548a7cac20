"""Answers of careful and careless servers, by hand and through the simulator's dialects."""

from typing import Any

import orjson
import pytest

from agent.errors import ProviderError, ProviderRejected, ProviderUnavailable
from agent.providers import LLMEvent, TextDelta, ToolCall
from loadtest.simulators.openai_chunks import Answer as Scripted
from loadtest.simulators.openai_chunks import Dialect, ScriptedCall, chunks, usage_events, whole
from providers.openai.answer import Answer

BODY: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "hi"}],
    "stream_options": {"include_usage": True},
}
BOOK = ScriptedCall("book_slot", '{"day":"friday","at":[9,30]}')
ASK = ScriptedCall("prices", '{"for":"a check-up"}', pieces=5)


def delta(finish: str | None = None, **fields: Any) -> bytes:
    return orjson.dumps({"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]})


def read(*events: bytes) -> list[LLMEvent]:
    answer = Answer("openai")
    found: list[LLMEvent] = [event for data in events if (event := answer.read(data))]
    return found + answer.finish()


def text(events: list[LLMEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def play(scripted: Scripted, dialect: Dialect) -> list[LLMEvent]:
    events = [orjson.dumps(event) for event in chunks(scripted, BODY, dialect)]
    events += [orjson.dumps(event) for event in usage_events(scripted, BODY)]
    return read(*events, *([b"[DONE]"] if dialect.done else []))


@pytest.mark.parametrize(
    "dialect",
    [
        Dialect(),
        Dialect(done=False),
        Dialect(role_always=True),
        Dialect(reasoning=True),
        Dialect(tool_ids="always"),
        Dialect(tool_index=False),
        Dialect(tool_index=False, tool_ids="always"),
        Dialect(tool_index=False, tool_ids="always", interleave=True),
        Dialect(stop_after_tools=True),
        Dialect(interleave=True),
    ],
)
def test_every_dialect_gives_the_same_reply(dialect: Dialect) -> None:
    events = play(Scripted("Let me see. Two of them.", (BOOK, ASK)), dialect)
    assert text(events) == "Let me see. Two of them."
    assert events[-2:] == [
        ToolCall("call_simulated0", "book_slot", BOOK.arguments),
        ToolCall("call_simulated1", "prices", ASK.arguments),
    ]


def test_tool_calls_without_ids_get_different_ones() -> None:
    calls = play(Scripted("", (BOOK, ASK)), Dialect(tool_ids="never"))
    assert [call.id for call in calls if isinstance(call, ToolCall)] == ["call_0", "call_1"]


def test_a_call_in_one_piece() -> None:
    calls = play(Scripted("", (ScriptedCall("f", '{"a":1}', pieces=0),)), Dialect())
    assert calls == [ToolCall("call_simulated0", "f", '{"a":1}')]


def test_calls_that_all_have_index_0_are_told_apart_by_id() -> None:
    def fragment(**fields: Any) -> bytes:
        return delta(tool_calls=[{"index": 0, **fields}])

    calls = read(
        fragment(id="a", function={"name": "f", "arguments": '{"x":'}),
        fragment(function={"arguments": "1}"}),
        fragment(id="b", function={"name": "g", "arguments": "{}"}),
        delta("tool_calls"),
    )
    assert calls == [ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}")]


def test_arguments_as_an_object_or_none_at_all_become_text() -> None:
    calls = read(
        delta(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}]),
        delta(tool_calls=[{"index": 1, "id": "b", "function": {"name": "g"}}]),
        delta("tool_calls"),
    )
    assert calls == [ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}")]


def test_the_function_call_of_before_tools() -> None:
    calls = read(
        delta(role="assistant", content=None, function_call={"name": "f", "arguments": ""}),
        delta(function_call={"arguments": '{"x":'}),
        delta(function_call={"arguments": "1}"}),
        delta("function_call"),
    )
    assert calls == [ToolCall("call_0", "f", '{"x":1}')]


def test_role_only_empty_and_missing_parts_say_nothing() -> None:
    events = read(
        b'{"id":"x","object":"ping"}',
        b'{"choices":[]}',
        b'{"choices":null,"usage":{"total_tokens":3}}',
        b'{"choices":[{"index":0}]}',
        b'{"choices":[{"delta":null,"finish_reason":null}]}',
        delta(role="assistant"),
        delta(content=None),
        delta(content="Yes."),
        delta("stop"),
    )
    assert text(events) == "Yes."


def test_a_refusal_is_spoken() -> None:
    events = play(Scripted(refusal="I cannot help with that."), Dialect())
    assert text(events) == "I cannot help with that."


def test_a_text_cut_by_the_token_limit_is_kept() -> None:
    assert text(play(Scripted("We are open", finish_reason="length"), Dialect())) == "We are open"


@pytest.mark.parametrize(
    ("scripted", "says"),
    [
        (Scripted("Well", (BOOK,), finish_reason="length"), "token limit in a tool call: raise max_tokens"),
        (Scripted(finish_reason="length"), "before a word was said: raise max_tokens"),
        (Scripted("Well", finish_reason="content_filter"), "content filter"),
    ],
)
def test_a_reply_that_cannot_be_used_is_an_error_that_says_why(scripted: Scripted, says: str) -> None:
    with pytest.raises(ProviderRejected, match=says):
        play(scripted, Dialect())


@pytest.mark.parametrize(
    "data",
    [
        b'{"choices":[{"delta":{"content":"Hel',
        b"<html>",
        b'"text"',
        b"[1]",
        b"\xff\xfe",
        b'{"choices":{"delta":1}}',
        b'{"choices":["a"]}',
        b'{"choices":[{"delta":"text"}]}',
        b'{"choices":[{"delta":{"tool_calls":{"index":0}}}]}',
        b'{"choices":[{"delta":{"tool_calls":["f"]}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}',
    ],
)
def test_garbage_is_an_error_that_shows_it(data: bytes) -> None:
    with pytest.raises(ProviderUnavailable, match="no chat completion"):
        Answer("openai").read(data)


def test_a_stream_without_an_end_was_cut() -> None:
    with pytest.raises(ProviderUnavailable, match="in the middle"):
        read(delta(content="We are"))


def test_a_tool_without_a_name_cannot_be_called() -> None:
    with pytest.raises(ProviderUnavailable, match="without the tool's name"):
        read(delta(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}]), delta("tool_calls"))


@pytest.mark.parametrize(
    ("data", "kind", "says"),
    [
        ({"error": {"message": "It had an error", "type": "server_error"}}, ProviderUnavailable, "It had"),
        ({"error": {"message": "m", "code": "insufficient_quota"}}, ProviderRejected, "top up"),
        ({"error": {"message": "m", "type": "invalid_request_error"}}, ProviderRejected, "options"),
        ({"error": {"message": "m", "code": 429}}, ProviderUnavailable, "in trouble"),
        ({"error": "upstream gone"}, ProviderUnavailable, "upstream gone"),
        ({"object": "error", "message": "too long", "code": 400}, ProviderRejected, "too long"),
    ],
)  # fmt: skip
def test_an_error_inside_the_stream(data: dict[str, Any], kind: type[ProviderError], says: str) -> None:
    with pytest.raises(kind, match=says):
        Answer("openai").read(orjson.dumps(data))


def test_an_answer_in_one_document() -> None:
    scripted = Scripted("Let me see.", (BOOK, ASK))
    answer = Answer("openai")
    assert answer.read_whole(orjson.dumps(whole(scripted, BODY))) == TextDelta("Let me see.")
    assert [call.name for call in answer.finish() if isinstance(call, ToolCall)] == ["book_slot", "prices"]


def test_a_document_that_is_an_error() -> None:
    with pytest.raises(ProviderRejected):
        Answer("openai").read_whole(b'{"error":{"message":"m","type":"invalid_request_error"}}')
