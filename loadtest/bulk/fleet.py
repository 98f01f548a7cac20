"""Many callers at once against one server."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from agent.audio.formats import AudioFormat
from agent.clock import Clock, Timer
from loadtest.bulk.dialect import Dialect
from loadtest.bulk.figures import Figures
from loadtest.bulk.media_call import MediaCall
from loadtest.bulk.pacer import Lateness, Pacer, Tick
from loadtest.bulk.relay_call import PATH as RELAY_PATH
from loadtest.bulk.relay_call import RelayCall
from loadtest.bulk.script import Script
from loadtest.bulk.socket import BulkSocket, open_socket
from loadtest.bulk.speech import CallerSpeech
from loadtest.callers.errors import CallRefused, Unreachable

OPENING = 16
"""Handshakes under way at a time: platforms do not open hundreds in one instant."""
MAX_LATE_MS = 5.0
"""p99 of our own pacing error beyond which a run says nothing: a quarter of a frame."""
_CHANCE_SEED = 1
_MAX_REDIALS = 4096
"""Calls that wait to call again: no scenario has more calls at once that hang up by themselves."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server's public port."""

    host: str
    port: int


@dataclass(slots=True, eq=False)
class Member:
    """One call that was opened."""

    number: int
    call: MediaCall | RelayCall
    sock: BulkSocket
    timer: Timer | None = None
    """A relay call's next turn."""
    tick: Tick | None = None
    """A media call's, known to the pacer."""


class Fleet(ABC):
    """Callers of one kind: `open`, measure, `close`.

    With `redial_ms` a call that ended before its time (by the server, a cut socket, a refusal, its script) is
    made again after so long, until there are as many as wanted.
    """

    def __init__(self, target: Target, clock: Clock, redial_ms: float | None = None) -> None:
        self.figures = Figures()
        self.refused = 0
        """Calls that were not answered, since the beginning."""
        self.wanted = 0
        """Calls that there should be."""
        self._target = target
        self._clock = clock
        self._redial_ms = redial_ms
        self._members: list[Member] = []
        self._closing = False
        self._redials: dict[Timer, int] = {}
        self._dialling: set[asyncio.Task[None]] = set()
        self._numbers = self._opened = 0
        # Of the sockets that are closed.
        self._gone_blocked = self._gone_lost = 0
        self._chance = random.Random(_CHANCE_SEED)

    @property
    @abstractmethod
    def lateness(self) -> Lateness:
        """Our own pacing error."""

    @property
    def live(self) -> int:
        """Calls that are on."""
        return sum(not member.sock.closed for member in self._members)

    @property
    def call_ids(self) -> list[str]:
        """The platform's ids of the calls that are on."""
        return [member.call.call_id for member in self._members if not member.sock.closed]

    async def open(self, count: int, per_s: float) -> None:
        """Open `count` more calls, `per_s` a second. Raises `Unreachable` if none could be opened."""
        self._begin()
        self.wanted += count
        room = asyncio.Semaphore(OPENING)

        async def bounded(number: int) -> None:
            async with room:
                await self._dial(number)

        begun_ms = self._clock.now_ms()
        async with asyncio.TaskGroup() as group:
            for index in range(count):
                group.create_task(bounded(self._numbers), name="opens a call")
                self._numbers += 1
                await self._clock.sleep(begun_ms + (index + 1) * 1000.0 / per_s - self._clock.now_ms())
        if count and not self._opened:
            raise Unreachable(f"no call could be opened at {self._target.host}:{self._target.port}")

    def hang_up(self, count: int) -> None:
        """End so many of the calls that are on, the oldest first."""
        self.wanted = max(self.wanted - count, 0)
        for member in [each for each in self._members if not each.sock.closed][:count]:
            self._leave(member)

    def cut(self, share: float) -> int:
        """Cut the sockets of this share (0 to 1) of the calls, as a network does. Returns of how many."""
        live = [member for member in self._members if not member.sock.closed]
        chosen = self._chance.sample(live, min(round(len(live) * share), len(live)))
        for member in chosen:
            self.figures.cut_calls += 1
            self._forget(member)
            member.sock.cut()
            self._call_again(member.number)
        return len(chosen)

    def measure_from_now(self) -> None:
        """Forget what was measured while calls were opened."""
        self.figures = Figures()
        self._gone_blocked = self._gone_lost = 0
        for member in self._members:
            member.call.figures = self.figures
            member.sock.blocked = member.sock.lost = 0
        self.lateness.reset()

    def tally(self) -> None:
        """Bring those figures up to date that are counted elsewhere. Cheap enough for once a second."""
        self.figures.blocked = self._gone_blocked + sum(each.sock.blocked for each in self._members)
        self.figures.frames_lost = self._gone_lost + sum(each.sock.lost for each in self._members)

    def close(self) -> None:
        """Hang up all calls, and call no more."""
        self._closing = True
        for timer in self._redials:
            timer.cancel()
        self._redials.clear()
        for task in self._dialling:
            task.cancel()
        for member in list(self._members):
            self._leave(member)
        self.tally()
        self._end()

    @abstractmethod
    async def _connect(self, number: int) -> Member:
        """Open a call. Raises `CallNotMade`."""

    @abstractmethod
    def _started(self, member: Member) -> None:
        """The call is on: let it run."""

    @abstractmethod
    def _goodbye(self, member: Member) -> bytes:
        """The last message of a call that the caller ends; may be empty."""

    @abstractmethod
    def _begin(self) -> None:
        """Calls are about to be opened."""

    @abstractmethod
    def _end(self) -> None:
        """All calls have ended."""

    @abstractmethod
    def _stopped(self, member: Member) -> None:
        """The call runs no more."""

    async def _dial(self, number: int) -> None:
        try:
            member = await self._connect(number)
        except (CallRefused, Unreachable):
            self.refused += 1
            self.figures.refused_calls += 1
            self._call_again(number)
            return
        self._opened += 1
        self._members.append(member)
        self._started(member)
        if member.sock.closed:
            self._lost(member)

    def _lost(self, member: Member | None) -> None:
        """The server ended the call, or its socket went."""
        if self._closing or member is None or member not in self._members:
            return
        self.figures.lost_calls += 1
        self._forget(member)
        self._call_again(member.number)

    def _hangs_up(self, member: Member) -> None:
        """The caller's script says so."""
        self.figures.hang_ups += 1
        self._leave(member)
        self._call_again(member.number)

    def _leave(self, member: Member) -> None:
        self._forget(member)
        goodbye = self._goodbye(member)
        if goodbye:
            member.sock.send(goodbye)
        member.sock.close()

    def _forget(self, member: Member) -> None:
        self._stopped(member)
        self._members.remove(member)
        self._gone_blocked += member.sock.blocked
        self._gone_lost += member.sock.lost

    def _call_again(self, number: int) -> None:
        if self._redial_ms is None or self._closing or len(self._redials) >= _MAX_REDIALS:
            return

        def dial() -> None:
            self._redials.pop(timer)
            if not self._closing and self.live + len(self._dialling) < self.wanted:
                task = asyncio.get_running_loop().create_task(self._dial(number), name="calls again")
                self._dialling.add(task)
                task.add_done_callback(self._dialling.discard)

        timer = self._clock.call_later(self._redial_ms, dial)
        self._redials[timer] = number


class MediaFleet(Fleet):
    """Media callers. `dialects` take turns."""

    def __init__(
        self,
        target: Target,
        clock: Clock,
        speech: CallerSpeech | Mapping[tuple[AudioFormat, AudioFormat], CallerSpeech],
        dialects: tuple[Dialect, ...],
        script: Script,
        redial_ms: float | None = None,
    ) -> None:
        """`speech` by the formats to and from the server, or the same for all."""
        super().__init__(target, clock, redial_ms)
        self._speech = speech
        self._dialects = dialects
        self._script = script
        self._pacer = Pacer(clock)
        self._pacing = False

    @property
    def lateness(self) -> Lateness:
        """Our own pacing error."""
        return self._pacer.lateness

    def _begin(self) -> None:
        if not self._pacing:
            self._pacer.start()
            self._pacing = True

    def _end(self) -> None:
        self._pacer.stop()

    async def _connect(self, number: int) -> Member:
        dialect = self._dialects[number % len(self._dialects)]
        stream = dialect.open(self._clock, {})
        speech = self._speech
        if isinstance(speech, Mapping):
            speech = speech[dialect.to_server, dialect.from_server]
        call = MediaCall(stream, speech, self._script, self.figures, number)
        clock = self._clock
        member: Member | None = None

        def on_text(text: bytes) -> None:
            answer = call.received(text, clock.now_ms())
            if answer and member is not None:
                member.sock.send(answer)

        sock = await open_socket(
            self._target.host, self._target.port, dialect.path, on_text, lambda _code: self._lost(member)
        )
        # The figures may have been replaced while the handshake was under way.
        call.figures = self.figures
        for frame in stream.opening:
            sock.send(frame)
        member = Member(number, call, sock)
        return member

    def _started(self, member: Member) -> None:
        call, sock = member.call, member.sock
        assert isinstance(call, MediaCall)

        def tick(now_ms: float) -> None:
            sock.send(call.tick(now_ms))
            if call.over and not sock.closed:
                self._hangs_up(member)

        member.tick = tick
        self._pacer.add(tick)

    def _stopped(self, member: Member) -> None:
        if member.tick is not None:
            self._pacer.remove(member.tick)

    def _goodbye(self, member: Member) -> bytes:
        assert isinstance(member.call, MediaCall)
        return member.call.hang_up()


class RelayFleet(Fleet):
    """ConversationRelay callers, each a turn per `turn_ms`."""

    def __init__(
        self,
        target: Target,
        clock: Clock,
        turn_ms: float = 10_000.0,
        *,
        reply: str = "",
        hang_up_after: int = 0,
        redial_ms: float | None = None,
    ) -> None:
        """`reply` and `hang_up_after`: see `RelayCall`."""
        super().__init__(target, clock, redial_ms)
        self._late = Lateness()
        self._turn_ms = turn_ms
        self._reply = reply
        self._hang_up_after = hang_up_after

    def _begin(self) -> None:
        pass  # nothing is shared by the calls

    def _end(self) -> None:
        pass

    @property
    def lateness(self) -> Lateness:
        """Our own error: how late the prompts were sent."""
        return self._late

    async def _connect(self, number: int) -> Member:
        clock = self._clock
        call = RelayCall(self.figures, self._reply, self._hang_up_after, clock.now_ms())
        member: Member | None = None
        sock = await open_socket(
            self._target.host,
            self._target.port,
            RELAY_PATH,
            lambda text: call.received(text, clock.now_ms()),
            lambda _code: self._lost(member),
        )
        call.figures = self.figures
        sock.send(call.opening)
        member = Member(number, call, sock)
        return member

    def _started(self, member: Member) -> None:
        # Spread over one period whatever the rate of opening.
        self._ask_at(member, self._clock.now_ms() + 1000.0 + member.number * 0.618 % 1.0 * self._turn_ms)

    def _stopped(self, member: Member) -> None:
        if member.timer is not None:
            member.timer.cancel()
            member.timer = None

    def _goodbye(self, member: Member) -> bytes:
        return b""

    def _ask_at(self, member: Member, due_ms: float) -> None:
        call = member.call
        assert isinstance(call, RelayCall)

        def ask() -> None:
            if call.over:
                self._hangs_up(member)
                return
            now_ms = self._clock.now_ms()
            member.sock.send(call.ask(now_ms))
            self._late.add(now_ms - due_ms, 1)
            self._ask_at(member, due_ms + self._turn_ms)

        if not member.sock.closed:
            member.timer = self._clock.call_later(due_ms - self._clock.now_ms(), ask)
