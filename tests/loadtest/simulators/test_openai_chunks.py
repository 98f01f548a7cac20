"""What the simulator writes, as OpenAI writes it and as other servers do."""

from typing import Any

import orjson
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from loadtest.simulators.openai_chunks import (
    Answer,
    Dialect,
    ScriptedCall,
    chunks,
    forty_tokens,
    script,
    usage_events,
    whole,
)

BODY: dict[str, Any] = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "two words"}]}
WITH_USAGE = {**BODY, "stream_options": {"include_usage": True}}
ANSWER = Answer("Let me see.", (ScriptedCall("f", '{"a":"b"}'), ScriptedCall("g", "{}")))


def deltas(answer: Answer, dialect: Dialect) -> list[dict[str, Any]]:
    return [event["choices"][0]["delta"] for event in chunks(answer, BODY, dialect)]


def test_every_event_is_one_that_the_sdk_knows() -> None:
    for event in chunks(ANSWER, BODY, Dialect()) + usage_events(ANSWER, WITH_USAGE):
        ChatCompletionChunk.model_validate_json(orjson.dumps(event), strict=True)
    ChatCompletion.model_validate_json(orjson.dumps(whole(ANSWER, BODY)), strict=True)


def test_role_then_tokens_then_tools_then_the_reason() -> None:
    events = deltas(Answer("Let me see."), Dialect())
    assert events == [
        {"role": "assistant", "content": ""},
        {"content": "Let"},
        {"content": " me"},
        {"content": " see."},
        {},
    ]
    assert [event["choices"][0]["finish_reason"] for event in chunks(ANSWER, BODY, Dialect())][
        -1
    ] == "tool_calls"


def test_arguments_come_in_fragments_that_are_no_json_by_themselves() -> None:
    fragments = [delta["tool_calls"][0] for delta in deltas(ANSWER, Dialect()) if "tool_calls" in delta]
    first = [fragment for fragment in fragments if fragment["index"] == 0]
    assert first[0]["function"] == {"arguments": "", "name": "f"}
    assert first[0]["id"]
    assert all("id" not in fragment for fragment in first[1:])
    pieces = [fragment["function"]["arguments"] for fragment in first]
    assert "".join(pieces) == '{"a":"b"}'
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(pieces[1])


def test_dialects() -> None:
    assert "index" not in deltas(ANSWER, Dialect(tool_index=False))[-2]["tool_calls"][0]
    assert all(delta.get("role") for delta in deltas(ANSWER, Dialect(role_always=True))[:-1])
    assert deltas(ANSWER, Dialect(reasoning=True))[1]["reasoning_content"]
    assert chunks(ANSWER, BODY, Dialect(stop_after_tools=True))[-1]["choices"][0]["finish_reason"] == "stop"
    order = [
        delta["tool_calls"][0]["index"]
        for delta in deltas(ANSWER, Dialect(interleave=True))
        if "tool_calls" in delta
    ]
    assert order[:4] == [0, 1, 0, 1]


def test_usage_only_if_asked_for() -> None:
    assert usage_events(ANSWER, BODY) == []
    (event,) = usage_events(ANSWER, WITH_USAGE)
    assert event["choices"] == []
    assert event["usage"]["prompt_tokens"] == 2


def test_the_load_tests_reply_has_forty_tokens() -> None:
    assert len(deltas(forty_tokens({}), Dialect())) == 1 + 40 + 1


def test_a_script_ends_on_its_last_answer() -> None:
    answers = script([Answer("one"), Answer("two")])
    assert [answers({}).text for _ in range(3)] == ["one", "two", "two"]
