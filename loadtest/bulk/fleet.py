"""Many callers at once against one server."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass

from agent.clock import Clock, Timer
from loadtest.bulk.figures import Figures
from loadtest.bulk.media_call import MediaCall
from loadtest.bulk.pacer import Lateness, Tick
from loadtest.bulk.playback import DEAD_AIR_MS
from loadtest.bulk.relay_call import RelayCall
from loadtest.bulk.socket import CallSocket, Target
from loadtest.callers.errors import CallRefused, Unreachable

OPENING = 16
"""Handshakes under way at a time: platforms do not open hundreds in one instant."""
_RAMP_FACTOR, _RAMP_ROOM_S = 3.0, 30.0
"""How long opening may take, beyond what was asked for. Without a bound, 10,000 handshakes that all run into
their own time-out would take an hour."""
MAX_LATE_MS = 5.0
"""p99 of our own pacing error beyond which a run says nothing: a quarter of a frame."""
TRY_AGAIN_LATER = 1013
"""Close code (IANA's registry of RFC 6455) with which a server refuses a call: a ConversationRelay or media
socket names its call only after the upgrade. The server ends no call with it that it has taken."""
_CHANCE_SEED = 1
_MAX_ENDED = 200
"""Calls that have ended and whose turns are still asked for (`loadtest.scenarios.measure.MAX_RECORDS`)."""
_MAX_REDIALS = 4096
"""Calls that wait to call again: no scenario has more calls at once that hang up by themselves."""


@dataclass(slots=True, eq=False)
class Member:
    """One call that was opened."""

    number: int
    call: MediaCall | RelayCall
    sock: CallSocket
    timer: Timer | None = None
    """A relay call's next turn; when a browser's is looked at again."""
    tick: Tick | None = None
    """A media call's, known to the pacer."""
    leaving: bool = False
    """It ends as soon as the next caller is on."""


class Fleet(ABC):
    """Callers of one kind: `open`, measure, `close`.

    With `redial_ms` a call that ended before its time (by the server, a cut socket, a refusal) is made again
    after so long, until there are as many as wanted; and before a caller hangs up as scripted, the next one
    is on, so that there are as many at every moment.
    """

    def __init__(self, target: Target, clock: Clock, redial_ms: float | None = None) -> None:
        self.figures = Figures()
        self.refused = 0
        """Calls that were not answered, since the beginning."""
        self.lost = 0
        """Calls that the server ended, or whose socket went, since the beginning."""
        self.wanted = 0
        """Calls that there should be."""
        self._target = target
        self._clock = clock
        self._redial_ms = redial_ms
        self._members: list[Member] = []
        self._closing = False
        self._refusal = ""
        """Why the last call that was not answered was not."""
        self._redials: dict[Timer, int] = {}
        self._dialling: set[asyncio.Task[None]] = set()
        self._relieving: set[asyncio.Task[None]] = set()
        """Callers who take the place of one that is leaving."""
        self._numbers = self._opened = 0
        self._ended: deque[str] = deque(maxlen=_MAX_ENDED)
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
        """The platform's ids of the calls that are on, and of the latest that ended since measuring began."""
        on = [member.call.call_id for member in self._members if not member.sock.closed]
        return [*on, *self._ended]

    async def open(self, count: int, per_s: float) -> None:
        """Open `count` more calls, `per_s` a second. Raises `Unreachable` if none could be opened.

        Those that a slow server has not answered when three times as long has passed (and half a minute) are
        given up, and count as refused.
        """
        self._begin()
        self.wanted += count
        room = asyncio.Semaphore(OPENING)

        async def bounded(number: int) -> None:
            async with room:
                await self._dial(number)

        begun_ms, tried = self._clock.now_ms(), self._opened + self.refused
        limit_s = count / per_s * _RAMP_FACTOR + _RAMP_ROOM_S
        try:
            async with asyncio.timeout(limit_s), asyncio.TaskGroup() as group:
                for index in range(count):
                    group.create_task(bounded(self._numbers), name="opens a call")
                    self._numbers += 1
                    await self._clock.sleep(begun_ms + (index + 1) * 1000.0 / per_s - self._clock.now_ms())
        except TimeoutError:
            never = count - (self._opened + self.refused - tried)
            self.refused += never
            self.figures.refused_calls += never
        if count and not self._opened:
            why = self._refusal or "the server did not answer in time"
            raise Unreachable(f"no call could be opened at {self._target.host}:{self._target.port}: {why}")

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
        self._ended.clear()
        for member in self._members:
            member.call.figures = self.figures
            member.sock.blocked = member.sock.lost = 0
        self.lateness.reset()

    def tally(self) -> None:
        """Bring those figures up to date that are counted elsewhere. Cheap enough for once a second."""
        self.figures.blocked = self._gone_blocked + sum(each.sock.blocked for each in self._members)
        self.figures.frames_lost = self._gone_lost + sum(each.sock.lost for each in self._members)

    def end_measuring(self) -> None:
        """The figures are about to be taken.

        A step can be shorter than its callers' patience. If nobody was answered in it, and somebody has
        waited beyond what is bearable, then those who wait are not answered: else a mute server would have
        no errors.
        """
        self.tally()
        figures = self.figures
        if figures.voice_to_voice_ms or figures.keys_to_voice_ms:
            return
        waiting = [member.call.waits_since_ms for member in self._members if not member.sock.closed]
        since_ms = [each for each in waiting if each is not None]
        if since_ms and self._clock.now_ms() - min(since_ms) > DEAD_AIR_MS:
            figures.unanswered += len(since_ms)

    async def gone(self) -> None:
        """After `close`: return once all have taken leave, where that takes time."""
        await asyncio.gather(*self._dialling, *self._relieving, return_exceptions=True)

    def close(self) -> None:
        """Hang up all calls, and call no more."""
        self._closing = True
        for timer in self._redials:
            timer.cancel()
        self._redials.clear()
        for task in self._dialling | self._relieving:
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
        except (CallRefused, Unreachable) as error:
            self._refusal = str(error)
            self.refused += 1
            self.figures.refused_calls += 1
            self._call_again(number)
            return
        self._opened += 1
        self._members.append(member)
        self._started(member)
        if member.sock.closed:
            self._lost(member)

    def _lost(self, member: Member | None, code: int = 1006) -> None:
        """The server ended the call with this close code, or its socket went; or it never took it."""
        if self._closing or member is None or member not in self._members:
            return
        self._forget(member)
        if code == TRY_AGAIN_LATER:
            self._ended.pop()  # it never was a call
            self._refusal = "the server is busy (1013)"
            self._opened -= 1
            self.refused += 1
            self.figures.refused_calls += 1
        else:
            self.lost += 1
            self.figures.lost_calls += 1
        self._call_again(member.number)

    def _hangs_up(self, member: Member) -> None:
        """The caller's script says so."""
        if member.leaving:
            return
        member.leaving = True
        if self._redial_ms is None or self._closing:
            self.figures.hang_ups += 1
            self._leave(member)
            return
        task = asyncio.get_running_loop().create_task(self._relieve(member), name="takes a caller's place")
        self._relieving.add(task)
        task.add_done_callback(self._relieving.discard)

    async def _relieve(self, member: Member) -> None:
        await self._dial(member.number)
        if member in self._members:
            self.figures.hang_ups += 1
            self._leave(member)

    def _leave(self, member: Member) -> None:
        self._forget(member)
        goodbye = self._goodbye(member)
        if goodbye:
            member.sock.send(goodbye)
        member.sock.close()

    def _forget(self, member: Member) -> None:
        self._stopped(member)
        self._members.remove(member)
        self._ended.append(member.call.call_id)
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
