"""The search for the capacity, on servers that exist as a formula."""

import os
from collections.abc import Callable

import pytest

from agent.clock import LoopClock
from loadtest.scenarios.load import load_scenario
from loadtest.scenarios.progress import PlainProgress
from loadtest.scenarios.result import Result, StepResult
from loadtest.scenarios.runner import Options, Runner
from loadtest.scenarios.schema import Step
from tests.loadtest.scenarios.runs import result, step

Answer = Callable[[int], StepResult]


class Formula:
    """Measures what a formula says."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.tried: list[int] = []

    async def step(self, step: Step, name: str, seconds: float) -> StepResult:
        self.tried.append(step.calls)
        return self.answer(step.calls)


async def searched(answer: Answer, **options: int) -> tuple[Result, list[int]]:
    scenario = load_scenario("capacity")
    runner = Runner(scenario, Options(**options), LoopClock(), os.environ, PlainProgress("test"))  # type: ignore[arg-type]  # by name
    formula, found = Formula(answer), result()
    assert scenario.search is not None
    await runner._search(scenario.search, formula, found)  # type: ignore[arg-type]  # all that is used of it
    return found, formula.tried


def slow_beyond(calls: int) -> Answer:
    return lambda load: step(load, voice_to_voice_ms=[350.0 if load <= calls else 500.0] * 50)


async def test_it_is_the_most_calls_at_which_p95_stays_near_one_calls() -> None:
    found, tried = await searched(slow_beyond(300))
    assert tried[0] == 1
    assert found.capacity is not None
    assert 285 <= found.capacity <= 300
    assert found.capacity_note == ""


@pytest.mark.parametrize(
    "trouble", ["unanswered", "lost_calls", "refused_calls", "missed_barge_ins", "wrong_answers"]
)
async def test_a_load_with_errors_is_not_held(trouble: str) -> None:
    found, _ = await searched(lambda load: step(load, **{trouble: 0 if load <= 100 else 2}))
    assert found.capacity is not None
    assert 95 <= found.capacity <= 100


async def test_beyond_the_callers_own_capacity_nothing_is_claimed() -> None:
    found, _ = await searched(lambda load: step(load, bottlenecks=["late"] if load > 150 else []))
    assert found.capacity == 100
    assert found.capacity_note == "beyond 100 calls the callers were the bottleneck"


async def test_a_server_that_holds_the_most_that_is_tried_may_hold_more() -> None:
    found, _ = await searched(slow_beyond(10_000), max_calls=120)
    assert found.capacity == 120
    assert "before a load was not held" in found.capacity_note


async def test_without_a_first_call_there_is_nothing_to_compare_with() -> None:
    for first in (step(1, bottlenecks=["late"]), step(1, voice_to_voice_ms=[])):
        found, tried = await searched(lambda _, first=first: first)  # type: ignore[misc]  # bound now
        assert tried == [1]
        assert found.capacity is None
        assert "one call could not be measured" in found.capacity_note


async def test_a_load_of_which_many_calls_are_not_on_is_not_held() -> None:
    """Those that were never let in cannot be slow."""
    found, _ = await searched(lambda load: step(load, live=min(load, 100)))
    assert found.capacity is not None
    assert 95 <= found.capacity <= 101
