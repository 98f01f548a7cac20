"""A simulated vendor's patience with a silent socket, on virtual time."""

import asyncio

import pytest

from loadtest.simulators.watched import IdleWatch
from tests.virtual import run_virtually, virtual_clock

IDLE_MS = 10_000.0


class Socket:
    """Hears something at the given times (s), and ends by itself if told to."""

    def __init__(self, *heard_s: float, ends: bool = False) -> None:
        self.clock = virtual_clock()
        self.began_ms = self.clock.now_ms()
        self.watch = IdleWatch(self.clock, IDLE_MS)
        self.heard_s, self.ends = heard_s, ends
        self.closed_s: list[float] = []
        self.stopped = 0

    @property
    def now_s(self) -> float:
        return (self.clock.now_ms() - self.began_ms) / 1000

    async def read(self) -> None:
        try:
            for at_s in self.heard_s:
                await asyncio.sleep(at_s - self.now_s)
                self.watch.alive()
            if not self.ends:
                await asyncio.sleep(3_600)
        finally:
            self.stopped += 1

    async def write(self) -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            self.stopped += 1

    async def close(self) -> None:
        self.closed_s.append(self.now_s)

    async def run(self) -> None:
        await self.watch.run(self.read(), self.write(), self.close, "test")
        assert self.stopped == 2


def test_a_silent_socket_is_closed_and_one_that_speaks_is_given_time() -> None:
    async def story() -> None:
        socket = Socket(4.0, 13.0)
        await socket.run()
        assert socket.closed_s == [pytest.approx(23.0)]

    run_virtually(story)


def test_a_socket_that_ends_is_not_closed_again() -> None:
    async def story() -> None:
        socket = Socket(4.0, ends=True)
        await socket.run()
        assert socket.closed_s == []
        assert socket.now_s == pytest.approx(4.0)

    run_virtually(story)


def test_nothing_is_left_of_a_socket_that_is_given_up() -> None:
    async def story() -> None:
        socket = Socket()
        running = asyncio.create_task(socket.run())
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert socket.stopped == 2

    run_virtually(story)
