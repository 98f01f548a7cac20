"""The provider before the SDK is there: nobody who starts a server waits for it."""

import asyncio
import importlib
import subprocess
import sys
import threading

import pytest

from agent.clock import LoopClock
from agent.errors import ProviderUnavailable
from agent.providers import ProviderContext
from loadtest.simulators.openai_chat import OpenAIChatSimulator
from providers.openai import OpenAIChat
from tests.providers.openai.test_chat import AGENT, connected, quick, read, text

STARTED = """
import asyncio, sys
from agent.agentfile import load_agent
from agent.clock import LoopClock
from agent.providers import ProviderContext
from providers.openai import OpenAIChat

async def main():
    provider = OpenAIChat(ProviderContext(load_agent(), LoopClock(), {}, {}))
    print("openai" in sys.modules)
    await provider.close()

asyncio.run(main())
"""


def test_a_provider_is_made_without_the_sdk() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", STARTED], check=False, capture_output=True, text=True, timeout=30
    )
    assert (ran.stdout, ran.stderr) == ("False\n", "")


class SlowImport:
    """`importlib.import_module` on a slow disk: waits until it is let go, or fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on = threading.Event()
        self.began = threading.Event()
        self.error: ImportError | None = None
        self._import = importlib.import_module
        monkeypatch.setattr(importlib, "import_module", self)

    def __call__(self, name: str, package: str | None = None) -> object:
        if name != "providers.openai.chat":
            return self._import(name, package)
        self.began.set()
        assert self.go_on.wait(5)
        if self.error is not None:
            raise self.error
        return self._import(name)


async def test_a_call_that_comes_before_the_sdk_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = SlowImport(monkeypatch)
    async with (
        OpenAIChatSimulator(LoopClock(), timings=quick()) as simulator,
        connected(simulator.url) as chat,
    ):
        warming = asyncio.create_task(chat.warm())
        replies = [asyncio.create_task(read(chat)) for _ in range(2)]
        await asyncio.sleep(0.02)
        assert slow.began.is_set()
        assert not any(task.done() for task in (warming, *replies)), "the event loop goes on meanwhile"
        slow.go_on.set()
        await warming
        for reply in replies:
            assert text(await reply)
        assert simulator.counts.connections <= 3


async def test_a_provider_that_is_closed_while_it_loads_stays_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = SlowImport(monkeypatch)
    provider = OpenAIChat(ProviderContext(AGENT, LoopClock(), {}, {"OPENAI_API_KEY": "sk-test"}))
    warming = asyncio.create_task(provider.warm())
    await asyncio.sleep(0.02)
    await provider.close()
    slow.go_on.set()
    with pytest.raises(ProviderUnavailable, match="closed"):
        await warming


async def test_a_broken_installation_is_this_provider_s_problem_only(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = SlowImport(monkeypatch)
    slow.error = ImportError("no module named 'httpx2'")
    slow.go_on.set()
    provider = OpenAIChat(ProviderContext(AGENT, LoopClock(), {}, {"OPENAI_API_KEY": "sk-test"}))
    with pytest.raises(ProviderUnavailable, match="not whole: no module named 'httpx2'"):
        await provider.warm()
    await provider.close()
