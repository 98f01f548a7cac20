"""What goes wrong in one call stays in it."""

import asyncio

import pytest

from agent.scope import CallScope
from tests.virtual import run_virtually, virtual_clock


def test_a_fault_is_reported_once_and_goes_no_further(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        faults: list[str] = []
        scope = CallScope("c1", virtual_clock(), lambda: faults.append("fault"))
        scope.run("transcript", lambda: 1 / 0)
        assert faults == ["fault"]
        scope.after("reprompt", 100, lambda: 1 / 0)
        await asyncio.sleep(0.2)
        assert faults == ["fault"] * 2

        async def broken() -> None:
            raise ValueError("no")

        await asyncio.wait({scope.spawn(broken(), "reply")})
        await asyncio.sleep(0)
        assert faults == ["fault"] * 3

    run_virtually(play)
    assert [record.getMessage() for record in caplog.records] == [
        "call c1: transcript failed",
        "call c1: reprompt failed",
        "call c1: reply failed",
    ]


def test_a_timer_takes_the_place_of_one_with_the_same_name() -> None:
    async def play() -> None:
        ran: list[str] = []
        scope = CallScope("c1", virtual_clock(), lambda: ran.append("fault"))
        scope.after("idle", 100, lambda: ran.append("old"))
        scope.after("idle", 200, lambda: ran.append("new"))
        scope.after("other", 150, lambda: ran.append("other"))
        scope.after("dropped", 150, lambda: ran.append("dropped"))
        scope.cancel_timer("dropped")
        scope.cancel_timer("unknown")
        await asyncio.sleep(1)
        assert ran == ["other", "new"]

    run_virtually(play)


def test_a_timer_may_set_itself_again() -> None:
    async def play() -> None:
        ran: list[float] = []
        clock = virtual_clock()
        scope = CallScope("c1", clock, lambda: None)

        def again() -> None:
            ran.append(clock.now_ms())
            if len(ran) < 3:
                scope.after("again", 100, again)

        scope.after("again", 100, again)
        await asyncio.sleep(1)
        assert len(ran) == 3

    run_virtually(play)


def test_after_the_timers_were_stopped_no_new_one_is_taken() -> None:
    async def play() -> None:
        ran: list[str] = []
        scope = CallScope("c1", virtual_clock(), lambda: ran.append("fault"))
        scope.after("one", 100, lambda: ran.append("one"))
        scope.stop_timers()
        scope.after("two", 100, lambda: ran.append("two"))
        await asyncio.sleep(1)
        assert ran == []

    run_virtually(play)


def test_tasks_are_cancelled_together_and_that_is_no_fault() -> None:
    async def play() -> None:
        faults: list[str] = []
        scope = CallScope("c1", virtual_clock(), lambda: faults.append("fault"))

        async def for_ever() -> None:
            await asyncio.sleep(1e9)

        async def one_of_us() -> None:
            await scope.cancel_tasks()

        waiting = scope.spawn(for_ever(), "reply")
        ending = scope.spawn(one_of_us(), "teardown")
        await asyncio.wait({waiting, ending})
        assert waiting.cancelled()
        assert not ending.cancelled()
        assert faults == []

    run_virtually(play)
