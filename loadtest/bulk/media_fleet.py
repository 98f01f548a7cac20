"""Callers with audio: paced, a frame every 20 ms."""

from collections.abc import Mapping

from agent.audio.formats import AudioFormat
from agent.clock import Clock
from loadtest.bulk.dialect import Dialect
from loadtest.bulk.fleet import Fleet, Member
from loadtest.bulk.media_call import MediaCall
from loadtest.bulk.pacer import Lateness, Pacer
from loadtest.bulk.script import Script
from loadtest.bulk.socket import Target, open_socket
from loadtest.bulk.speech import CallerSpeech


class PacedFleet(Fleet):
    """What all of them share: one pacer, which ticks every call."""

    def __init__(self, target: Target, clock: Clock, redial_ms: float | None = None) -> None:
        super().__init__(target, clock, redial_ms)
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


class MediaFleet(PacedFleet):
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
            self._target.host,
            self._target.port,
            dialect.path,
            on_text,
            lambda code: self._lost(member, code),
            self._target.tls,
        )
        # The figures may have been replaced while the handshake was under way.
        call.figures = self.figures
        for frame in stream.opening:
            sock.send(frame)
        member = Member(number, call, sock)
        return member

    def _goodbye(self, member: Member) -> bytes:
        assert isinstance(member.call, MediaCall)
        return member.call.hang_up()
