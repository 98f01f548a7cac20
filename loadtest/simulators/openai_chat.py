"""A stand-in of OpenAI's chat completions, and of the servers that speak the same protocol less carefully.

It listens on a real socket, checks what OpenAI checks (key, model, tool answers), streams tokens at its
profile's times, fails as told, and answers from a script or a function. OpenAI sheet 1, 2 and 13; the ways of
other servers from others.md 8. The openai SDK can be pointed at `url`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from agent.clock import Clock
from loadtest.simulators.faults import Fault, Faults
from loadtest.simulators.openai_chunks import (
    CREATED,
    Answer,
    Answers,
    Dialect,
    chunks,
    forty_tokens,
    usage_events,
    whole,
)
from loadtest.simulators.profile import PRESETS, Profile, Timings
from loadtest.simulators.served import Simulator

TIMINGS: Mapping[str, Profile] = {
    "first_token": PRESETS["openai.gpt-4.1.first_token"],
    "inter_token": PRESETS["openai.inter_token"],
    # OpenAI sheet 12: a dribbling stream took 3.5 to 8.9 s to the end of a sentence.
    "dribble": Profile.fixed(1_000),
    # Longer than any client should wait for a stream's end once the answer is whole.
    "slow_close": Profile.fixed(10_000),
}
"""The simulator's delays and what they are unless told otherwise."""

KEPT_REQUESTS = 64
"""Requests kept for inspection; a load test makes hundreds of thousands."""


@dataclass(slots=True)
class Counts:
    """What the simulator has done."""

    requests: int = 0
    connections: int = 0
    finished: int = 0
    abandoned: int = 0
    """Streams that the client closed before their end."""
    refused: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=KEPT_REQUESTS))
    """Status and code of the latest errors answered on its own account (not as a fault)."""


class _Refusal(Exception):
    """The request is wrong, as OpenAI would say it."""

    def __init__(self, status: int, message: str, kind: str, code: str | None) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.code = status, message, kind, code


class OpenAIChatSimulator(Simulator):
    """`async with` it: listens on entry, on `host` and `port` (0: a free one).

    `answers` makes the replies. `timings` and `faults` can be changed while it runs, also over `PUT /profile`
    and `PUT /faults`. `api_key` None takes any key; `models` empty takes any model.
    """

    BASE_PATH = "/v1"

    def __init__(
        self,
        clock: Clock,
        answers: Answers = forty_tokens,
        *,
        timings: Timings | None = None,
        faults: Faults | None = None,
        dialect: Dialect | None = None,
        api_key: str | None = None,
        models: tuple[str, ...] = (),
    ) -> None:
        super().__init__(TIMINGS, timings, faults)
        self.answers = answers
        self.dialect = dialect or Dialect()
        self.counts = Counts()
        self.requests: deque[dict[str, Any]] = deque(maxlen=KEPT_REQUESTS)
        """Bodies of the latest requests."""
        self._clock = clock
        self._api_key = api_key
        self._models = models
        self._peers: set[object] = set()

    def routes(self) -> Iterable[web.RouteDef]:
        """See `Simulator`."""
        return [web.post("/v1/chat/completions", self._complete), web.get("/v1/models", self._list_models)]

    async def _list_models(self, request: web.Request) -> web.Response:
        self._count_connection(request)
        try:
            self._authorise(request)
        except _Refusal as refusal:
            return self._refused(refusal)
        models = [
            {"id": name, "object": "model", "created": CREATED, "owned_by": "simulator"}
            for name in self._models or ("simulated",)
        ]
        return _json({"object": "list", "data": models})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self.counts.requests += 1
        self._count_connection(request)
        fault = self.faults.next()
        if fault is Fault.REFUSE:
            return _cut(request)
        try:
            self._authorise(request)
            body = _checked(await request.read(), self._models)
        except _Refusal as refusal:
            return self._refused(refusal)
        self.requests.append(body)
        if fault is Fault.TOO_MANY_REQUESTS:
            error = _error("Rate limit reached for requests", "requests", "rate_limit_exceeded")
            return _json(error, 429, {"retry-after": "1"})
        if fault is Fault.SERVER_ERROR:
            return _json(_error("The server had an error", "server_error", None), 503)
        answer = self.answers(body)
        if not body.get("stream") or self.dialect.ignores_stream:
            await self._clock.sleep(self.timings.draw_ms("first_token"))
            return _json(whole(answer, body))
        return await self._stream(request, body, answer, fault)

    async def _stream(
        self, request: web.Request, body: dict[str, Any], answer: Answer, fault: Fault | None
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        response.headers["x-request-id"] = f"req_{self.counts.requests}"
        await response.prepare(request)
        finished = False
        try:
            if fault is Fault.STALL_OPEN:
                await asyncio.get_running_loop().create_future()
            async for data in self._paced(body, answer, fault):
                await self._write(response, data)
            if fault is Fault.DIE_MID_STREAM:
                finished = True
                return _cut(request, response)
            await response.write_eof()
            finished = True
            self.counts.finished += 1
        except ConnectionResetError:
            pass  # the client went away between two writes: counted below
        finally:
            if not finished:
                self.counts.abandoned += 1
        return response

    async def _paced(self, body: dict[str, Any], answer: Answer, fault: Fault | None) -> AsyncIterator[bytes]:
        """Events at their times, kept by absolute deadlines so that delays do not add up."""
        events = [self._event(event) for event in chunks(answer, body, self.dialect)]
        tail = [self._event(event) for event in usage_events(answer, body)]
        if self.dialect.done:
            tail.append(self._data(b"[DONE]"))
        if fault is Fault.GARBAGE:
            events, tail = (
                [self._data(b'{"choices":[{"delta":{"content":"Hel'), b"\x00\xff\xfe<html>\n\n"],
                [],
            )
        if fault is Fault.DIE_MID_STREAM:
            events, tail = events[: max(2, len(events) // 2)], []
        due_ms = self._clock.now_ms() + self.timings.draw_ms("first_token")
        for position, event in enumerate(events):
            if (wait_ms := due_ms - self._clock.now_ms()) > 0:
                await self._clock.sleep(wait_ms)
            yield (b": keep-alive\n\n" + event) if self.dialect.comments else event
            # The role comes together with the first token.
            if position:
                slow = fault is Fault.DRIBBLE and position > 1
                due_ms += self.timings.draw_ms("dribble" if slow else "inter_token")
        if fault is Fault.SLOW_CLOSE:
            await self._clock.sleep(self.timings.draw_ms("slow_close"))
        yield b"".join(tail)

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        size = self.dialect.write_bytes or len(data) or 1
        for start in range(0, len(data), size):
            await response.write(data[start : start + size])
            if self.dialect.write_bytes:
                await asyncio.sleep(0)

    def _event(self, event: dict[str, Any]) -> bytes:
        return self._data(orjson.dumps(event))

    def _data(self, payload: bytes) -> bytes:
        field_name = b"data: " if self.dialect.space else b"data:"
        return field_name + payload + self.dialect.newline * 2

    def _authorise(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self._api_key is not None and given != self._api_key:
            # OpenAI repeats the key in its answer, with its middle starred out.
            shown = f"{given[:7]}***{given[-4:]}"
            message = f"Incorrect API key provided: {shown}."
            raise _Refusal(401, message, "invalid_request_error", "invalid_api_key")

    def _refused(self, refusal: _Refusal) -> web.Response:
        self.counts.refused.append((refusal.status, refusal.code or refusal.kind))
        return _json(_error(refusal.message, refusal.kind, refusal.code), refusal.status)

    def _count_connection(self, request: web.Request) -> None:
        peer = request.get_extra_info("peername")
        if peer not in self._peers:
            self._peers.add(peer)
            self.counts.connections += 1


def _json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        body=orjson.dumps(value), status=status, headers=headers, content_type="application/json"
    )


def _error(message: str, kind: str, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _cut(request: web.Request, response: web.StreamResponse | None = None) -> web.StreamResponse:
    """Reset the connection."""
    if request.transport is not None:
        request.transport.abort()
    return response or web.Response()


def _checked(raw: bytes, models: tuple[str, ...]) -> dict[str, Any]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise _Refusal(400, "We could not parse the JSON body.", "invalid_request_error", None) from None
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        raise _Refusal(400, "you must provide a model parameter", "invalid_request_error", None)
    if models and body["model"] not in models:
        message = f"The model `{body['model']}` does not exist or you do not have access to it."
        raise _Refusal(404, message, "invalid_request_error", "model_not_found")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _Refusal(400, "[] is too short - 'messages'", "invalid_request_error", "empty_array")
    _check_tool_answers(messages)
    return body


def _check_tool_answers(messages: list[dict[str, Any]]) -> None:
    """A missing answer for any call id is a 400, as is an answer to a call that nobody made."""
    open_calls: set[str] = set()
    for message in messages:
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in open_calls:
                text = (
                    "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
                )
                raise _Refusal(400, text, "invalid_request_error", None)
            open_calls.discard(message["tool_call_id"])
            continue
        if open_calls:
            break
        open_calls = {call["id"] for call in message.get("tool_calls") or ()}
    if open_calls:
        text = f"tool_call_ids did not have response messages: {', '.join(sorted(open_calls))}"
        raise _Refusal(400, text, "invalid_request_error", None)
