"""Many callers at once against one server."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agent.clock import Clock, Timer
from loadtest.bulk.dialect import Dialect
from loadtest.bulk.figures import Figures
from loadtest.bulk.media_call import MediaCall, Script
from loadtest.bulk.pacer import Lateness, Pacer
from loadtest.bulk.relay_call import PATH as RELAY_PATH
from loadtest.bulk.relay_call import RelayCall
from loadtest.bulk.socket import BulkSocket, open_socket
from loadtest.bulk.speech import CallerSpeech
from loadtest.callers.errors import CallRefused, Unreachable

OPENING = 16
"""Handshakes under way at a time: platforms do not open hundreds in one instant."""
MAX_LATE_MS = 5.0
"""p99 of our own pacing error beyond which a run says nothing: a quarter of a frame."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server's public port."""

    host: str
    port: int


class MediaFleet:
    """Media callers. `open`, measure, `close`."""

    def __init__(
        self,
        target: Target,
        clock: Clock,
        speech: CallerSpeech,
        dialects: tuple[Dialect, ...],
        script: Script,
    ) -> None:
        self.figures = Figures()
        self.refused = 0
        self._target = target
        self._clock = clock
        self._speech = speech
        self._dialects = dialects
        self._script = script
        self._pacer = Pacer(clock)
        self._calls: list[tuple[MediaCall, BulkSocket]] = []
        self._closing = False

    @property
    def live(self) -> int:
        """Calls that are on."""
        return sum(not sock.closed for _, sock in self._calls)

    @property
    def call_ids(self) -> list[str]:
        """The platform's ids of the calls that are on."""
        return [call.call_id for call, sock in self._calls if not sock.closed]

    @property
    def lateness(self) -> Lateness:
        """Our own pacing error."""
        return self._pacer.lateness

    async def open(self, count: int, per_s: float) -> None:
        """Open `count` calls, `per_s` a second. Raises `Unreachable` if none could be opened."""
        self._pacer.start()
        await _open_all(count, per_s, self._clock, self._open_one)
        if count and not self._calls:
            raise Unreachable(f"no call could be opened at {self._target.host}:{self._target.port}")

    def measure_from_now(self) -> None:
        """Forget what was measured while calls were opened."""
        self.figures = Figures()
        for call, _ in self._calls:
            call.figures = self.figures
        self._pacer.lateness.reset()

    def close(self) -> None:
        """Hang up all calls."""
        self._closing = True
        self._pacer.stop()
        for call, sock in self._calls:
            self.figures.blocked += sock.blocked
            sock.send(call.hang_up())
            sock.close()

    async def _open_one(self, number: int) -> None:
        dialect = self._dialects[number % len(self._dialects)]
        stream = dialect.open(self._clock, {})
        call = MediaCall(stream, self._speech, self._script, self.figures, number)
        clock = self._clock

        def on_text(text: bytes) -> None:
            answer = call.received(text, clock.now_ms())
            if answer:
                sock.send(answer)

        def on_closed(_code: int) -> None:
            self._pacer.remove(tick)
            if not self._closing:
                self.figures.lost_calls += 1

        def tick(now_ms: float) -> None:
            sock.send(call.tick(now_ms))

        try:
            sock = await open_socket(self._target.host, self._target.port, dialect.path, on_text, on_closed)
        except (CallRefused, Unreachable):
            self.refused += 1
            return
        for frame in stream.opening:
            sock.send(frame)
        self._calls.append((call, sock))
        self._pacer.add(tick)


class RelayFleet:
    """ConversationRelay callers, each a turn per `turn_ms`."""

    def __init__(self, target: Target, clock: Clock, turn_ms: float = 10_000.0) -> None:
        self.figures = Figures()
        self.refused = 0
        self.lateness = Lateness()
        self._target = target
        self._clock = clock
        self._turn_ms = turn_ms
        self._calls: list[tuple[RelayCall, BulkSocket]] = []
        self._timers: dict[RelayCall, Timer] = {}
        self._closing = False

    @property
    def live(self) -> int:
        """Calls that are on."""
        return sum(not sock.closed for _, sock in self._calls)

    @property
    def call_ids(self) -> list[str]:
        """The platform's ids of the calls that are on."""
        return [call.call_id for call, sock in self._calls if not sock.closed]

    async def open(self, count: int, per_s: float) -> None:
        """Open `count` calls, `per_s` a second. Raises `Unreachable` if none could be opened."""
        await _open_all(count, per_s, self._clock, self._open_one)
        if count and not self._calls:
            raise Unreachable(f"no call could be opened at {self._target.host}:{self._target.port}")

    def measure_from_now(self) -> None:
        """Forget what was measured while calls were opened."""
        self.figures = Figures()
        for call, _ in self._calls:
            call.figures = self.figures
        self.lateness.reset()

    def close(self) -> None:
        """Hang up all calls."""
        self._closing = True
        for timer in self._timers.values():
            timer.cancel()
        for _, sock in self._calls:
            self.figures.blocked += sock.blocked
            sock.close()

    async def _open_one(self, number: int) -> None:
        call = RelayCall(self.figures)
        clock = self._clock

        def on_closed(_code: int) -> None:
            timer = self._timers.pop(call, None)
            if timer is not None:
                timer.cancel()
            if not self._closing:
                self.figures.lost_calls += 1

        try:
            sock = await open_socket(
                self._target.host,
                self._target.port,
                RELAY_PATH,
                lambda text: call.received(text, clock.now_ms()),
                on_closed,
            )
        except (CallRefused, Unreachable):
            self.refused += 1
            return
        sock.send(call.opening)
        self._calls.append((call, sock))
        # Spread over one period whatever the rate of opening.
        self._ask_at(call, sock, clock.now_ms() + 1000.0 + number * 0.618 % 1.0 * self._turn_ms)

    def _ask_at(self, call: RelayCall, sock: BulkSocket, due_ms: float) -> None:
        def ask() -> None:
            now_ms = self._clock.now_ms()
            sock.send(call.ask(now_ms))
            self.lateness.add(now_ms - due_ms, 1)
            self._ask_at(call, sock, due_ms + self._turn_ms)

        if not sock.closed:
            self._timers[call] = self._clock.call_later(due_ms - self._clock.now_ms(), ask)


async def _open_all(
    count: int, per_s: float, clock: Clock, open_one: Callable[[int], Awaitable[None]]
) -> None:
    """Begin one every `1 / per_s` seconds, `OPENING` at a time at most."""
    room = asyncio.Semaphore(OPENING)

    async def bounded(number: int) -> None:
        async with room:
            await open_one(number)

    begun_ms = clock.now_ms()
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(bounded(number))
            await clock.sleep(begun_ms + (number + 1) * 1000.0 / per_s - clock.now_ms())
