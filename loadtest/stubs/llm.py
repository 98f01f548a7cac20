"""Stub language model, entry point `parley.llm` `stub`."""

from collections.abc import AsyncGenerator

import orjson

from agent.clock import Clock
from agent.providers import ChatRequest, LLMEvent, ProviderContext, TextDelta
from loadtest.stubs import frames
from loadtest.stubs.client import StubLink
from loadtest.stubs.script import StubScript


class StubLLM:
    """Streams the script's reply, whatever was asked."""

    name = "stub"

    def __init__(self, context: ProviderContext) -> None:
        """Options: `inprocess`, `address`, and those of `StubScript`. Raises `ConfigError`."""
        self._script = StubScript.from_options(context.options)
        self._tokens = self._script.token_texts()
        self._clock: Clock = context.clock
        self._link = None if context.options.get("inprocess") else StubLink(context.options)

    async def warm(self) -> None:
        """Open the connection."""
        if self._link is not None:
            await self._link.get()

    async def close(self) -> None:
        """See `agent.providers.Provider`."""
        if self._link is not None:
            self._link.close()

    async def reply(self, request: ChatRequest) -> AsyncGenerator[LLMEvent, None]:
        """See `agent.providers.LLM`."""
        if self._link is None:
            wait_ms = self._script.first_token_ms
            for token in self._tokens:
                if wait_ms:
                    await self._clock.sleep(wait_ms)
                yield TextDelta(token)
                wait_ms = self._script.token_ms
            return
        connection = await self._link.get()
        messages = [{"role": each.role, "content": each.content} for each in request.messages]
        async with connection.exchange(frames.CHAT, orjson.dumps(messages)) as exchange:
            while (token_bytes := await exchange.next()) is not None:
                yield TextDelta(token_bytes.decode())
