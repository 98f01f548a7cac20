"""Streams that race: who wins, what becomes of the others, and what fails."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from agent.errors import ProviderUnavailable
from agent.race import MAX_WAITING, Race
from tests.virtual import run_virtually

DOWN = ProviderUnavailable("one", "refused")


class Stream:
    """Texts are yielded, numbers waited for (ms), errors raised."""

    def __init__(self, *script: str | int | Exception) -> None:
        self.script = script
        self.yielded = 0
        self.closed = False

    async def items(self) -> AsyncGenerator[str, None]:
        try:
            for step in self.script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, int):
                    await asyncio.sleep(step / 1000)
                else:
                    self.yielded += 1
                    yield step
        finally:
            self.closed = True


def race_of(first: Stream) -> Race[str]:
    race: Race[str] = Race(bool)
    race.join(first.items())
    return race


async def read(race: Race[str]) -> list[str]:
    async with aclosing(race.items()) as items:
        return [item async for item in items]


def run(first: Stream, second: Stream | None = None, joins_ms: int = 100) -> list[str]:
    async def scenario() -> list[str]:
        race = race_of(first)
        if second is not None:
            asyncio.get_running_loop().call_later(
                joins_ms / 1000, lambda: race.join(second.items()) if race.open else None
            )
        return await read(race)

    return run_virtually(scenario)


def test_one_stream_alone_is_handed_on_as_it_is() -> None:
    stream = Stream(50, "a", 500, "b")
    assert run(stream) == ["a", "b"]
    assert stream.closed


def test_the_first_to_begin_wins_and_the_other_is_cancelled() -> None:
    slow, quick = Stream(1_000, "slow"), Stream(50, "quick", 2_000, "and more")
    assert run(slow, quick) == ["quick", "and more"]
    assert slow.closed
    assert slow.yielded == 0


def test_the_slow_one_may_still_win() -> None:
    slow, rival = Stream(120, "slow", " but sure"), Stream(50, "rival")
    assert run(slow, rival) == ["slow", " but sure"]
    assert rival.closed


def test_what_does_not_count_is_no_beginning() -> None:
    assert run(Stream("", 1_000, "late"), Stream("", "there")) == ["there"]


def test_nobody_joins_a_race_that_is_decided() -> None:
    late = Stream("late")
    assert run(Stream("first", 500, "second"), late) == ["first", "second"]
    assert not late.closed


def test_one_that_fails_leaves_the_race_to_the_other() -> None:
    assert run(Stream(200, DOWN), Stream(300, "here")) == ["here"]
    assert run(Stream(300, "here"), Stream(DOWN)) == ["here"]


def test_where_all_fail_the_first_ones_error_is_raised() -> None:
    with pytest.raises(ProviderUnavailable, match="one: refused"):
        run(Stream(200, DOWN), Stream(300, ProviderUnavailable("two", "refused")))


def test_a_winner_that_fails_later_fails() -> None:
    with pytest.raises(ProviderUnavailable):
        run(Stream("a", 100, DOWN))


def test_where_nobody_has_anything_to_say_nothing_is_said() -> None:
    assert run(Stream(200), Stream("")) == []


def test_a_reader_that_gives_up_takes_all_along() -> None:
    async def scenario() -> None:
        one, two = Stream(1_000, "a"), Stream(1_000, "b")
        race = race_of(one)
        race.join(two.items())
        reading = asyncio.create_task(read(race))
        await asyncio.sleep(0.5)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert one.closed
        assert two.closed
        assert not race.open

    run_virtually(scenario)


def test_a_quick_stream_waits_for_its_reader() -> None:
    async def scenario() -> None:
        stream = Stream(*["x"] * 100)
        async with aclosing(race_of(stream).items()) as items:
            assert await anext(items) == "x"
            await asyncio.sleep(1.0)
            assert stream.yielded <= MAX_WAITING + 1
            assert len([item async for item in items]) == 99

    run_virtually(scenario)
