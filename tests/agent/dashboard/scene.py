"""A side port with a dashboard, and a past to show on it."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from agent.call import Call
from agent.clock import LoopClock
from agent.dashboard import Dashboard, Timelines, TurnWatch
from agent.dashboard.snapshot import Sources
from agent.latency import Stage
from agent.lines import CallInfo
from agent.logs import RecentProblems
from agent.problems import problems
from agent.records import CallRecord, TurnRecord
from tests.agent.fakes import Process

WORDS = (
    ("what are your opening hours", "We are open from eight to six, Monday to Friday."),
    ("how much is a check up", "A check up costs sixty pounds."),
    ("I would like to book an appointment", "I can book that for you. Which day suits you best?"),
    ("Tuesday please", "Tuesday at ten or at half past two. Which do you prefer?"),
)


class ShiftedClock(LoopClock):
    """The real clock, with a wall time that a test can move."""

    __slots__ = ("shift_s",)

    def __init__(self) -> None:
        super().__init__()
        self.shift_s = 0.0

    def unix_s(self) -> float:
        return super().unix_s() + self.shift_s


class Theatre:
    """What a test sees of the scene."""

    def __init__(self) -> None:
        self.clock = ShiftedClock()
        self.process = Process(max_calls=400, clock=self.clock)
        self.turns = TurnWatch(self.clock)
        self.timelines = Timelines(self.clock)
        self.problems = RecentProblems()
        services = self.process.calls._services
        self.sources = Sources(
            self.process.calls, self.turns, self.timelines, self.process.lag,
            {"stt": services.stt, "llm": services.llm, "tts": services.tts}, self.problems, self.clock,
            "Riverside Clinic",
        )  # fmt: skip
        self.dashboard = Dashboard(self.sources)
        self.random = random.Random(7)

    def ended_call(self, call_id: str, turns: int) -> CallRecord:
        """A whole call of the past, that began `turns` x 9 s ago."""
        self.clock.shift_s -= turns * 9.0
        info = CallInfo("telnyx-media", f"CA{call_id}")
        record = CallRecord(call_id, info, self.clock.unix_s(), "en-US")
        for state in ("replying", "speaking", "idle"):
            record.state = state
            self.timelines.state_changed(record)
            self.clock.shift_s += {"replying": 0.2, "speaking": 2.4, "idle": 0.6}[state]
        for index in range(turns):
            self._turn(record, index)
        record.ended_unix_s, record.cause, record.state = self.clock.unix_s(), "caller_hung_up", "ended"
        self.timelines.call_ended(record)
        self.process.calls.recent.append(record)
        self.process.calls.ended_calls["telnyx-media", record.cause] += 1
        self.clock.shift_s = 0.0
        return record

    def _turn(self, record: CallRecord, index: int) -> None:
        pick = self.random
        stages = stages_of(pick)
        for state, lasts_s in (
            ("hearing", 1.4), ("replying", stages[Stage.RESPONSE] / 1000), ("speaking", pick.uniform(1, 4)),
            ("yielded", 0.3 if index % 3 == 1 else 0.0), ("idle", 0.8),
        ):  # fmt: skip
            if lasts_s:
                record.state = state
                self.timelines.state_changed(record)
                self.clock.shift_s += lasts_s
        caller, agent = WORDS[index % len(WORDS)]
        at_ms = (self.clock.unix_s() - record.started_unix_s) * 1000
        turn = TurnRecord(index, at_ms, "en-US", caller, agent, answered=True, stages=stages)
        turn.interrupted = index % 3 == 1
        turn.providers = {"stt": "fake", "llm": "fake", "tts": "fake"}
        record.turns.append(turn)
        record.counters.turns += 1
        self.turns.turn_ended(record, turn)

    def hour(self) -> None:
        """An hour of turns, busier and slower in the middle."""
        record = CallRecord("past", CallInfo("twilio-media", "CApast"), self.clock.unix_s(), "en-US")
        for second in range(3_500, 0, -4):
            self.clock.shift_s = -float(second)
            slower = 1.7 if 1_400 < second < 1_900 else 1.0
            for _ in range(self.random.randrange(1, 4)):
                turn = TurnRecord(1, 0.0, "en-US", stages=stages_of(self.random, slower))
                turn.providers = {"stt": "fake", "llm": "fake", "tts": "fake"}
                self.turns.turn_ended(record, turn)
        self.clock.shift_s = 0.0

    def live(self, count: int) -> list[Call]:
        """So many live calls, in all states."""
        for number in range(count):
            self.process.media(f"LIVE{number}")
        calls = list(self.process.calls.live)
        for number, call in enumerate(calls):
            state = ("hearing", "speaking", "replying", "idle", "speaking")[number % 5]
            call.record.state = state
        return calls


def stages_of(pick: random.Random, slower: float = 1.0) -> dict[Stage, float]:
    """A turn's stages, such as they are."""
    found = {
        Stage.ENDPOINTING: pick.uniform(300, 620),
        Stage.STT_FINAL: pick.expovariate(1 / 60) * slower,
        Stage.LLM_FIRST_SENTENCE: (140 + pick.expovariate(1 / 110)) * slower,
        Stage.TTS_FIRST_AUDIO: 60 + pick.expovariate(1 / 40),
        Stage.ADDED: pick.expovariate(1 / 2.2),
    }
    found[Stage.RESPONSE] = sum(found.values())
    found[Stage.LLM_FIRST_TOKEN] = found[Stage.LLM_FIRST_SENTENCE] * 0.7
    return found


@asynccontextmanager
async def side_port() -> AsyncIterator[tuple[Theatre, Any]]:
    """A dashboard on a port of its own, and a client of it."""
    stage = Theatre()
    app = web.Application(middlewares=[problems])
    stage.dashboard.mount(app)
    client = TestClient(TestServer(app))
    await client.start_server()
    try:
        yield stage, client
    finally:
        await client.close()
        await stage.process.close()
