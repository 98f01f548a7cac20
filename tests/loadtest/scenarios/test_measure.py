"""What a step counts, with a fleet and a server that only tell what they are told."""

import asyncio
from typing import Any, cast

import pytest
from aiohttp import web

from agent.clock import LoopClock
from loadtest.bulk.figures import Figures
from loadtest.bulk.fleet import Fleet
from loadtest.bulk.pacer import Lateness
from loadtest.bulk.probe import Cost
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

    def end_measuring(self) -> None:
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


class Busy(Silent):
    """A server that uses a tenth of a core, and 100 kB for each of 68 calls beyond 50 MB."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = LoopClock()
        self.asked_rss = 0

    def rss_kb(self) -> int:  # type: ignore[override]  # one of which it is known
        self.asked_rss += 1
        return 50_000 if self.asked_rss == 1 else 56_800

    def cpu_ms(self) -> float:  # type: ignore[override]  # the same
        return self.clock.now_ms() * 0.1

    def waited_ms(self) -> float:  # type: ignore[override]  # the same
        return 0.0


async def test_what_a_call_costs_is_of_the_calls_that_are_on_and_beyond_the_idle_server() -> None:
    (step,) = await measured(Busy(), a_step(100))
    assert step.live == 68
    assert step.core_percent == pytest.approx(10, abs=2)
    assert step.cpu_ms_per_call == pytest.approx(100 / 68, abs=0.3)
    assert step.rss_kb_per_call == 100.0


async def test_what_was_met_while_calls_were_opened_is_no_part_of_a_step() -> None:
    fleet = Callers()
    fleet.figures.turns = 7
    fleet.figures.voice_to_voice_ms = [9_000.0]
    (step,) = await measured(Silent(), a_step(100), fleet=fleet)
    assert step.callers["turns"] == 0
    assert step.samples["voice_to_voice_ms"] == []


@pytest.mark.parametrize(("late_ms", "told"), [(4.8, []), (5.1, ["callers 5.2 ms late (p99)"])])
async def test_callers_that_were_late_themselves_make_a_step_invalid(late_ms: float, told: list[str]) -> None:
    fleet = Callers()
    fleet.lateness.add(0.1, 97)
    fleet.lateness.add(late_ms, 3)
    (step,) = await measured(Silent(), a_step(100), fleet=fleet)
    assert [each for each in step.bottlenecks if "late" in each] == told
    assert step.valid is not bool(step.bottlenecks)


async def test_a_lateness_beyond_the_histogram_is_said_to_be_that_or_more() -> None:
    fleet = Callers()
    fleet.lateness.add(3_000.0, 100)
    (step,) = await measured(Silent(), a_step(100), fleet=fleet)
    assert "callers 200.0 ms or more late (p99)" in step.bottlenecks


@pytest.mark.parametrize(("share", "valid"), [(0.9, True), (0.97, False)])
async def test_callers_without_room_on_their_core_make_a_step_invalid(
    share: float, valid: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = LoopClock()
    monkeypatch.setattr(measure, "cost", lambda _pid: Cost(clock.now_ms() * share, 0.0))
    (step,) = await measured(Silent(), a_step(100))
    assert step.callers_core_percent == pytest.approx(100 * share, abs=1.5)
    assert step.valid is valid


class Counting(Silent):
    """A server whose counters go on, whatever a step is; it was restarted by somebody else meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = self.asked_cpu = 0

    def cpu_ms(self) -> float:  # type: ignore[override]  # one of which it is known
        self.asked_cpu += 1
        return 9_000.0 if self.asked_cpu == 1 else 40.0

    async def counters(self) -> dict[str, float]:
        self.asked += 1
        return (
            {"frames_late": 5.0, "apologies": 7.0}
            if self.asked == 1
            else {"frames_late": 8.0, "apologies": 1.0}
        )


async def test_counters_are_of_the_step_alone_and_a_restart_does_not_make_them_less_than_none() -> None:
    (step,) = await measured(Counting(), a_step(100))
    assert step.counters == {"frames_late": 3.0, "apologies": 0.0}
    assert (step.core_percent, step.cpu_ms_per_call) == (None, None), "it began to count anew"


async def test_turns_from_before_the_step_are_not_in_the_servers_account() -> None:
    begun_s = LoopClock().unix_s()

    async def record(_: web.Request) -> web.Response:
        turns = [
            {"caller": True, "at_ms": at_ms, "stages": {"response": 300.0, "added": added_ms}}
            for at_ms, added_ms in ((0.0, 900.0), (3_600_000.0, 1.0))
        ]
        return web.json_response(
            {"started_unix_s": begun_s - 60.0, "turns": turns, "transport": "twilio-media"}
        )

    app = web.Application()
    app.router.add_get("/calls/CA1", record)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fleet = Callers()
    fleet.call_ids = ["CA1"]
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    (step,) = await measured(Silent(url), a_step(100), fleet=fleet)
    await runner.cleanup()
    assert step.samples["added_ms"] == [1.0]
    assert step.stages["added"]["count"] == 1
