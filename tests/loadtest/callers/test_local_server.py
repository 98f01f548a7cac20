"""A server of one's own that does not come up."""

import os

import pytest

from agent.clock import LoopClock
from loadtest.callers.errors import Unreachable
from loadtest.callers.local_server import LocalServer, free_ports


async def test_a_server_that_ends_at_once_is_told_with_its_last_words() -> None:
    server = LocalServer(LoopClock(), os.environ, PARLEY_MAX_CALLS="none")
    with pytest.raises(Unreachable, match=r"the server ended with \d+:\n(.*\n)*.*\S"):
        async with server:
            pytest.fail("it came up")
    assert server.log() == ""


async def test_the_platforms_secrets_are_not_passed_on() -> None:
    server = LocalServer(LoopClock(), {"TWILIO_AUTH_TOKEN": "x", "PARLEY_PORT": "1", "HOME": "/h"}, EXTRA="1")
    assert set(server._environ) == {"HOME", "EXTRA", "PARLEY_HOST", "PARLEY_PORT", "PARLEY_SIDE_PORT"}
    assert server.url.endswith(server._environ["PARLEY_PORT"])
    await server.stop()


def test_free_ports_are_different() -> None:
    assert len(set(free_ports(5))) == 5
