"""A call over a media line: ears and mouth put together, and the end that the transport feeds."""

from collections.abc import Callable

from agent.call import Call
from agent.caller_turn import CallerTurn
from agent.ears import Ears
from agent.events import CallListener
from agent.latency import TurnMarks
from agent.lines import MediaLine
from agent.mouth import MediaMouth
from agent.scope import CallBeat
from agent.services import CallServices
from agent.turns.expectation import Expectation
from agent.turns.machine import State


class MediaConversation:
    """One media call. Implements `agent.lines.MediaCall` for the transport and listens to ears and mouth."""

    def __init__(
        self,
        line: MediaLine,
        services: CallServices,
        on_ended: Callable[[Call], None],
        listener: CallListener | None,
    ) -> None:
        agent = services.agent
        self.call = Call(line.info, services, on_ended, listener)
        counters = self.call.record.counters
        beat = CallBeat(services.ticker, self.call.scope)
        self.mouth = MediaMouth(line, services.tts, agent.voices, beat, services.clock, counters, self.call)
        self.ears = Ears(
            line, services.stt, agent.turns, services.endpointer, self.mouth.echo, self.call.scope, counters,
            self,
        )  # fmt: skip
        self.hear = self.ears.hear
        """The frame path goes straight to the ears."""
        self.marked = self.mouth.marked
        self._listen(self.call.language)
        self.call.begin(line, self.mouth, self)

    def _listen(self, language: str) -> None:
        services = self.call.services
        others = tuple(name for name in services.agent.languages if name != language)
        self.ears.recognition.listen((language, *others), services.phrases.get(language, ()))

    def replace_line(self, line: MediaLine) -> None:
        """The socket was replaced."""
        if self.call.replace_line(line):
            self.mouth.replace_line(line)
            self.ears.replace_line(line)

    # --- for the transport -------------------------------------------------------------------------

    def dtmf(self, digit: str) -> None:
        """See `agent.lines.LineCall`."""
        self.call.dtmf(digit)

    def typed(self, text: str) -> None:
        """See `agent.lines.LineCall`."""
        self.call.typed(text)

    def switch_language(self, language: str) -> None:
        """See `agent.lines.LineCall` and `agent.hearing.Hearing`."""
        if language == self.call.language:
            self._listen(language)
        else:
            self.call.switch_language(language)

    def bad_message(self, kind: str) -> None:
        """See `agent.lines.LineCall`."""
        self.call.bad_message(kind)

    async def hung_up(self, cause: str) -> None:
        """See `agent.lines.LineCall`."""
        await self.call.hung_up(cause)

    async def lost(self) -> None:
        """See `agent.lines.LineCall`. The audio that was on its way is lost; the reply goes on when the
        line is back."""
        await self.call.lost()

    # --- for the ears ------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """See `agent.ears.EarsListener`."""
        return self.call.machine.state

    @property
    def language(self) -> str:
        """See `agent.ears.EarsListener`."""
        return self.call.language

    @property
    def expectation(self) -> Expectation:
        """See `agent.ears.EarsListener`."""
        return self.call.replies.expectation

    def recently_said(self) -> str:
        """See `agent.ears.EarsListener`."""
        return self.call.replies.recently_said()

    def voice(self) -> None:
        """See `agent.ears.EarsListener`."""
        self.call.voice()

    def partial(self, text: str) -> None:
        """See `agent.ears.EarsListener`."""
        self.call.partial(text)

    def barge(self, onset_ms: float) -> None:
        """See `agent.ears.EarsListener`."""
        self.call.barge(onset_ms)

    def words(self) -> None:
        """See `agent.ears.EarsListener`."""
        self.call.words()

    def quiet(self) -> None:
        """See `agent.ears.EarsListener`."""
        self.call.quiet()

    def endpoint(self, last_voiced_ms: float) -> None:
        """See `agent.ears.EarsListener`."""
        if self.call.keys.pending:
            # The keypad's own pause ends this turn: a number is not complete because nobody speaks.
            return
        now_ms = self.call.clock.now_ms()
        marks = TurnMarks(last_voiced_ms=last_voiced_ms, endpoint_ms=now_ms, jitter_ms=self.ears.jitter_ms)
        turn = CallerTurn(
            marks,
            self.ears.collect,
            self.ears.taken,
            spoke_ms=last_voiced_ms - self.ears.began_ms,
            providers={"stt": self.ears.recognition.provider},
        )
        self.call.complete(turn)

    # --- for the call ------------------------------------------------------------------------------

    def long_turn(self) -> None:
        """See `agent.hearing.Hearing`."""
        self.ears.ignore_voice()
        self.endpoint(self.call.clock.now_ms())

    def ignore(self) -> None:
        """See `agent.hearing.Hearing`."""
        self.ears.ignore_voice()
        self.ears.taken()

    def forget(self) -> None:
        """See `agent.hearing.Hearing`."""
        self.ears.taken()

    async def close(self) -> None:
        """See `agent.hearing.Hearing`."""
        await self.ears.recognition.close()

    # --- for the invariants ------------------------------------------------------------------------

    @property
    def call_id(self) -> str:
        """See `agent.invariants.WatchedCall`."""
        return self.call.record.call_id

    def silent_ms(self, now_ms: float) -> float | None:
        """See `agent.invariants.WatchedCall`."""
        return self.mouth.mute_ms(now_ms) if self.call.state is State.SPEAKING else None

    def nudge(self) -> None:
        """See `agent.invariants.WatchedCall`."""
        self.mouth.nudge()

    def give_up_reply(self) -> None:
        """See `agent.invariants.WatchedCall`."""
        self.call.stuck()
