"""Children with a few lines of Python in them."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import pytest

from agent.clock import LoopClock
from loadtest.callers.errors import Unreachable
from loadtest.callers.local_server import free_ports
from loadtest.scenarios.child import Child

ECHO = """
import asyncio, sys
async def main():
    async def echo(reader, writer):
        while line := await reader.readline():
            writer.write(line)
        writer.close()
    await (await asyncio.start_server(echo, "127.0.0.1", int(sys.argv[1]))).serve_forever()
asyncio.run(main())
"""


@pytest.fixture
async def child() -> AsyncIterator[Child]:
    (port,) = free_ports(1)
    found = Child("the echo", ["-c", ECHO, str(port)], [port], LoopClock())
    await found.start()
    yield found
    await found.stop()


async def answer(child: Child, within_s: float = 2.0) -> str:
    """What a line sent to it comes back as; `nothing` if it stands still, `nobody` if it has gone."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", child.ports[0])
    except OSError:
        return "nobody"
    try:
        writer.write(b"hello\n")
        async with asyncio.timeout(within_s):
            return (await reader.readline()).decode().strip()
    except TimeoutError:
        return "nothing"
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_started_it_answers_and_stopped_it_has_gone(child: Child) -> None:
    assert (child.running, child.ended) == (True, "")
    assert await answer(child) == "hello"
    await child.stop()
    await child.stop()
    assert (child.running, await answer(child)) == (False, "nobody")


async def test_killed_it_can_be_restored_on_the_same_port(child: Child) -> None:
    child.kill()
    await child.restore()
    assert await answer(child) == "hello"


async def test_stalled_it_keeps_its_port_and_says_nothing_until_restored(child: Child) -> None:
    child.stall()
    assert await answer(child, within_s=0.2) == "nothing"
    await child.restore()
    assert await answer(child) == "hello"


async def test_a_stalled_child_can_be_stopped(child: Child) -> None:
    child.stall()
    async with asyncio.timeout(20):
        await child.stop()
    assert not child.running


async def test_restoring_what_is_well_does_nothing(child: Child) -> None:
    pid = child.pid
    await child.restore()
    assert child.pid == pid


async def test_it_does_not_hear_the_terminals_ctrl_c(child: Child) -> None:
    assert os.getpgid(child.pid) != os.getpgid(0)


async def test_a_child_that_was_killed_is_not_said_to_have_ended_for_what_it_said_last() -> None:
    says_and_waits = "import time; print('all is well', flush=True); time.sleep(60)"
    child = Child("the echo", ["-c", says_and_waits], (), LoopClock())
    await child.start()
    child.kill()
    async with asyncio.timeout(20):
        while child.running:  # noqa: ASYNC110  # a process has no event to wait for here
            await asyncio.sleep(0.01)
    ended = child.ended
    await child.stop()
    assert ended == "the echo ended with -9: killed, by somebody or for want of memory"


async def test_a_child_that_cannot_start_says_why_in_one_line() -> None:
    child = Child("the echo", ["-c", "raise SystemExit('no voice today')"], free_ports(1), LoopClock())
    with pytest.raises(Unreachable, match=r"^the echo did not start: no voice today$"):
        await child.start()
    assert child.ended == "the echo ended with 1: no voice today"
    await child.stop()
