"""Slots, loop lag and tickets, on virtual time."""

import asyncio

import pytest

from agent.admission import TICKET_MS, Admission, LoopLag, TicketOffice
from agent.errors import RefusalReason, Refused, TicketError
from tests.virtual import run_virtually, virtual_clock


def office(max_calls: int = 2, max_lag_ms: float = 50.0) -> tuple[Admission, TicketOffice, LoopLag]:
    clock = virtual_clock()
    lag = LoopLag(clock)
    admission = Admission(max_calls, max_lag_ms, lag)
    return admission, TicketOffice(admission, clock), lag


def refusal(admission: Admission) -> RefusalReason:
    with pytest.raises(Refused) as refused:
        admission.reserve()
    return refused.value.reason


def test_the_call_beyond_the_last_slot_is_refused_and_counted() -> None:
    async def scenario() -> None:
        admission, _, _ = office()
        first, _second = admission.reserve(), admission.reserve()
        assert refusal(admission) is RefusalReason.FULL
        first.release()
        admission.reserve()
        assert dict(admission.refused) == {"full": 1}

    run_virtually(scenario)


def test_a_slot_is_given_back_once_however_often_it_is_released() -> None:
    async def scenario() -> None:
        admission, _, _ = office()
        slot, _other = admission.reserve(), admission.reserve()
        slot.release()
        slot.release()
        assert admission.taken == 1

    run_virtually(scenario)


def test_a_lagging_loop_refuses_a_second_call_but_never_the_only_one() -> None:
    async def scenario() -> None:
        admission, _, lag = office()
        lag.smoothed_ms = 51.0
        admission.reserve()
        assert refusal(admission) is RefusalReason.OVERLOADED
        lag.smoothed_ms = 50.0
        admission.reserve()

    run_virtually(scenario)


def test_a_draining_process_takes_nobody() -> None:
    async def scenario() -> None:
        admission, tickets, _ = office()
        admission.draining = True
        assert refusal(admission) is RefusalReason.DRAINING
        with pytest.raises(Refused):
            tickets.issue("CA1")

    run_virtually(scenario)


def test_lag_is_measured_against_the_deadline_and_smoothed() -> None:
    async def scenario() -> None:
        _, _, lag = office()
        loop = asyncio.get_running_loop()
        lag.start()
        await asyncio.sleep(1.0)
        assert lag.max_ms < 0.001
        loop._jumping.now_s += 0.4  # type: ignore[attr-defined]  # the loop was busy for 400 ms
        await asyncio.sleep(0.01)
        assert 370 <= lag.max_ms <= 400
        assert lag.smoothed_ms == pytest.approx(lag.max_ms * 0.1)
        await asyncio.sleep(2.0)
        assert lag.smoothed_ms < 0.1
        lag.stop()

    run_virtually(scenario)


def test_a_ticket_works_once_and_only_for_its_call() -> None:
    async def scenario() -> None:
        admission, tickets, _ = office()
        ticket = tickets.issue("CA1")
        for wrong, call_id in ((ticket, "CA2"), ("", "CA1"), (ticket[:-1], "CA1"), ("é" * 32, "CA1")):
            with pytest.raises(TicketError):
                tickets.redeem(wrong, call_id)
        slot = tickets.redeem(ticket, "CA1")
        with pytest.raises(TicketError):
            tickets.redeem(ticket, "CA1")
        assert admission.taken == 1
        slot.release()
        assert admission.taken == 0

    run_virtually(scenario)


def test_an_unused_ticket_expires_and_frees_its_slot() -> None:
    async def scenario() -> None:
        admission, tickets, _ = office()
        ticket = tickets.issue("CA1")
        await asyncio.sleep((TICKET_MS - 1) / 1000)
        assert admission.taken == 1
        await asyncio.sleep(0.002)
        assert (admission.taken, tickets.outstanding) == (0, 0)
        with pytest.raises(TicketError):
            tickets.redeem(ticket, "CA1")

    run_virtually(scenario)


def test_a_retried_webhook_replaces_its_ticket_and_holds_one_slot() -> None:
    async def scenario() -> None:
        admission, tickets, _ = office()
        first = tickets.issue("CA1")
        await asyncio.sleep(20)
        second = tickets.issue("CA1")
        assert admission.taken == 1
        await asyncio.sleep(20)  # past the first one's expiry, not the second one's
        with pytest.raises(TicketError):
            tickets.redeem(first, "CA1")
        tickets.redeem(second, "CA1")

    run_virtually(scenario)


def test_a_live_call_gets_its_new_socket_even_when_full_or_draining() -> None:
    async def scenario() -> None:
        admission, tickets, _ = office(max_calls=1)
        admission.reserve()
        admission.draining = True
        tickets.is_live = lambda call_id: call_id == "CA1"
        slot = tickets.redeem(tickets.issue("CA1"), "CA1")
        assert admission.taken == 2
        slot.release()
        assert admission.taken == 1
        with pytest.raises(Refused):
            tickets.issue("CA2")

    run_virtually(scenario)


def test_closing_frees_all_tickets() -> None:
    async def scenario() -> None:
        admission, tickets, _ = office()
        tickets.issue("CA1")
        tickets.issue("CA2")
        tickets.cancel("CA9")
        tickets.close()
        assert (admission.taken, tickets.outstanding) == (0, 0)

    run_virtually(scenario)
