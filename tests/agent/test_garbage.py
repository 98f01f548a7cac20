"""Full collections wait until calls have ended."""

import gc
from collections.abc import Iterator

import pytest

from agent.garbage import CHECK_MS, MIN_ENDED, THRESHOLDS, FullCollections
from tests.virtual import run_virtually, virtual_clock


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    assert gc.get_threshold() == before
    gc.unfreeze()


@pytest.mark.parametrize(
    ("live", "ended", "collects"),
    [
        (0, 0, False),
        (0, 1, True),
        (1, 1, False),
        (1, MIN_ENDED - 1, False),
        (1, MIN_ENDED, True),
        (5_000, 2 * 5_000 - 1, False),
        (5_000, 2 * 5_000, True),
    ],
)
def test_when_old_objects_are_looked_at(live: int, ended: int, *, collects: bool) -> None:
    async def scenario() -> None:
        clock = virtual_clock()
        collections = FullCollections(clock, lambda: live, lambda: ended)
        collections.start()
        assert gc.get_threshold() == THRESHOLDS
        await clock.sleep(3 * CHECK_MS)
        assert collections.count == collects, "once for the same calls"
        collections.stop()

    run_virtually(scenario)


def test_the_rubbish_of_calls_that_have_ended_is_gone_soon_after() -> None:
    class Rubbish:
        alive = 0

        def __init__(self) -> None:
            self.me = self
            Rubbish.alive += 1

        def __del__(self) -> None:
            Rubbish.alive -= 1

    async def scenario() -> None:
        clock = virtual_clock()
        ended = 0
        collections = FullCollections(clock, lambda: 0, lambda: ended)
        collections.start()
        for _ in range(10):
            Rubbish()
        assert Rubbish.alive == 10
        ended = 1
        await clock.sleep(CHECK_MS + 1)
        assert Rubbish.alive == 0
        collections.stop()
        collections.stop()

    run_virtually(scenario)
