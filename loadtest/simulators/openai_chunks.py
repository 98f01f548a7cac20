"""What a chat completion looks like on the wire: OpenAI's events, and the ways of less careful servers.

Pure: from an answer and the request's body to the documents that are sent. OpenAI sheet 2; others.md 8.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CREATED = 1_790_000_000
_TOKEN = re.compile(r"\s*\S+|\s+$")


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    """A tool that the model calls. `arguments` is JSON text, sent in `pieces` fragments after the name.

    With no pieces, name and arguments come in one fragment, as Ollama sends them.
    """

    name: str
    arguments: str = "{}"
    pieces: int = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply of the model: text, then tools. `finish_reason` None is what follows from them."""

    text: str = ""
    tools: tuple[ScriptedCall, ...] = ()
    refusal: str = ""
    finish_reason: str | None = None

    @property
    def reason(self) -> str:
        """What the stream ends with."""
        return self.finish_reason or ("tool_calls" if self.tools else "stop")


Answers = Callable[[Mapping[str, Any]], Answer]
"""From the request's body to the reply."""


def script(answers: Sequence[Answer]) -> Answers:
    """Answers in order, whoever asks; the last one again and again."""
    left = deque(answers)
    return lambda _: left.popleft() if len(left) > 1 else left[0]


def forty_tokens(_: Mapping[str, Any]) -> Answer:
    """The reply of load tests: 40 tokens in three sentences, about as long as a phone agent's turn."""
    return Answer(
        "We are open from Monday to Friday, eight in the morning until six in the evening. "
        "On Saturdays we are here from nine until one. "
        "Would you like me to book an appointment for you this week or next week?"
    )


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a server speaks the protocol. The default is OpenAI's way."""

    newline: bytes = b"\n"
    """`\\r\\n` from some proxies."""
    done: bool = True
    """False: no `[DONE]`."""
    comments: bool = False
    """Keep-alive comment lines between events."""
    space: bool = True
    """False: `data:{...}`."""
    tool_ids: str = "first"
    """`first`: in a call's first fragment; `always`: in every one; `never`."""
    tool_index: bool = True
    """False: fragments carry no index."""
    role_always: bool = False
    reasoning: bool = False
    """Streams `reasoning_content` before the answer."""
    stop_after_tools: bool = False
    """`finish_reason` is `stop` after tool calls."""
    interleave: bool = False
    """Fragments of several tool calls alternate."""
    ignores_stream: bool = False
    """Answers in one JSON document although a stream was asked for."""
    write_bytes: int | None = None
    """Cuts what it writes into pieces of this size, through the middle of UTF-8 characters."""


def _head(body: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-simulated", "object": kind, "created": CREATED, "model": body["model"]}


def chunks(answer: Answer, body: dict[str, Any], dialect: Dialect) -> list[dict[str, Any]]:
    """The stream up to the finish reason: the role first, then one event for each token or fragment."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "" if answer.text else None}]
    if dialect.reasoning:
        deltas += [{"reasoning_content": "The caller wants", "content": None}, {"reasoning": " to know."}]
    deltas += [{"content": token} for token in _TOKEN.findall(answer.text)]
    deltas += [{"refusal": token} for token in _TOKEN.findall(answer.refusal)]
    deltas += [{"tool_calls": [fragment]} for fragment in _fragments(answer.tools, dialect)]
    if dialect.role_always:
        deltas = [{"role": "assistant", **delta} for delta in deltas]
    reason = "stop" if dialect.stop_after_tools and answer.tools else answer.reason
    head = _head(body, "chat.completion.chunk")
    steps: list[tuple[dict[str, Any], str | None]] = [(delta, None) for delta in deltas]
    return [
        {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}
        for delta, finish in [*steps, ({}, reason)]
    ]


def _fragments(tools: tuple[ScriptedCall, ...], dialect: Dialect) -> list[dict[str, Any]]:
    calls = [_fragments_of(index, tool, dialect) for index, tool in enumerate(tools)]
    if not dialect.interleave:
        return [fragment for call in calls for fragment in call]
    longest = max((len(call) for call in calls), default=0)
    return [call[step] for step in range(longest) for call in calls if step < len(call)]


def _fragments_of(index: int, tool: ScriptedCall, dialect: Dialect) -> list[dict[str, Any]]:
    texts = [tool.arguments]
    if tool.pieces:
        size = max(1, -(-len(tool.arguments) // tool.pieces))
        texts = ["", *(tool.arguments[at : at + size] for at in range(0, len(tool.arguments), size))]
    fragments: list[dict[str, Any]] = [{"function": {"arguments": text}} for text in texts]
    fragments[0]["type"] = "function"
    fragments[0]["function"]["name"] = tool.name
    for position, fragment in enumerate(fragments):
        if dialect.tool_index:
            fragment["index"] = index
        if dialect.tool_ids == "always" or (dialect.tool_ids == "first" and position == 0):
            fragment["id"] = f"call_simulated{index}"
    return fragments


def _usage_of(answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
    """Token counts: words stand for tokens, which is near enough for a stand-in."""
    prompt = sum(len(str(message.get("content") or "").split()) for message in body["messages"])
    completion = len(_TOKEN.findall(answer.text + answer.refusal)) + 8 * len(answer.tools)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": prompt // 2},
    }


def usage_events(answer: Answer, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The event that follows the finish reason, if it was asked for."""
    if not (body.get("stream_options") or {}).get("include_usage"):
        return []
    return [{**_head(body, "chat.completion.chunk"), "choices": [], "usage": _usage_of(answer, body)}]


def whole(answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
    """The answer as one document."""
    calls = [
        {
            "id": f"call_simulated{index}",
            "type": "function",
            "function": {"name": tool.name, "arguments": tool.arguments},
        }
        for index, tool in enumerate(answer.tools)
    ]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": answer.text or None,
        "refusal": answer.refusal or None,
    }
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.reason}
    return {**_head(body, "chat.completion"), "choices": [choice], "usage": _usage_of(answer, body)}
