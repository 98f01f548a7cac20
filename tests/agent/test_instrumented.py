"""What a call tells its observer beside its turns, and how a mute one is mended."""

import pytest

from agent.invariants import SPEAKING, Invariants
from agent.latency import Stage as Part
from agent.records import CallRecord
from agent.turns.machine import State
from tests.agent.fakes import FakeLine, Process
from tests.agent.scripted import Observed
from tests.agent.stage import LONG, SENTENCE, Stage, play
from tests.virtual import run_virtually, virtual_clock


class Measured(Observed):
    """Also keeps what is told apart from turns."""

    def __init__(self) -> None:
        super().__init__()
        self.stages: dict[Part, list[float]] = {}

    def record_stage(self, call: CallRecord, stage: Part, value_ms: float) -> None:
        self.stages.setdefault(stage, []).append(value_ms)


async def speaking(stage: Stage, text: str = LONG) -> None:
    """The agent is in the middle of a long answer."""
    await stage.greet()
    stage.llm.says(text)
    await stage.ask()
    await stage.wait(1_000)
    assert stage.state is State.SPEAKING


def test_the_parts_of_a_barge_in_are_told() -> None:
    async def story(stage: Stage) -> None:
        measured = stage.observed = Measured()
        object.__setattr__(stage.services, "observer", measured)
        # More than is synthesised ahead: there is work left to cancel.
        await speaking(stage, f"{LONG} " * 12)
        stage.stt.answers.append("stop please")
        stage.phone.says(SENTENCE)
        await stage.until(State.YIELDED)
        detection, stop = measured.stages[Part.INTERRUPTION_DETECTION], measured.stages[Part.PLAYBACK_STOP]
        assert [detection[0] + stop[0]] == pytest.approx(measured.barge_ins_ms)
        assert 0 <= stop[0] < 1.0
        await stage.until(State.HEARING)
        await stage.wait(10)
        assert measured.stages[Part.SERVER_CANCEL] == [pytest.approx(0.0, abs=1.0)]

    play(story)


def test_a_call_whose_playout_lost_its_ticker_is_nudged_and_heard_to_the_end() -> None:
    async def story(stage: Stage) -> None:
        invariants = Invariants(stage.clock, lambda: [stage.media])
        invariants.start()
        await speaking(stage)
        assert invariants.violations == {}
        playout = stage.media.mouth._playout
        playout._ticker.remove(playout.tick)
        await stage.until(State.IDLE, 20_000)
        invariants.stop()
        assert invariants.violations == {SPEAKING: 1}
        assert stage.record.turns[1].agent == LONG
        assert stage.record.counters.ceilings == 0
        assert stage.record.counters.gap_ms > 500.0

    play(story)


def test_a_call_that_waits_for_its_socket_is_not_mute() -> None:
    async def story(stage: Stage) -> None:
        await speaking(stage)
        await stage.media.lost()
        await stage.wait(3_000)
        assert stage.media.silent_ms(stage.clock.now_ms()) is None

    play(story)


def test_a_replaced_socket_is_counted_and_a_clients_report_kept() -> None:
    async def scenario() -> None:
        process = Process(clock=virtual_clock())
        process.media("CA1")
        process.calls.answer_media(FakeLine("CA1"), process.calls.reserve())
        process.calls.record_client("CA1", None, {"rtt_ms": 50.0})
        process.calls.record_client("CA9", None, {"rtt_ms": 50.0})
        (call,) = process.calls.live
        assert call.record.counters.reconnects == 1
        assert call.record.client is not None
        assert call.record.client.rtt_ms == 50.0
        assert len(list(process.calls.media)) == 1
        await process.close()

    run_virtually(scenario)
