"""Chat answers from an agent file's own knowledge, so that a simulated model says what the agent should."""

import re
from collections.abc import Mapping
from typing import Any

from agent.agentfile.schema import AgentFile
from agent.clock import Clock
from agent.plugins import LLM, load
from agent.providers import ChatRequest, Message, ProviderContext, Role, TextDelta, ToolCall
from loadtest.simulators.openai_chunks import Answer, Answers, ScriptedCall

_LANGUAGE = re.compile(r"\bSpeak ([A-Za-z]{2,3}(?:-[A-Za-z0-9]+)*)\.")
"""How `providers.openai` tells the model the language."""


def knowing(agent: AgentFile, clock: Clock) -> Answers:
    """Answers as the embedded responder gives them, tools and dialogues too."""
    responder = load(LLM, "embedded")(ProviderContext(agent, clock))

    def answer(body: Mapping[str, Any]) -> Answer:
        messages = tuple(_message(message) for message in body["messages"])
        request = ChatRequest("simulated", messages, _language(messages, agent))
        events = responder.events(request)
        return Answer(
            "".join(event.text for event in events if isinstance(event, TextDelta)),
            tuple(
                ScriptedCall(event.name, event.arguments) for event in events if isinstance(event, ToolCall)
            ),
        )

    return answer


def _language(messages: tuple[Message, ...], agent: AgentFile) -> str:
    system = messages[0].content if messages and messages[0].role is Role.SYSTEM else ""
    # The last one: the owner's instructions come first, and may say such words too.
    found = _LANGUAGE.findall(system)
    return found[-1] if found and found[-1] in agent.languages else agent.language


def _message(message: Mapping[str, Any]) -> Message:
    role = message.get("role")
    calls = tuple(
        ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
        if "function" in call
    )
    content = message.get("content")
    return Message(
        Role(role) if role in set(Role) else Role.SYSTEM,
        content if isinstance(content, str) else "",
        calls,
        message.get("tool_call_id"),
    )
