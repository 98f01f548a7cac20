"""A telephone in a synthetic caller's hand: one WebSocket, one tick every 20 ms.

`Phone` does the timing and the waiting; `MediaPhone` and `RelayPhone` fill in what a tick does and how the
server's messages are understood. Ticks have absolute deadlines: a late one is made up for at once, and by
how much it was late is kept.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from agent.audio.formats import FRAME_MS
from agent.clock import Clock
from loadtest.callers.ear import Ear
from loadtest.callers.utterance import Utterance
from loadtest.callers.wire import Wire, WireClosed

MAX_PROBLEMS = 50
"""Bad messages of the server that are kept word for word."""

_EARLY_MS = 1.0
"""Timers fire up to a millisecond early; without this a wait would then last a whole tick longer."""


@dataclass(slots=True)
class Spoken:
    """An utterance on its way to the server."""

    utterance: Utterance
    first_ms: float | None = None
    """When its first voiced frame was sent (on a text call: when the platform heard speech begin)."""
    last_ms: float | None = None
    """When its last voiced frame was sent (on a text call: when its final prompt was sent)."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How the call ended."""

    by: str
    """`agent` or `caller`."""
    detail: str
    """The closing code and reason, where there was one."""
    at_ms: float
    code: int | None = None
    """The server's closing code, if it closed."""


class Phone(ABC):
    """One call as the caller has it in the hand. Start it with `start`, always end it with `hang_up`."""

    stops_by_itself = False
    """True where the platform stops the agent's speech on a barge-in: then that is no merit of the server."""

    def __init__(self, wire: Wire, clock: Clock, call_id: str) -> None:
        self.call_id = call_id
        self.ear = Ear()
        self.ended: Ended | None = None
        self.problems: list[str] = []
        """What the server did against the protocol, as the platform would report it."""
        self.started_ms = 0.0
        self.max_late_ms = 0.0
        """The latest tick: how far our own sending strayed from its 20 ms grid."""
        self._closing = (1000, "")
        """Code and reason with which the platform closes."""
        self._wire = wire
        self._clock = clock
        self._waiting: tuple[Callable[[float], bool], float, asyncio.Future[bool]] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # --- what a caller does ---------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the stream and begin to tick."""
        await self._send(self._opening())
        self.started_ms = self._clock.now_ms()
        self._tasks = [asyncio.create_task(self._pace()), asyncio.create_task(self._listen())]

    @abstractmethod
    def say(self, utterance: Utterance) -> Spoken:
        """Begin to say something. The answer's times fill in while it is being said."""

    @abstractmethod
    def press(self, digit: str) -> None:
        """Press one key; keys leave 200 ms apart."""

    @property
    @abstractmethod
    def keys_waiting(self) -> int:
        """Keys pressed that have not left yet."""

    async def hang_up(self, *, abrupt: bool = False) -> None:
        """End the call and free everything. Idempotent. `abrupt` leaves out the platform's farewell."""
        if self.ended is None:
            self._end("caller", "")
            if not abrupt:
                await self._send(self._farewell())
        for task in self._tasks:
            task.cancel()
        await self._wire.close(*self._closing)
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def until(self, condition: Callable[[float], bool], timeout_ms: float) -> bool:
        """Wait until `condition(now_ms)` holds, looked at after every tick.

        False after `timeout_ms`, or when the call has ended without it. One wait at a time.
        """
        now_ms = self._clock.now_ms()
        if condition(now_ms):
            return True
        if self.ended is not None:
            return False
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting = (condition, now_ms + timeout_ms, future)
        return await future

    # --- what the caller perceives --------------------------------------------------------------------

    def now_ms(self) -> float:
        """The caller's clock."""
        return self._clock.now_ms()

    @abstractmethod
    def answer_begun_ms(self, after_ms: float) -> float | None:
        """When the answer to something said until `after_ms` began, or None."""

    @abstractmethod
    def agent_done(self, now_ms: float) -> bool:
        """True when the platform has nothing more to play."""

    @abstractmethod
    def agent_text(self) -> str | None:
        """All that the agent said, where the platform carries text."""

    # --- what each kind of phone fills in ---------------------------------------------------------------

    @abstractmethod
    def _opening(self) -> list[str]:
        """Messages that open the stream."""

    @abstractmethod
    def _farewell(self) -> list[str]:
        """Messages that the platform sends when the caller hangs up."""

    @abstractmethod
    def _tick(self, now_ms: float) -> list[str]:
        """20 ms passed: what is sent to the server now."""

    @abstractmethod
    def _read(self, text: str, now_ms: float) -> list[str]:
        """A message came from the server: what the platform sends back at once."""

    # --- running --------------------------------------------------------------------------------------------

    async def _pace(self) -> None:
        due_ms = self.started_ms
        try:
            while self.ended is None:
                due_ms += FRAME_MS
                await self._clock.sleep(due_ms - self._clock.now_ms())
                now_ms = self._clock.now_ms()
                self.max_late_ms = max(self.max_late_ms, now_ms - due_ms)
                await self._send(self._tick(now_ms))
                self._look(now_ms)
        finally:
            # Also when a bug ends this task: nobody may wait for a tick that does not come.
            self._end("caller", "the caller stopped")

    async def _listen(self) -> None:
        try:
            while True:
                text = await self._wire.receive()
                await self._send(self._read(text, self._clock.now_ms()))
        except WireClosed as closed:
            self._end("agent", str(closed), closed.code)
        finally:
            self._end("caller", "the caller stopped")

    async def _send(self, messages: list[str]) -> None:
        try:
            for message in messages:
                await self._wire.send(message)
        except WireClosed as closed:
            self._end("agent", str(closed), closed.code)

    def _look(self, now_ms: float) -> None:
        if self._waiting is None:
            return
        condition, deadline_ms, future = self._waiting
        if future.done():
            self._waiting = None
        elif condition(now_ms):
            self._resolve(True)
        elif now_ms >= deadline_ms - _EARLY_MS:
            self._resolve(False)

    def _resolve(self, result: bool) -> None:
        if self._waiting is not None and not self._waiting[2].done():
            self._waiting[2].set_result(result)
        self._waiting = None

    def _end(self, by: str, detail: str, code: int | None = None) -> None:
        if self.ended is not None:
            return
        now_ms = self._clock.now_ms()
        self.ended = Ended(by, detail, now_ms, code)
        if self._waiting is not None:
            self._resolve(self._waiting[0](now_ms))

    def _note_problem(self, problem: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)
