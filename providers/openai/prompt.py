"""From a conversation to the body of a request. Pure.

The system message is put together so that its longest part never changes: servers cache what requests have in
common at their beginning, and a cached prompt is answered sooner.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from agent.agentfile.schema import AgentFile
from agent.providers import ChatRequest, Message, Role, ToolSpec
from providers.openai.options import Options, default_effort

SPOKEN = (
    "This is a telephone call: everything you write is read out. Use short, plain sentences, as people talk. "
    "No lists, no markup, no emoji, no web addresses unless asked for."
)
_SWAPPED = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
"""The two names of the token limit: a server that refuses one takes the other."""
_NEEDED = frozenset(("model", "messages", "stream", "tools"))
CUT = "…"
"""Ends what the caller interrupted, so that the model knows that the rest was never heard."""


class Prompt:
    """Makes requests for one agent."""

    def __init__(self, agent: AgentFile, options: Options) -> None:
        self._agent = agent
        self._options = options
        self._base: dict[str, Any] = {"model": options.model, "stream": True}
        effort = default_effort(options.model)
        if effort is not None:
            self._base["reasoning_effort"] = effort
        if options.official:
            # Leaves out the random padding that every delta otherwise carries (openai.md 2).
            self._base["stream_options"] = {"include_obfuscation": False}
        if options.max_tokens is not None:
            # OpenAI's reasoning models reject `max_tokens`; many other servers know nothing else.
            name = "max_completion_tokens" if options.official or effort else "max_tokens"
            self._base[name] = options.max_tokens
        self._base.update(options.parameters)
        self._tail = {language: self._tail_of(language) for language in agent.languages}
        self._left_out: set[str] = set()

    def body(self, request: ChatRequest) -> dict[str, Any]:
        """The request's JSON document."""
        body = dict(self._base)
        tail = self._tail.get(request.language) or self._tail[self._agent.language]
        body["messages"] = _messages(request.messages, tail)
        if request.tools:
            body["tools"] = [_tool(tool) for tool in request.tools]
        else:
            # Both are a 400 without tools.
            body.pop("tool_choice", None)
            body.pop("parallel_tool_calls", None)
        return body

    def adapted(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """`body` without what the server has refused before."""
        found = {name: value for name, value in body.items() if name not in self._left_out}
        for name in self._left_out & body.keys() & _SWAPPED.keys():
            if _SWAPPED[name] not in self._left_out:
                found[_SWAPPED[name]] = body[name]
        return found

    def leave_out(self, name: str, sent: Mapping[str, Any]) -> bool:
        """The server does not take this parameter. False if it was not sent, or cannot be left out."""
        if name not in sent or name in _NEEDED:
            return False
        self._left_out.add(name)
        return True

    def _tail_of(self, language: str) -> str:
        """What follows the agent file's instructions."""
        agent = self._agent
        parts = [SPOKEN]
        if self._options.knowledge and agent.knowledge:
            known = (f"- {entry.ask[language][0]}: {entry.answer[language]}" for entry in agent.knowledge
                     if entry.ask.get(language) and language in entry.answer)  # fmt: skip
            parts.append("What you know:\n" + "\n".join(known))
        parts.append(f"Speak {language}.")
        others = [other for other in agent.languages if other != language]
        if others:
            parts.append(
                f"You also speak {', '.join(others)}. When the caller wants one of these, begin the reply "
                f"with its tag in square brackets, such as [{others[0]}], and go on in that language."
            )
        return "\n\n".join(parts)


def _messages(messages: Sequence[Message], tail: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for message in messages:
        entry: dict[str, Any]
        if message.role is Role.TOOL:
            entry = {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.content}
        elif message.tool_calls:
            entry = {"role": "assistant", "content": _said(message) or None, "tool_calls": _calls(message)}
        elif message.role is Role.ASSISTANT:
            # Nothing said and nothing done: some servers refuse an empty message.
            if not message.content:
                continue
            entry = {"role": "assistant", "content": _said(message)}
        elif message.role is Role.SYSTEM and not found:
            entry = {"role": "system", "content": f"{message.content}\n\n{tail}"}
        else:
            entry = {"role": message.role.value, "content": message.content}
        found.append(entry)
    return found


def _said(message: Message) -> str:
    return message.content + CUT if message.interrupted and message.content else message.content


def _calls(message: Message) -> list[dict[str, Any]]:
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in message.tool_calls
    ]


def _tool(tool: ToolSpec) -> Mapping[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}
