"""Requests as chat servers demand them."""

from typing import Any

import pytest

from agent.agentfile import load_agent
from agent.providers import ChatRequest, Message, Role, ToolCall, ToolSpec
from providers.openai.options import Options
from providers.openai.prompt import Prompt

AGENT = load_agent()
SYSTEM = Message(Role.SYSTEM, AGENT.instructions)
HELLO = Message(Role.USER, "hello")


def body(
    *messages: Message, language: str = "en", tools: tuple[ToolSpec, ...] = (), **options: Any
) -> dict[str, Any]:
    request = ChatRequest("call", (SYSTEM, *messages), language, tools)
    return Prompt(AGENT, Options.read(options, {})).body(request)


def test_the_system_message_has_instructions_knowledge_and_language() -> None:
    system = body(HELLO)["messages"][0]
    assert system["role"] == "system"
    assert system["content"].startswith(AGENT.instructions)
    assert AGENT.knowledge[0].answer["en"] in system["content"]
    assert "Speak en." in system["content"]
    assert "[es]" in system["content"]


def test_another_language_has_its_own_knowledge() -> None:
    content = body(HELLO, language="es")["messages"][0]["content"]
    assert AGENT.knowledge[0].answer["es"] in content
    assert AGENT.knowledge[0].answer["en"] not in content
    assert "Speak es." in content


def test_an_unknown_language_is_the_agents_first() -> None:
    assert "Speak en." in body(HELLO, language="fr")["messages"][0]["content"]


def test_knowledge_can_be_left_out() -> None:
    assert AGENT.knowledge[0].answer["en"] not in body(HELLO, knowledge=False)["messages"][0]["content"]


def test_a_conversation_with_tools_and_an_interruption() -> None:
    call = ToolCall("c1", "book", "{}")
    sent = body(
        HELLO,
        Message(Role.ASSISTANT, "We are open from", interrupted=True),
        Message(Role.USER, "book me in"),
        Message(Role.ASSISTANT, "", (call,)),
        Message(Role.TOOL, "ok", tool_call_id="c1"),
        Message(Role.ASSISTANT, ""),
    )["messages"]
    assert sent[1:] == [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "We are open from…"},
        {"role": "user", "content": "book me in"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "book", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
    ]


def test_tools_and_their_parameters_go_together() -> None:
    schema = {"type": "object", "properties": {}}
    tool = ToolSpec("book", "Books.", schema)
    given: dict[str, Any] = {"tool_choice": "auto", "parallel_tool_calls": False}
    sent = body(HELLO, tools=(tool,), **given)
    assert sent["tools"] == [
        {
            "type": "function",
            "function": {"name": "book", "description": "Books.", "parameters": schema},
        }
    ]  # fmt: skip
    assert sent["tool_choice"] == "auto"
    assert not body(HELLO, **given).keys() & {"tools", "tool_choice", "parallel_tool_calls"}


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "max_completion_tokens"),
        ({"model": "o4-mini"}, "max_completion_tokens"),
        ({"base_url": "http://localhost:8000/v1"}, "max_tokens"),
        ({"base_url": "http://gateway/v1", "model": "openai/gpt-6-luna"}, "max_completion_tokens"),
    ],
)
def test_the_token_limit_has_the_name_that_the_model_takes(options: dict[str, Any], name: str) -> None:
    sent = body(HELLO, max_tokens=99, **options)
    assert {key: value for key, value in sent.items() if key.startswith("max_")} == {name: 99}


def test_least_reasoning_unless_told_otherwise() -> None:
    assert body(HELLO, model="gpt-6-luna")["reasoning_effort"] == "none"
    assert body(HELLO, model="gpt-6-luna", reasoning_effort="low")["reasoning_effort"] == "low"
    assert "reasoning_effort" not in body(HELLO, model="gpt-4.1")


def test_padding_is_declined_only_where_the_server_knows_of_it() -> None:
    assert body(HELLO)["stream_options"] == {"include_obfuscation": False}
    assert "stream_options" not in body(HELLO, base_url="http://localhost:8000/v1")


def test_what_a_server_refuses_is_left_out_and_the_token_limit_renamed() -> None:
    prompt = Prompt(AGENT, Options.read({"temperature": 0.5, "max_tokens": 9, "base_url": "http://x/v1"}, {}))
    request = prompt.body(ChatRequest("call", (SYSTEM, HELLO), "en"))
    assert prompt.leave_out("temperature", request)
    assert prompt.leave_out("max_tokens", request)
    sent = prompt.adapted(request)
    assert "temperature" not in sent
    assert sent["max_completion_tokens"] == 9
    assert prompt.leave_out("max_completion_tokens", sent)
    assert not prompt.adapted(request).keys() & {"max_tokens", "max_completion_tokens"}
    assert not prompt.leave_out("messages", request)
    assert not prompt.leave_out("top_p", request)
