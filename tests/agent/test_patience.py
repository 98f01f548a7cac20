"""How long a call waits, and for what. Exact times; what a call makes of them is in `test_call`."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from agent.agentfile.load import parse_agent
from agent.agentfile.schema import Limits, Turns
from agent.patience import GOODBYE_MS, MAX_MISHEARD, REPLYING_MS, YIELDED_MS, Patience
from agent.scope import CallScope
from agent.turns.machine import State
from tests.agent.stage import AGENT
from tests.virtual import run_virtually, virtual_clock


class Waits:
    """A call that only notes when its patience was at an end, in ms."""

    def __init__(self, turns: Turns, limits: Limits) -> None:
        self.clock = virtual_clock()
        self.scope = CallScope("c1", self.clock, lambda: pytest.fail("a fault"))
        self.patience = Patience(turns, limits, self.scope, self)
        self.told: list[tuple[str, float]] = []
        self.began_ms = self.clock.now_ms()

    def _note(self, name: str) -> None:
        self.told.append((name, round(self.clock.now_ms() - self.began_ms)))

    def reprompt(self) -> None:
        self._note("reprompt")

    def not_understood(self) -> None:
        self._note("not understood")

    def give_up(self) -> None:
        self._note("give up")

    def stuck(self) -> None:
        self._note("stuck")

    def time_is_up(self) -> None:
        self._note("time is up")

    def out_of_time(self) -> None:
        self._note("out of time")


def scenario(play: Callable[[Waits], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        agent = parse_agent(AGENT, "agent.yaml")
        waits = Waits(agent.turns, agent.limits)
        await play(waits)
        waits.scope.stop_timers()

    run_virtually(whole)


def test_silence_is_counted_until_patience_ends() -> None:
    async def play(waits: Waits) -> None:
        for _ in range(3):
            waits.patience.rest()
            await waits.clock.sleep(8_000)
        assert waits.told == [("reprompt", 8_000), ("reprompt", 16_000), ("give up", 24_000)]

    scenario(play)


def test_nobody_is_silent_while_one_speaks() -> None:
    async def play(waits: Waits) -> None:
        waits.patience.rest()
        await waits.clock.sleep(7_999)
        waits.patience.state(State.HEARING)
        await waits.clock.sleep(20_000)
        assert waits.told == []

    scenario(play)


@pytest.mark.parametrize(
    ("state", "ceiling_ms"),
    [
        (State.HEARING, 30_000.0),
        (State.REPLYING, REPLYING_MS),
        (State.SPEAKING, 120_000.0),
        (State.YIELDED, YIELDED_MS),
        (State.IDLE, None),
        (State.ENDED, None),
    ],
)
def test_each_state_in_which_something_should_happen_has_a_ceiling(
    state: State, ceiling_ms: float | None
) -> None:
    async def play(waits: Waits) -> None:
        waits.patience.state(state)
        await waits.clock.sleep(200_000)
        assert waits.told == ([] if ceiling_ms is None else [("stuck", ceiling_ms)])

    scenario(play)


def test_a_call_has_a_maximum_length_and_its_goodbye_as_well() -> None:
    async def play(waits: Waits) -> None:
        waits.patience.begin()
        await waits.clock.sleep(4_000_000)
        assert waits.told == [("time is up", 3_600_000), ("out of time", 3_600_000 + GOODBYE_MS)]

    scenario(play)


def test_while_the_line_is_gone_nothing_is_waited_for() -> None:
    async def play(waits: Waits) -> None:
        waits.patience.state(State.REPLYING)
        waits.patience.rest()
        waits.patience.hold()
        waits.patience.state(State.YIELDED)
        waits.patience.rest()
        await waits.clock.sleep(100_000)
        assert waits.told == []
        waits.patience.go_on(State.IDLE)
        await waits.clock.sleep(10_000)
        assert waits.told == [("reprompt", 108_000)]
        waits.patience.go_on(State.YIELDED)
        await waits.clock.sleep(10_000)
        assert waits.told[1:] == [("stuck", 116_000)]

    scenario(play)


def test_sounds_that_are_no_words_are_borne_a_number_of_times() -> None:
    async def play(waits: Waits) -> None:
        for _ in range(MAX_MISHEARD + 1):
            waits.patience.misheard()
        assert [name for name, _ in waits.told] == ["not understood"] * MAX_MISHEARD + ["give up"]
        waits.patience.answered()
        waits.patience.misheard()
        assert waits.told[-1][0] == "not understood"

    scenario(play)
