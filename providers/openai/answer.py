"""From the documents of a streamed answer to the reply's events. Pure.

Written for OpenAI's events and for the servers that are less careful (openai.md 2, others.md 8): usage
without choices, `content` null or absent, `role` in every event, tool calls in one piece or without index or
id, the `function_call` of before tools, no `[DONE]`, `finish_reason` "stop" after tool calls, an error in
mid-stream.
"""

from dataclasses import dataclass, field
from typing import Any

import orjson

from agent.errors import ProviderRejected, ProviderUnavailable
from agent.providers import LLMEvent, TextDelta, ToolCall
from providers.openai.problems import in_stream

DONE = b"[DONE]"
_SHOWN_CHARS = 80


@dataclass(slots=True)
class _Call:
    index: int | None
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class Answer:
    """One reply being received."""

    __slots__ = ("_calls", "_said", "_tag", "done", "finish_reason", "provider")

    def __init__(self, provider: str, tag: str = "call") -> None:
        """`tag` begins the ids of tool calls that come without one; different for each reply of a call."""
        self.provider = provider
        self.finish_reason: str | None = None
        self.done = False
        """`[DONE]` has come."""
        self._calls: list[_Call] = []
        self._said = False
        self._tag = tag

    def read(self, data: bytes) -> TextDelta | None:
        """One event's data. Raises `ProviderError` for garbage, an error inside the stream, a withheld
        reply."""
        if data == DONE:
            self.done = True
            return None
        choice = self._choice(data, "delta")
        if choice is None:
            return None
        text = self._delta(choice.get("delta") or {})
        # Ollama sends it with the last fragment, OpenAI on its own after it.
        reason = choice.get("finish_reason")
        if reason is not None and self.finish_reason is None:
            self.finish_reason = str(reason)
        return text

    def read_whole(self, data: bytes) -> TextDelta | None:
        """The answer of a server that does not stream, as one document."""
        choice = self._choice(data, "message")
        if choice is None:
            return None
        self.finish_reason = str(choice.get("finish_reason") or "stop")
        return self._delta(choice.get("message") or {})

    def finish(self) -> list[LLMEvent]:
        """The stream is over: the tools that the model wants. Raises `ProviderError` if it was cut or
        withheld."""
        if self.finish_reason is None and not self.done:
            raise ProviderUnavailable(self.provider, "the stream ended in the middle of the reply")
        if self.finish_reason == "content_filter":
            raise ProviderRejected(self.provider, "the service's content filter withheld the reply")
        if self.finish_reason == "length":
            if self._calls or not self._said:
                # Half of a tool's arguments must not be used.
                what = "in a tool call" if self._calls else "before a word was said"
                raise ProviderRejected(self.provider, f"stopped at the token limit {what}: raise max_tokens")
            return []
        return [self._tool(position, call) for position, call in enumerate(self._calls)]

    @property
    def ended(self) -> bool:
        """The reply is complete; nothing that matters follows."""
        return self.done or self.finish_reason is not None

    def _choice(self, data: bytes, part: str) -> dict[str, Any] | None:
        """The first choice, if there is one. Raises `ProviderError`."""
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise self._garbage(data) from None
        if not isinstance(document, dict):
            raise self._garbage(data)
        if "choices" not in document:
            if "error" in document or document.get("object") == "error":
                raise in_stream(self.provider, document)
            return None
        choices = document["choices"]
        if not choices:
            return None
        if not isinstance(choices, list) or not isinstance(choices[0], dict):
            raise self._garbage(data)
        if not isinstance(choices[0].get(part) or {}, dict):
            raise self._garbage(data)
        found: dict[str, Any] = choices[0]
        return found

    def _delta(self, delta: dict[str, Any]) -> TextDelta | None:
        fragments = delta.get("tool_calls")
        if fragments:
            if not isinstance(fragments, list):
                raise self._garbage(repr(fragments).encode())
            for fragment in fragments:
                self._fragment(fragment)
        legacy = delta.get("function_call")
        if legacy:
            self._fragment({"index": 0, "function": legacy})
        # A refusal is the model's own words too.
        text = delta.get("content") or delta.get("refusal")
        if not isinstance(text, str):
            return None
        self._said = self._said or bool(text.strip())
        return TextDelta(text)

    def _fragment(self, fragment: Any) -> None:
        function = fragment.get("function") if isinstance(fragment, dict) else None
        if not isinstance(function, dict):
            raise self._garbage(repr(fragment).encode())
        call = self._call_of(fragment, function)
        call.id = call.id or fragment.get("id") or ""
        call.name = call.name or function.get("name") or ""
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            call.arguments.append(arguments)
        elif arguments:
            # Some servers give the object itself.
            call.arguments.append(orjson.dumps(arguments).decode())

    def _call_of(self, fragment: dict[str, Any], function: dict[str, Any]) -> _Call:
        """The call that a fragment belongs to: by index, else by id, else a name begins a new one.

        An index that comes again with another id and a name is another call: some servers number all as 0.
        """
        index, its_id, name = fragment.get("index"), fragment.get("id"), function.get("name")
        for call in reversed(self._calls):
            another = bool(name) and bool(its_id) and bool(call.id) and its_id != call.id
            if index is not None and call.index == index and not another:
                return call
            if index is None and (its_id == call.id if its_id and call.id else not name):
                return call
        call = _Call(index)
        self._calls.append(call)
        return call

    def _tool(self, position: int, call: _Call) -> ToolCall:
        if not call.name:
            raise ProviderUnavailable(self.provider, "a tool call without the tool's name")
        return ToolCall(call.id or f"{self._tag}_{position}", call.name, "".join(call.arguments) or "{}")

    def _garbage(self, data: bytes) -> ProviderUnavailable:
        shown = data[:_SHOWN_CHARS].decode(errors="replace")
        return ProviderUnavailable(self.provider, f"sent what is no chat completion: {shown!r}")
