"""Callers over ConversationRelay: text, at a fixed rhythm."""

from agent.clock import Clock
from loadtest.bulk.fleet import Fleet, Member
from loadtest.bulk.pacer import Lateness
from loadtest.bulk.relay_call import PATH, STAYS, RelayCall
from loadtest.bulk.script import Script, lasts_ms
from loadtest.bulk.socket import Target, open_socket


class RelayFleet(Fleet):
    """ConversationRelay callers, each a turn per `turn_ms`."""

    def __init__(
        self,
        target: Target,
        clock: Clock,
        turn_ms: float = 10_000.0,
        *,
        reply: str = "",
        script: Script = STAYS,
        redial_ms: float | None = None,
    ) -> None:
        """`reply` as for `RelayCall`; of `script` as there, and `hang_up_after_ms`."""
        super().__init__(target, clock, redial_ms)
        self._late = Lateness()
        self._turn_ms = turn_ms
        self._reply = reply
        self._script = script

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
        now_ms = clock.now_ms()
        until_ms = now_ms + lasts_ms(self._script.hang_up_after_ms, self._chance)
        call = RelayCall(self.figures, self._reply, self._script, now_ms, until_ms)
        member: Member | None = None
        sock = await open_socket(
            self._target.host,
            self._target.port,
            PATH,
            lambda text: call.received(text, clock.now_ms()),
            lambda code: self._lost(member, code),
            self._target.tls,
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
