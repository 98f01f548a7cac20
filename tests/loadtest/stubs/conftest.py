"""A stub process's server inside the test's own loop, and agents that use it."""

from collections.abc import AsyncIterator

import pytest

from agent.agentfile.schema import AgentFile
from agent.clock import LoopClock
from agent.providers import ProviderContext
from loadtest.speech import _somebody
from loadtest.stubs.script import StubScript
from loadtest.stubs.server import listen


@pytest.fixture
def agent() -> AgentFile:
    """The least agent file there is."""
    return _somebody("en-US")


@pytest.fixture(params=["inprocess", "remote"])
async def context(request: pytest.FixtureRequest, agent: AgentFile) -> AsyncIterator[ProviderContext]:
    """What a stub is built from: once to work by itself, once with a server behind a real socket."""
    if request.param == "inprocess":
        yield ProviderContext(agent, LoopClock(), {"inprocess": True, "token_ms": 1})
        return
    server = await listen(StubScript(token_ms=1.0))
    port = server.sockets[0].getsockname()[1]
    yield ProviderContext(agent, LoopClock(), {"address": f"127.0.0.1:{port}"})
    server.close()
