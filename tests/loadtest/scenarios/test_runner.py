"""Whole runs in small: a real server, real callers, a few seconds."""

import asyncio
import os
import socket
from typing import Any

import pytest

from agent.audio.formats import FRAME_MS
from agent.clock import LoopClock
from agent.errors import ConfigError
from loadtest.report.page import page
from loadtest.scenarios.load import parse_scenario
from loadtest.scenarios.progress import PlainProgress, Progress
from loadtest.scenarios.result import Point, Result
from loadtest.scenarios.runner import Options, Runner
from loadtest.scenarios.server import OwnServer

pytestmark = pytest.mark.e2e

MEDIA = """name: small
summary: Two calls.
callers: {via: [twilio-media, telnyx-media/PCMA], think_ms: [100, 200], barge_every: 2, barge_after_ms: 300}
steps: [{calls: 2, seconds: 8, settle_s: 1}]
"""
RELAY = """name: relay
summary: Ten text calls.
callers: {via: [twilio-relay], turn_ms: 1000}
steps: [{calls: 4, seconds: 3, settle_s: 0}, {calls: 10, seconds: 3, settle_s: 0}]
"""


class Watched(PlainProgress):
    """Tells when so many seconds have been measured."""

    def __init__(self, points: int = 0) -> None:
        super().__init__("test")
        self.far_enough = asyncio.Event()
        self._left = points

    def point(self, point: Point) -> None:
        super().point(point)
        self._left -= 1
        if self._left == 0:
            self.far_enough.set()


def runner(text: str, progress: Progress | None = None, **options: Any) -> Runner:
    scenario = parse_scenario(text, "test.yaml")
    return Runner(scenario, Options(**options), LoopClock(), os.environ, progress or Watched())


async def run(text: str, **options: Any) -> Result:
    affinity = os.sched_getaffinity(0)
    result = await runner(text, **options).run()
    assert os.sched_getaffinity(0) == affinity
    return result


async def test_a_small_run_measures_at_both_ends() -> None:
    result = await run(MEDIA)
    assert result.ended == ""
    (step,) = result.steps
    assert (step.name, step.live) == ("2 calls", 2)
    callers = step.callers
    assert callers["voice_to_voice_ms"]["count"] >= 2
    assert callers["barge_in_ms"]["count"] >= 1
    assert callers["first_words"] >= 2
    assert callers["first_words_unknown"] == 0, "the stubs' voice is known, in both formats"
    assert callers["first_word_lost_ms"]["count"] == 0
    assert callers["lost_calls"] == callers["bad_messages"] == callers["refused_calls"] == 0
    assert step.samples["voice_to_voice_ms"]
    assert step.stages["response"]["count"] >= 2
    assert step.stages["strict"]["count"] >= 2
    assert set(step.agreement_ms) == {"twilio-media", "telnyx-media"}
    # Both ends mean the same by it: not one frame more. The target is 5 ms, on a quiet machine; on a busy one
    # a caller that is late itself is apart by as much.
    assert min(step.samples["agreement_ms"]) < FRAME_MS
    assert step.cpu_ms_per_call is not None
    assert step.cpu_ms_per_call > 0
    assert step.rss_kb_per_call is not None
    assert 7 <= len(result.timeline) <= 9
    assert result.timeline[-1]["fds"] > 5
    assert {verdict["name"] for verdict in result.verdicts} >= {"voice_to_voice_p50_ms", "errors_percent"}
    assert "How long callers waited" in page(result)


async def test_relay_calls_grow_from_step_to_step() -> None:
    result = await run(RELAY)
    assert [step.live for step in result.steps] == [4, 10]
    for step in result.steps:
        assert step.callers["turns"] >= step.calls
        assert step.callers["first_words_unknown"] == 0
        assert step.stages["added"]["count"] >= step.calls
        assert step.agreement_ms["twilio-relay"]["p50"] < FRAME_MS


async def test_browsers_are_measured_the_same_way() -> None:
    text = """name: web
summary: Two browsers.
callers: {via: [webrtc], think_ms: [100, 200], barge_every: 1, barge_after_ms: 700}
steps: [{calls: 2, seconds: 12, settle_s: 1}]
"""
    result = await run(text)
    assert result.ended == ""
    (step,) = result.steps
    callers = step.callers
    assert (step.live, callers["refused_calls"], callers["lost_calls"], callers["bad_messages"]) == (
        2,
        0,
        0,
        0,
    )
    assert callers["voice_to_voice_ms"]["count"] >= 2
    assert callers["barge_in_ms"]["count"] >= 1
    assert callers["missed_barge_ins"] == 0
    assert callers["jitter_ms"]["count"] > 50, "packets of a spurt are compared one by one"
    assert callers["first_words"] >= 1, "before it was interrupted"
    assert callers["first_words_unknown"] < callers["first_words"]
    assert callers["first_word_lost_ms"]["count"] == 0
    assert set(step.agreement_ms) == {"webrtc"}
    assert min(step.samples["agreement_ms"]) < FRAME_MS
    assert step.unpaired == 0
    assert step.stages["response"]["count"] >= 2


async def test_browsers_cough_press_keys_and_speak_g711() -> None:
    text = """name: web
summary: Two browsers.
callers:
  via: [webrtc/PCMU]
  think_ms: [100, 200]
  barge_every: 0
  barge_after_ms: 700
  cough_every: 1
  keys_every: 2
  hang_up_after_ms: 20000
  redial_ms: 100
steps: [{calls: 2, seconds: 15, settle_s: 0}]
"""
    result = await run(text)
    assert result.ended == ""
    (step,) = result.steps
    callers = step.callers
    assert callers["voice_to_voice_ms"]["count"] >= 1
    assert callers["keys_to_voice_ms"]["count"] >= 1
    assert callers["coughs"] >= 1
    assert callers["hang_ups"] >= 1
    assert callers["first_words"] >= 1
    assert callers["first_word_lost_ms"]["count"] == callers["bad_messages"] == callers["lost_calls"] == 0
    assert step.live == 2
    assert "webrtc" in step.agreement_ms


async def test_what_was_measured_until_an_interruption_counts() -> None:
    watched = Watched(points=2)
    going = runner(MEDIA.replace("seconds: 8", "seconds: 600"), watched)
    async with asyncio.timeout(90):
        task = asyncio.create_task(going.run())
        await watched.far_enough.wait()
        going.stop.ask("interrupted")
        result = await task
    assert result.ended == "interrupted"
    (step,) = result.steps
    assert 0 < step.seconds < 60
    assert step.callers["frames_sent"] > 0
    assert "interrupted" in page(result)


async def test_a_server_that_dies_ends_the_run_with_one_line_and_what_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    servers: list[OwnServer] = []
    start = OwnServer.start

    async def noted(self: OwnServer, core: int | None) -> None:
        servers.append(self)
        await start(self, core)

    monkeypatch.setattr(OwnServer, "start", noted)
    watched = Watched(points=2)
    async with asyncio.timeout(90):
        task = asyncio.create_task(runner(MEDIA.replace("seconds: 8", "seconds: 600"), watched).run())
        await watched.far_enough.wait()
        os.kill(servers[0].pid, 9)
        result = await task
    assert result.ended.startswith("the server ended with -9")
    assert "\n" not in result.ended
    (step,) = result.steps
    assert step.callers["frames_sent"] > 50
    assert step.callers["lost_calls"] == 2


async def test_a_target_where_nobody_listens_is_named() -> None:
    result = await run(MEDIA, target="http://127.0.0.1:1", side_url="http://127.0.0.1:1")
    assert result.ended.startswith("no call could be opened at 127.0.0.1:1: cannot open ws://127.0.0.1:1/")
    assert "\n" not in result.ended
    assert result.steps == []
    assert "ended early" in page(result)


async def test_a_port_that_is_taken_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr("loadtest.scenarios.server.free_ports", lambda count: (port,) * count)
        result = await run(MEDIA)
    assert "in use" in result.ended
    assert "\n" not in result.ended


async def test_trouble_needs_a_server_of_ones_own() -> None:
    text = MEDIA + "events: [{at_s: 1, do: kill_server}]\n"
    with pytest.raises(ConfigError, match="leave --target out"):
        runner(text, target="http://127.0.0.1:8080")


@pytest.mark.parametrize("url", ["file://example.com", "http://", "ftp://x", "http://127.0.0.1:1/path"])
async def test_a_target_that_bulk_callers_cannot_call_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="expected http://host:port"):
        await runner(MEDIA, target=url).run()


async def test_callers_come_back_after_cut_sockets_and_a_killed_server() -> None:
    text = MEDIA.replace("barge_after_ms: 300", "barge_after_ms: 300, redial_ms: 200").replace(
        "seconds: 8", "seconds: 14"
    )
    result = await run(
        text + "events: [{at_s: 1, do: cut_sockets, share: 0.5}, {at_s: 2, do: kill_server}]\n"
    )
    assert result.ended == "", "a server that was killed on purpose does not end the run"
    assert [event.do for event in result.events] == ["cut_sockets", "kill_server"]
    assert result.events[0].detail == "1 sockets"
    (step,) = result.steps
    assert step.callers["cut_calls"] == 1
    assert step.callers["lost_calls"] >= 1
    assert step.live == 2
    assert step.cpu_ms_per_call is not None, "of both servers"
    assert step.counters


def steps_of(*calls: int) -> list[str]:
    return [f"{{calls: {each}, seconds: 1}}" for each in calls]


async def test_steps_that_a_limit_makes_alike_are_one() -> None:
    text = RELAY.partition("steps:")[0] + f"steps: [{', '.join(steps_of(1, 2, 5, 9))}]"
    assert [step.calls for step in runner(text, max_calls=2).steps] == [1, 2]
    assert [step.calls for step in runner(text).steps] == [1, 2, 5, 9]


async def test_steps_that_are_alike_in_the_scenario_stay() -> None:
    text = RELAY.partition("steps:")[0] + f"steps: [{', '.join(steps_of(2, 2, 5, 2))}]"
    assert [step.calls for step in runner(text, max_calls=5).steps] == [2, 2, 5, 2]
