"""The core's share in use and the room on it, on virtual time with a kernel that tells what it is told."""

import asyncio

import pytest

from agent.admission import Admission, LoopLag
from agent.busy import CROWDED, RIPE_MS, WINDOW_MS, CoreRoom, LoopBusy, Ripening
from agent.clock import Clock
from agent.cpu_time import CpuQuota, ThreadTime
from agent.errors import RefusalReason, Refused
from agent.settings import Settings
from tests.virtual import virtual_clock, virtually


class Kernel:
    """Accounts for a thread that works `works` of the time and waits for its processor `waits` of it."""

    def __init__(self, clock: Clock) -> None:
        self.works = self.waits = 0.0
        self.silent = False
        self._clock = clock
        self._read_ms = clock.now_ms()
        self._cpu_ms = self._waited_ms = 0.0

    def read(self) -> ThreadTime | None:
        now_ms = self._clock.now_ms()
        self._cpu_ms += (now_ms - self._read_ms) * self.works
        self._waited_ms += (now_ms - self._read_ms) * self.waits
        self._read_ms = now_ms
        return None if self.silent else ThreadTime(self._cpu_ms, self._waited_ms)


class Quota(CpuQuota):
    """A cgroup that used up `share` of its quota."""

    def __init__(self, clock: Clock, cores: float, share: float) -> None:
        self.cores = cores
        self._clock = clock
        self._share = share

    def used_ms(self) -> float | None:
        return self._clock.now_ms() * self.cores * self._share


class Scene:
    """A loop that is measured, and the door that it guards."""

    def __init__(
        self, limit: float | None = Settings().max_core_share, quota: tuple[float, float] | None = None
    ) -> None:
        clock = virtual_clock()
        self.kernel = Kernel(clock)
        self.busy = LoopBusy(
            clock, self.kernel.read, None if quota is None else Quota(clock, quota[0], quota[1])
        )
        self.room = CoreRoom(self.busy, clock, limit)
        self.admission = Admission(10_000, 50.0, LoopLag(clock), self.room)

    async def works(self, share: float, seconds: float = WINDOW_MS / 1000, waits: float = 0.0) -> None:
        self.kernel.read()
        self.kernel.works, self.kernel.waits = share, waits
        await asyncio.sleep(seconds)

    def let_in(self, text_calls: int) -> None:
        for _ in range(text_calls):
            self.admission.reserve()
            self.room.text_call_began()


@virtually
async def test_the_share_is_that_of_the_last_three_seconds() -> None:
    scene = Scene()
    scene.busy.start()
    await scene.works(0.4)
    assert scene.busy.share == pytest.approx(0.4, abs=0.001)
    await scene.works(1.0, seconds=1.5)
    assert scene.busy.share == pytest.approx(0.7, abs=0.001)
    await scene.works(1.0, seconds=1.5)
    assert scene.busy.share == pytest.approx(1.0, abs=0.001)
    scene.busy.stop()


@virtually
async def test_a_start_that_takes_all_of_the_core_says_nothing() -> None:
    scene = Scene()
    scene.busy.start()
    await scene.works(1.0, seconds=2.9)
    assert scene.busy.share == 0.0
    scene.busy.stop()


@virtually
async def test_what_neighbours_take_of_the_core_is_neither_work_nor_room() -> None:
    scene = Scene()
    scene.busy.start()
    await scene.works(0.3, waits=0.4)
    assert scene.busy.share == pytest.approx(0.5, abs=0.001)
    # Half of a core, and more cannot be had: it is full.
    await scene.works(0.5, waits=0.5)
    assert scene.busy.share == pytest.approx(1.0, abs=0.001)
    scene.busy.stop()


@pytest.mark.parametrize("cores", [0.5, 4.0])
@virtually
async def test_a_quota_that_is_nearly_used_up_counts_as_a_full_core(cores: float) -> None:
    scene = Scene(quota=(cores, 0.95))
    scene.busy.start()
    await scene.works(0.2)
    assert scene.busy.share == pytest.approx(0.95, abs=0.001)
    scene.busy.stop()


@virtually
async def test_where_the_kernel_does_not_tell_there_is_always_room() -> None:
    scene = Scene()
    scene.kernel.silent = True
    scene.busy.start()
    await scene.works(1.0)
    assert scene.busy.share == 0.0
    assert not scene.room.full(100)


@virtually
async def test_a_full_core_refuses_a_second_call_but_never_the_only_one() -> None:
    scene = Scene()
    scene.busy.start()
    await scene.works(0.95)
    slot = scene.admission.reserve()
    with pytest.raises(Refused) as refused:
        scene.admission.reserve()
    assert refused.value.reason is RefusalReason.CORE_FULL
    assert dict(scene.admission.refused) == {RefusalReason.CORE_FULL: 1}
    slot.release()
    scene.admission.reserve()
    scene.busy.stop()


@virtually
async def test_calls_are_let_in_again_when_the_core_has_room() -> None:
    scene = Scene()
    scene.busy.start()
    scene.let_in(10)
    await scene.works(0.95, seconds=20.0)
    assert scene.room.full(10)
    await scene.works(0.9)
    assert not scene.room.full(10)
    scene.busy.stop()


@virtually
async def test_a_live_call_gets_its_new_socket_on_a_full_core() -> None:
    scene = Scene()
    scene.busy.start()
    scene.admission.reserve()
    await scene.works(1.0)
    scene.admission.readmit()
    assert scene.admission.taken == 2
    scene.busy.stop()


@virtually
async def test_without_a_limit_a_full_core_refuses_nobody() -> None:
    scene = Scene(limit=None)
    scene.busy.start()
    await scene.works(1.0)
    scene.let_in(2)
    scene.busy.stop()


@virtually
async def test_what_new_text_calls_will_cost_counts_before_they_cost_it() -> None:
    scene = Scene()
    scene.busy.start()
    scene.let_in(80)
    await scene.works(0.8, seconds=(RIPE_MS + WINDOW_MS) / 1000)
    assert scene.room.expected(80) == pytest.approx(0.8)
    # Eighty calls cost 0.8 now, and those that come will cost as much each.
    scene.let_in(11)
    assert scene.room.expected(91) == pytest.approx(0.91)
    scene.let_in(2)
    assert scene.room.expected(93) == pytest.approx(0.93)
    with pytest.raises(Refused):
        scene.admission.reserve()
    await scene.works(0.8, seconds=WINDOW_MS / 2000)
    assert scene.room.expected(93) == pytest.approx(0.93)
    await scene.works(0.8, seconds=RIPE_MS / 2000)
    assert scene.room.expected(93) == pytest.approx(0.8 * 93 / 86.5, abs=0.01)
    await scene.works(0.8, seconds=RIPE_MS / 2000 + 1)
    assert scene.room.expected(93) == pytest.approx(0.8)
    scene.busy.stop()


@virtually
async def test_below_three_quarters_nothing_is_foretold() -> None:
    scene = Scene()
    scene.busy.start()
    await scene.works(CROWDED - 0.01)
    scene.let_in(100)
    assert scene.room.expected(100) == pytest.approx(CROWDED - 0.01)
    await scene.works(CROWDED + 0.01)
    assert scene.room.full(100)  # they are all new, and use three quarters already
    scene.busy.stop()


@pytest.mark.parametrize("per_s", [5, 20])
@virtually
async def test_a_ramp_stops_before_the_calls_that_are_in_starve(per_s: int) -> None:
    """Each call costs a thousandth of the core, from some seconds after it was let in."""
    scene = Scene()
    scene.busy.start()
    began: list[float] = []
    clock = virtual_clock()
    while clock.now_ms() < 1_000_000 + 1_200 / per_s * 1_000:
        try:
            scene.admission.reserve()
        except Refused:
            pass
        else:
            scene.room.text_call_began()
            began.append(clock.now_ms())
        unripe = (1.0 - min((clock.now_ms() - each) / RIPE_MS, 1.0) for each in began[-10 * per_s :])
        await scene.works((len(began) - sum(unripe)) / 1_000, seconds=1 / per_s)
    # All of them cost what they do now.
    assert 0.88 < len(began) / 1_000 < 0.94
    assert scene.admission.refused[RefusalReason.CORE_FULL] > 200
    scene.busy.stop()


def test_ripening_calls_are_forgotten_however_long_nobody_looked() -> None:
    ripening = Ripening()
    for _ in range(50):
        ripening.add(1_000.0)
    assert ripening.calls(1_100.0) == 50
    assert ripening.calls(1_000.0 + WINDOW_MS / 2 + RIPE_MS / 2) == pytest.approx(25, abs=2.5)
    assert ripening.calls(1_000.0 + 10 * RIPE_MS) == 0
    ripening.add(1_000.0 + 10 * RIPE_MS)
    assert ripening.calls(1_000.0 + 10 * RIPE_MS) == 1
