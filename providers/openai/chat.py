"""Chat completions: one client and its pool of connections for all calls of the process.

The SDK sends the request and reads the status; the body's events are read here. Three things make a reply
cost a fifth of what the SDK's typed stream costs (bench/openai_chat.py): its events are not made into
models; the messages go by `extra_body`, which the SDK does not walk through to convert them; and HTTP is
aiohttp's.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import openai
import orjson

from agent.clock import Timer
from agent.errors import ProviderError, ProviderRejected, ProviderUnavailable, WireError
from agent.providers import ChatRequest, LLMEvent, ProviderContext, TextDelta
from providers.openai.answer import Answer
from providers.openai.body import FAILURES, Body
from providers.openai.options import NAME, Options
from providers.openai.problems import dropped, of_connection, of_status, unsupported
from providers.openai.prompt import Prompt
from providers.openai.sse import EventStream
from providers.openai.tag import TagReader

logger = logging.getLogger(__name__)

CONNECT_MS = 3_000.0
"""Bound on name resolution, TCP and TLS together, as for the other vendors (`providers.connections`)."""
IDLE_S = 300.0
"""How long a connection may wait for its next reply: turns are seconds apart. A server that closes it sooner
is noticed at once."""
KEEP_WARM_MS = 45_000.0
"""After so long without a reply one small request keeps a connection open. Common load balancers close idle
ones after 60 s (AWS's default) or 75 s (nginx's)."""
MAX_CONNECTIONS = 1_000
"""Above the largest number of calls of one process."""
_MAX_TRIES = 4
"""A request, two parameters that the server does not take, one connection that was closed while idle."""


class Chat:
    """What `providers.openai.provider` is once the SDK is there: the same methods, by the same contracts."""

    name = NAME

    def __init__(self, context: ProviderContext, options: Options, counts: Counter[str]) -> None:
        """`counts` gets what is said at `OpenAIChat.counts`."""
        self.options = options
        self.counts = counts
        self._agent = context.agent
        self._clock = context.clock
        self._key = context.secrets.get(options.key_name, "").strip()
        self._prompt = Prompt(context.agent, options)
        self._client: openai.AsyncOpenAI | None = None
        self._answered = False
        self._used_ms = 0.0
        self._timer: Timer | None = None
        self._warming: asyncio.Task[None] | None = None
        self._closed = False

    async def warm(self) -> None:
        """Open a connection and check the key. Raises `ProviderError`."""
        await self._touch()
        if self.options.keep_warm:
            self._touch_in(KEEP_WARM_MS)

    async def close(self) -> None:
        """Close all connections. Idempotent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def reply(self, request: ChatRequest) -> AsyncGenerator[LLMEvent, None]:
        """See `agent.providers.LLM`. Closing it closes the connection, which tells the server to stop."""
        answer = Answer(self.name, f"call_{len(request.messages)}")
        tag = TagReader(self._agent.languages, request.language)
        async with AsyncExitStack() as stack:
            body = await self._ask(self._prompt.body(request), stack)
            stack.push_async_callback(body.close)
            events = EventStream()
            open_ = True
            while open_ and not answer.ended:
                piece = await body.whole() if body.kind == "application/json" else await body.read()
                open_ = bool(piece)
                for delta in self._deltas(body.kind, piece, events, answer):
                    for event in tag.read(delta):
                        yield event
            for event in tag.end():
                yield event
            for wanted in answer.finish():
                yield wanted
            if open_ and not await body.ends():
                self.counts["slow_end"] += 1
        if answer.finish_reason == "length":
            self.counts["truncated"] += 1
            logger.warning("openai: a reply was cut at the token limit: raise max_tokens")

    def _deltas(self, kind: str, piece: bytes, events: EventStream, answer: Answer) -> list[TextDelta]:
        """The text in a piece of the body. Raises `ProviderError`."""
        if kind == "application/json":
            whole = answer.read_whole(piece)
            return [] if whole is None else [whole]
        if kind == "text/html":
            url = self.options.base_url
            raise ProviderRejected(self.name, f"{url} answers with a web page: base_url mostly ends in /v1")
        try:
            found = events.feed(piece) if piece else events.end()
        except WireError as error:
            raise ProviderUnavailable(self.name, str(error)) from None
        return [delta for data in found if (delta := answer.read(data)) is not None]

    async def _ask(self, body: dict[str, Any], stack: AsyncExitStack) -> Body:
        """Send the request and read the head of the answer. Raises `ProviderError`.

        Asks again at once, on the same server, only where that is sure to help: without a parameter that it
        says it does not take, and when an idle connection was closed just as it was used.
        """
        client = self._open()
        for left in reversed(range(_MAX_TRIES)):
            sent = self._prompt.adapted(body)
            try:
                response = await stack.enter_async_context(
                    client.chat.completions.with_streaming_response.create(
                        model=self.options.model, messages=[], stream=True, extra_body=sent
                    )
                )
            except openai.APIStatusError as error:
                if not left or not self._adapt(sent, error):
                    raise of_status(self.name, error, self.options.key_name, self._key) from error
            except FAILURES as error:
                if not left or not self._answered or not dropped(error):
                    raise self._lost(error) from error
                self._answered = False
                self.counts["reconnected"] += 1
            else:
                self._answered = True
                self._used_ms = self._clock.now_ms()
                return Body(self.name, self.options.base_url, self.options.timeout_ms, response)
        raise AssertionError("the last try returns or raises")

    def _adapt(self, sent: dict[str, Any], error: openai.APIStatusError) -> bool:
        """Leave out what the server refuses, from now on. False if that is not what it said."""
        name = unsupported(error)
        if name is None or not self._prompt.leave_out(name, sent):
            return False
        self.counts["adapted"] += 1
        logger.warning("openai: %s does not take %s: left out from now on", self.options.model, name)
        return True

    def _lost(self, error: BaseException) -> ProviderError:
        return of_connection(self.name, error, self.options.base_url, self.options.timeout_ms)

    def _open(self) -> openai.AsyncOpenAI:
        """The client. Raises `ProviderError` without a key where one is needed, and when closed."""
        if self._closed:
            raise ProviderUnavailable(self.name, "closed")
        if self._client is None:
            options = self.options
            # It would write a line for every reply at the level that operators run with.
            if (requests := logging.getLogger("httpx2")).level == logging.NOTSET:
                requests.setLevel(logging.WARNING)
            if not self._key and options.official:
                raise ProviderRejected(self.name, f"no API key: set {options.key_name}")
            connect_s = CONNECT_MS / 1000
            self._client = openai.AsyncOpenAI(
                # The SDK wants one; servers without keys take any.
                api_key=self._key or "none",
                base_url=options.base_url,
                max_retries=0,
                # Compressing a stream of words costs both ends more than it saves.
                default_headers={"Accept-Encoding": "identity"},
                timeout=httpx2.Timeout(options.timeout_ms / 1000, connect=connect_s, pool=connect_s),
                http_client=openai.DefaultAioHttpClient(
                    limits=httpx2.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=IDLE_S)
                ),
            )
        return self._client

    async def _touch(self) -> None:
        """A small request: the list of models. A server without one has been reached all the same."""
        client = self._open()
        try:
            response = await client.models.with_raw_response.list()
            names = _model_names(response.content)
        except openai.APIStatusError as error:
            if error.status_code not in (404, 405):
                raise of_status(self.name, error, self.options.key_name, self._key) from error
            names = set()
        except FAILURES as error:
            raise self._lost(error) from error
        self._answered = True
        self._used_ms = self._clock.now_ms()
        if names and self.options.model not in names:
            logger.warning("openai: %s does not list the model %r", self.options.base_url, self.options.model)

    def _touch_in(self, delay_ms: float) -> None:
        if not self._closed:
            self._timer = self._clock.call_later(delay_ms, self._renew)

    def _renew(self) -> None:
        left_ms = self._used_ms + KEEP_WARM_MS - self._clock.now_ms()
        if left_ms > 0:
            self._touch_in(left_ms)
        else:
            self._warming = asyncio.create_task(self._keep_warm(), name="keep a model connection warm")

    async def _keep_warm(self) -> None:
        try:
            await self._touch()
        except ProviderError as error:
            logger.info("cannot keep a connection warm: %s", error)
        self._touch_in(KEEP_WARM_MS)


def _model_names(data: bytes) -> set[str]:
    """Of a list of models; empty for what is none."""
    try:
        listed = orjson.loads(data)["data"]
        return {str(model["id"]) for model in listed}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return set()
