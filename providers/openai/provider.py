"""The OpenAI chat provider, as far as it needs no SDK.

Importing the SDK takes 0.3 s, most of it for models of endpoints that nobody here uses. A server that is
starting listens without it: it is imported beside that, on a thread, when the provider is warmed.
"""

import asyncio
import importlib
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from agent.errors import ProviderUnavailable
from agent.providers import ChatRequest, LLMEvent, ProviderContext
from providers.openai.options import NAME, Options

_WITH_SDK = "providers.openai.chat"


class _Chat(Protocol):
    """What that module makes."""

    async def warm(self) -> None: ...

    async def close(self) -> None: ...

    def reply(self, request: ChatRequest) -> AsyncGenerator[LLMEvent, None]: ...


class OpenAIChat:
    """`agent.providers.LLM` on chat completions.

    Options: `model` (or `PARLEY_OPENAI_MODEL`), `base_url` (or `PARLEY_OPENAI_BASE_URL`, `OPENAI_BASE_URL`),
    `api_key_name` (the variable that holds the key: `OPENAI_API_KEY`), `max_tokens`, `temperature` and the
    other usual parameters, `extra` for a server's own, `knowledge`, `keep_warm`, `timeout_ms`. At an address
    other than OpenAI's there need not be a key.
    """

    name = NAME

    def __init__(self, context: ProviderContext) -> None:
        """Raises `ConfigError` for options that there are not."""
        self.options = Options.read(context.options, context.secrets)
        self.counts: Counter[str] = Counter()
        """`truncated`: ended by the token limit; `slow_end`: the stream's end did not come; `reconnected`:
        asked again since an idle connection had been closed; `adapted`: asked again without a parameter."""
        self._context = context
        self._chat: _Chat | None = None
        self._closed = False

    async def warm(self) -> None:
        """Load the SDK, open a connection and check the key. Raises `ProviderError`."""
        await (await self._loaded()).warm()

    async def close(self) -> None:
        """Close all connections. Idempotent."""
        self._closed = True
        if self._chat is not None:
            await self._chat.close()

    def reply(self, request: ChatRequest) -> AsyncGenerator[LLMEvent, None]:
        """See `agent.providers.LLM`. Closing it closes the connection, which tells the server to stop."""
        # Once loaded there is nothing between the chain and the chat: each token would pay for it.
        return self._first_reply(request) if self._chat is None else self._chat.reply(request)

    async def _first_reply(self, request: ChatRequest) -> AsyncGenerator[LLMEvent, None]:
        """For a call that came before the provider was warm."""
        async with aclosing((await self._loaded()).reply(request)) as events:
            async for event in events:
                yield event

    async def _loaded(self) -> _Chat:
        if self._chat is not None:
            return self._chat
        try:
            module = await asyncio.to_thread(importlib.import_module, _WITH_SDK)
        except ImportError as error:
            raise ProviderUnavailable(self.name, f"the openai package is not whole: {error}") from error
        if self._closed:
            raise ProviderUnavailable(self.name, "closed")
        if self._chat is None:  # nobody else who waited for the module was first
            self._chat = module.Chat(self._context, self.options, self.counts)
        return self._chat
