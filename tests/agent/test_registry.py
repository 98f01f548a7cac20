"""Live calls, their slots, and the records of ended ones."""

import asyncio

import pytest

from agent.errors import Refused
from agent.events import CallerWords, CallEvent, StateChanged
from agent.registry import RECENT
from tests.agent.fakes import FakeLine, Process
from tests.virtual import run_virtually, virtual_clock


def test_a_new_socket_of_a_live_call_takes_it_over_and_gives_its_slot_back() -> None:
    async def scenario() -> None:
        process = Process(clock=virtual_clock())
        first = process.media("CA1")
        (call,) = process.calls.live
        second = FakeLine("CA1")
        process.calls.answer_media(second, process.calls.reserve())
        assert list(process.calls.live) == [call]
        assert process.admission.taken == 1
        assert first.closed
        assert not second.closed
        await process.close()

    run_virtually(scenario)


def test_of_a_new_text_call_more_cost_is_expected_but_not_of_its_new_socket_nor_of_a_media_call() -> None:
    async def scenario() -> None:
        process = Process(clock=virtual_clock())
        process.busy.share = 0.8
        process.media("CA1")
        assert process.room.expected(2) == 0.8
        process.calls.answer_text(FakeLine("CA2"), process.calls.reserve())
        assert process.room.expected(2) == 1.6
        process.calls.answer_text(FakeLine("CA2"), process.admission.readmit())
        assert process.room.expected(2) == 1.6
        await process.close()

    run_virtually(scenario)


def test_who_takes_a_call_over_is_told_of_it_from_then_on_and_the_one_before_no_more() -> None:
    async def scenario() -> None:
        process = Process(clock=virtual_clock())
        first: list[CallEvent] = []
        second: list[CallEvent] = []
        process.calls.answer_media(FakeLine("CA1"), process.calls.reserve(), first.append)
        conversation = next(process.calls.media)
        await asyncio.sleep(1)
        told = len(first)
        assert told > 0
        process.calls.answer_media(FakeLine("CA1"), process.calls.reserve(), second.append)
        assert second == [StateChanged(conversation.state.value)]
        conversation.typed("what are your hours")
        await asyncio.sleep(3)
        assert CallerWords("what are your hours", final=True) in second
        assert len(first) == told
        await process.close()

    run_virtually(scenario)


def test_a_line_that_comes_when_the_call_is_over_hears_nothing_of_it() -> None:
    async def scenario() -> None:
        process = Process(clock=virtual_clock())
        process.calls.answer_media(FakeLine("CA1"), process.calls.reserve())
        conversation = next(process.calls.media)
        conversation.call.end_soon("test")
        await asyncio.sleep(0)
        late: list[CallEvent] = []
        line = FakeLine("CA1")
        conversation.replace_line(line, late.append)
        await asyncio.sleep(3)
        assert late == []
        assert line.closed
        await process.close()

    run_virtually(scenario)


def test_a_call_that_changes_its_kind_of_line_begins_anew_and_the_old_one_ends() -> None:
    async def scenario() -> None:
        process = Process(clock=virtual_clock())
        process.media("CA1")
        process.text("CA1")
        await asyncio.sleep(3)
        (call,) = process.calls.live
        assert call.record.info.transport == "twilio-relay"
        assert [record.cause for record in process.calls.recent] == ["replaced"]
        assert process.admission.taken == 1
        await process.close()

    run_virtually(scenario)


def test_a_call_that_cannot_begin_gives_its_slot_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no memory")

    async def scenario() -> None:
        process = Process(clock=virtual_clock())
        monkeypatch.setattr("agent.registry.MediaConversation.__init__", broken)
        with pytest.raises(RuntimeError):
            process.media("CA1")
        assert process.admission.taken == 0
        assert not process.calls.is_live("CA1")
        await process.close()

    run_virtually(scenario)


def test_the_platform_can_end_a_call_by_its_id() -> None:
    async def scenario() -> None:
        process = Process(clock=virtual_clock())
        process.media("CA1")
        await process.calls.hang_up("unknown", "completed")
        assert process.calls.is_live("CA1")
        await process.calls.hang_up("CA1", "completed")
        assert not process.calls.is_live("CA1")
        assert process.admission.taken == 0
        record = process.calls.find("CA1")
        assert record is not None
        assert (record.cause, record.state) == ("completed", "ended")
        assert process.calls.find(record.call_id) is record
        assert process.calls.ended_calls["twilio-media", "completed"] == 1
        await process.close()

    run_virtually(scenario)


def test_two_hundred_and_fifty_calls_leave_no_slot_and_no_record_beyond_the_ring() -> None:
    async def scenario() -> None:
        process = Process(max_calls=5, clock=virtual_clock())
        for number in range(250):
            begin = process.media if number % 2 else process.text
            begin(f"CA{number}")
            await asyncio.sleep(0.1)
            await process.calls.hang_up(f"CA{number}", "caller_hung_up")
        assert process.admission.taken == 0
        assert list(process.calls.live) == []
        assert process.calls._slots == {}
        assert len(process.calls.recent) == RECENT
        assert process.calls.recent[-1].info.platform_call_id == "CA249"
        assert process.calls.find("CA0") is None
        await process.close()

    run_virtually(scenario)


def test_draining_waits_for_live_calls_and_cuts_none_that_end_in_time() -> None:
    async def scenario() -> None:
        process = Process(clock=virtual_clock())
        process.media("CA1")
        draining = asyncio.create_task(process.calls.drain(60, asyncio.Event()))
        await asyncio.sleep(2)
        assert not draining.done()
        await process.calls.hang_up("CA1", "caller_hung_up")
        assert await draining == 0
        await process.close()

    run_virtually(scenario)


def test_draining_waits_for_a_call_that_was_promised_a_place() -> None:
    async def scenario() -> None:
        process = Process(clock=virtual_clock())
        ticket = process.tickets.issue("CA1")
        process.admission.draining = True
        draining = asyncio.create_task(process.calls.drain(600, asyncio.Event()))
        await asyncio.sleep(2)
        process.calls.answer_media(FakeLine("CA1"), process.tickets.redeem(ticket, "CA1"))
        with pytest.raises(Refused):
            process.calls.reserve()
        await asyncio.sleep(2)
        assert not draining.done()
        await process.calls.hang_up("CA1", "caller_hung_up")
        assert await draining == 0
        await process.close()

    run_virtually(scenario)


def test_a_ticket_that_nobody_uses_holds_a_drain_up_only_until_it_expires() -> None:
    async def scenario() -> None:
        process = Process(clock=virtual_clock())
        process.tickets.issue("CA1")
        began_ms = process.clock.now_ms()
        assert await process.calls.drain(600, asyncio.Event()) == 0
        assert process.clock.now_ms() - began_ms == pytest.approx(30_000, abs=1)
        await process.close()

    run_virtually(scenario)


def test_a_drain_hangs_up_on_who_is_left_at_its_limit() -> None:
    async def scenario() -> None:
        process = Process(clock=virtual_clock())
        lines = [process.media("CA1"), process.text("CA2")]
        began_ms = process.clock.now_ms()
        assert await process.calls.drain(5, asyncio.Event()) == 2
        assert 5_000 <= process.clock.now_ms() - began_ms <= 7_000
        assert all(line.hung_up and line.closed for line in lines)
        assert [record.cause for record in process.calls.recent] == ["drained", "drained"]
        assert process.admission.taken == 0
        await process.close()

    run_virtually(scenario)


class DeadLine(FakeLine):
    """The platform answers nothing."""

    async def hang_up(self) -> None:
        self.hung_up = True
        await asyncio.Event().wait()


def test_a_cut_takes_two_seconds_however_many_calls_and_whatever_hangs() -> None:
    async def scenario() -> None:
        process = Process(max_calls=20, clock=virtual_clock())
        lines = [DeadLine(f"CA{number}") for number in range(20)]
        for line in lines:
            call = process.calls.answer_media(line, process.calls.reserve())
            call.call.on_close = asyncio.Event().wait  # type: ignore[attr-defined]  # ears that do not close
        began_ms = process.clock.now_ms()
        assert await process.calls.drain(0.0, asyncio.Event()) == 20
        assert process.clock.now_ms() - began_ms == pytest.approx(2_000, abs=1)
        assert all(line.hung_up and line.closed for line in lines)
        assert {record.cause for record in process.calls.recent} == {"drained"}
        assert process.admission.taken == 0
        await process.close()

    run_virtually(scenario)


def test_a_second_signal_cuts_at_once() -> None:
    async def scenario() -> None:
        process = Process(clock=virtual_clock())
        process.media("CA1")
        cut = asyncio.Event()
        draining = asyncio.create_task(process.calls.drain(3600, cut))
        await asyncio.sleep(1)
        cut.set()
        assert await asyncio.wait_for(draining, 20) == 1
        await process.close()

    run_virtually(scenario)
