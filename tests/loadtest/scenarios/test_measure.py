"""What a step counts, with a fleet and a server that only tell what they are told."""

import asyncio
from typing import Any, cast

import pytest

from agent.clock import LoopClock
from loadtest.bulk.figures import Figures
from loadtest.bulk.fleet import Fleet
from loadtest.bulk.pacer import Lateness
from loadtest.scenarios import measure
from loadtest.scenarios.criteria import KNOWN
from loadtest.scenarios.measure import Measurer
from loadtest.scenarios.monitor import Monitor
from loadtest.scenarios.result import StepResult
from loadtest.scenarios.schema import Step
from loadtest.scenarios.server import Server
from loadtest.scenarios.stop import Stop


class Callers:
    """A fleet of which some are refused and lost while it is opened, and some later."""

    def __init__(self) -> None:
        self.refused = self.lost = self.wanted = self.live = 0
        self.figures = Figures()
        self.lateness = Lateness()
        self.call_ids: list[str] = []

    async def open(self, count: int, per_s: float) -> None:
        self.wanted += count
        self.refused, self.lost, self.live = self.refused + 30, self.lost + 2, self.wanted - 32

    def measure_from_now(self) -> None:
        self.figures = Figures()

    def tally(self) -> None:
        self.refused += 1
        self.figures.refused_calls += 1


class Silent:
    """A server of which nothing is known; `side_url` never answers."""

    side_token = None

    def __init__(self, side_url: str = "http://127.0.0.1:1") -> None:
        self.side_url = side_url

    def rss_kb(self) -> None:
        return None

    def cpu_ms(self) -> None:
        return None

    def waited_ms(self) -> None:
        return None

    async def counters(self) -> dict[str, float]:
        return {}


class Unwatched:
    def measuring(self) -> None:
        pass


async def measured(server: Silent, *steps: Step, fleet: Callers | None = None) -> list[StepResult]:
    clock = LoopClock()
    fleet = fleet or Callers()
    measurer = Measurer(
        clock, cast("Fleet", fleet), cast("Server", server), Stop(clock), cast("Monitor", Unwatched()), None
    )
    return [await measurer.step(step, "a step", 0.05) for step in steps]


def a_step(calls: int, **changes: Any) -> Step:
    return Step(calls=calls, seconds=0.05, settle_s=0, **changes)


async def test_calls_refused_and_lost_while_a_step_is_opened_count_in_that_step() -> None:
    first, second = await measured(Silent(), a_step(100), a_step(200))
    assert (first.callers["refused_calls"], first.callers["lost_calls"]) == (31, 2)
    assert (second.callers["refused_calls"], second.callers["lost_calls"]) == (31, 2)
    of_step = KNOWN["refused_percent"].of_step
    assert of_step is not None
    assert of_step(second) == 15.5


async def test_a_server_that_does_not_answer_holds_up_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "RECORDS_S", 0.1)
    asked = asyncio.Event()
    release = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await release.wait()
        writer.close()

    listening = await asyncio.start_server(hold, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    fleet = Callers()
    fleet.call_ids = ["CA1"]
    async with asyncio.timeout(20):
        (step,) = await measured(Silent(f"http://127.0.0.1:{port}"), a_step(100), fleet=fleet)
    assert asked.is_set()
    assert step.stages == {}
    release.set()
    listening.close()
    await listening.wait_closed()
    await asyncio.sleep(0.01)
