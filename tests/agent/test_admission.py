"""Slots, loop lag and tickets, on virtual time."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from agent.admission import LAG_PERIOD_MS, TICKET_MS, Admission, LoopLag, TicketOffice
from agent.clock import Clock, Timer
from agent.errors import RefusalReason, Refused, TicketError
from tests.virtual import stall, virtual_clock, virtually


def office(max_calls: int = 2, max_lag_ms: float = 50.0) -> tuple[Admission, TicketOffice, LoopLag]:
    clock = virtual_clock()
    lag = LoopLag(clock)
    admission = Admission(max_calls, max_lag_ms, lag)
    return admission, TicketOffice(admission, clock), lag


def refusal(admission: Admission) -> RefusalReason:
    with pytest.raises(Refused) as refused:
        admission.reserve()
    return refused.value.reason


@virtually
async def test_the_call_beyond_the_last_slot_is_refused_and_counted() -> None:
    admission, _, _ = office()
    first, _second = admission.reserve(), admission.reserve()
    assert refusal(admission) is RefusalReason.FULL
    first.release()
    admission.reserve()
    assert dict(admission.refused) == {"full": 1}


@virtually
async def test_a_slot_is_given_back_once_however_often_it_is_released() -> None:
    admission, _, _ = office()
    slot, _other = admission.reserve(), admission.reserve()
    slot.release()
    slot.release()
    assert admission.taken == 1


@virtually
async def test_a_lagging_loop_refuses_a_second_call_but_never_the_only_one() -> None:
    admission, _, lag = office()
    lag.smoothed_ms = 51.0
    admission.reserve()
    assert refusal(admission) is RefusalReason.OVERLOADED
    lag.smoothed_ms = 50.0
    admission.reserve()


@virtually
async def test_a_draining_process_takes_nobody() -> None:
    admission, tickets, _ = office()
    admission.draining = True
    assert refusal(admission) is RefusalReason.DRAINING
    with pytest.raises(Refused):
        tickets.issue("CA1")


@virtually
async def test_lag_is_measured_against_the_deadline_and_smoothed() -> None:
    _, _, lag = office()
    lag.start()
    await asyncio.sleep(1.0)
    assert lag.max_ms < 0.001
    stall(24.0)  # less than a beat: one late sample
    await asyncio.sleep(0.001)
    assert 0 <= lag.max_ms <= 24
    assert lag.smoothed_ms == pytest.approx(lag.max_ms * 0.1)
    await asyncio.sleep(2.0)
    assert lag.smoothed_ms < 0.1
    lag.stop()


@virtually
async def test_a_stall_counts_for_as_long_as_it_lasted() -> None:
    _, _, lag = office()
    lag.start()
    await asyncio.sleep(1.01)
    stall(400.0)
    await asyncio.sleep(0.001)
    assert lag.max_ms == pytest.approx(386, abs=2)
    # 386 + 361 + ... + 11, smoothed: what one sample of it would give is 39.
    assert 100 <= lag.smoothed_ms <= 160
    lag.stop()


@virtually
async def test_beats_stay_on_their_grid_after_a_stall() -> None:
    clock = Recording(virtual_clock())
    lag = LoopLag(clock)
    begun_ms = clock.now_ms()
    lag.start()
    await asyncio.sleep(0.06)
    stall(130.0)
    await asyncio.sleep(0.2)
    lag.stop()
    due = [(moment - begun_ms) / LAG_PERIOD_MS for moment in clock.due_ms]
    assert [each % 1 for each in due] == pytest.approx([0.0] * len(due), abs=1e-3)
    assert max(later - earlier for earlier, later in pairwise(due)) == pytest.approx(5, abs=0.01)


@virtually
async def test_a_night_asleep_is_one_long_stall_and_not_a_million_beats() -> None:
    _, _, lag = office()
    lag.start()
    await asyncio.sleep(0.1)
    stall(8 * 3_600_000.0)
    await asyncio.sleep(0.001)
    assert lag.max_ms == pytest.approx(8 * 3_600_000, abs=50)
    assert lag.smoothed_ms < 1_000
    await asyncio.sleep(3.0)
    assert lag.smoothed_ms < 1
    lag.stop()


class Recording:
    """A clock that remembers for when it was asked to call back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.due_ms: list[float] = []

    def now_ms(self) -> float:
        return self._clock.now_ms()

    def unix_s(self) -> float:
        return self._clock.unix_s()

    async def sleep(self, delay_ms: float) -> None:
        await self._clock.sleep(delay_ms)

    def call_later(self, delay_ms: float, callback: Callable[[], object]) -> Timer:
        self.due_ms.append(self.now_ms() + delay_ms)
        return self._clock.call_later(delay_ms, callback)


@virtually
async def test_a_ticket_works_once_and_only_for_its_call() -> None:
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


@virtually
async def test_an_unused_ticket_expires_and_frees_its_slot() -> None:
    admission, tickets, _ = office()
    ticket = tickets.issue("CA1")
    await asyncio.sleep((TICKET_MS - 1) / 1000)
    assert admission.taken == 1
    await asyncio.sleep(0.002)
    assert (admission.taken, tickets.outstanding) == (0, 0)
    with pytest.raises(TicketError):
        tickets.redeem(ticket, "CA1")


@virtually
async def test_a_retried_webhook_replaces_its_ticket_and_holds_one_slot() -> None:
    admission, tickets, _ = office()
    first = tickets.issue("CA1")
    await asyncio.sleep(20)
    second = tickets.issue("CA1")
    assert admission.taken == 1
    await asyncio.sleep(20)  # past the first one's expiry, not the second one's
    with pytest.raises(TicketError):
        tickets.redeem(first, "CA1")
    tickets.redeem(second, "CA1")


@virtually
async def test_a_live_call_gets_its_new_socket_even_when_full_or_draining() -> None:
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


@virtually
async def test_closing_frees_all_tickets() -> None:
    admission, tickets, _ = office()
    tickets.issue("CA1")
    tickets.issue("CA2")
    tickets.cancel("CA9")
    tickets.close()
    assert (admission.taken, tickets.outstanding) == (0, 0)
