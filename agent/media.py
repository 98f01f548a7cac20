"""A call over a media line: ears and mouth put together, and the end that the transport feeds."""

from collections.abc import Callable

from agent.call import Call
from agent.caller_turn import CallerTurn
from agent.ears import Ears
from agent.events import CallListener, StateChanged
from agent.latency import Stage, TurnMarks
from agent.lines import MediaLine
from agent.mouth import MediaMouth
from agent.scope import CallBeat
from agent.services import CallServices
from agent.turns.expectation import Expectation
from agent.turns.machine import State
from agent.voices import voices_of


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
        self.mouth = MediaMouth(
            line, services.tts, voices_of(agent, line.info), beat, services.clock, counters, self.call,
            self.call.deadlines,
        )  # fmt: skip
        self.ears = Ears(
            line, services.stt, agent.turns, services.endpointer, self.mouth.echo, self.call.scope, counters,
            self,
        )  # fmt: skip
        self.hear = self.ears.hear
        """The frame path goes straight to the ears."""
        self._listen(self.call.language)
        self.call.begin(line, self.mouth, self)

    def _listen(self, language: str) -> None:
        services = self.call.services
        others = tuple(name for name in services.agent.languages if name != language)
        self.ears.recognition.listen((language, *others), services.phrases.get(language, ()))

    def replace_line(self, line: MediaLine, listener: CallListener | None = None) -> None:
        """The socket was replaced. `listener` is told what happens from here on, first whose turn it is."""
        if self.call.replace_line(line):
            self.call.audience.becomes(listener)
            self.call.audience.tell(StateChanged(self.call.record.state))
            self.mouth.replace_line(line)
            self.ears.replace_line(line)

    # --- for the transport -------------------------------------------------------------------------

    def marked(self, name: str) -> None:
        """See `agent.lines.MediaCall`."""
        flush_ms = self.mouth.marked(name)
        if flush_ms is not None:
            self.call.replies.measured(Stage.BUFFER_FLUSH, flush_ms)

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
        providers = {"stt": self.ears.recognition.provider}
        blown: dict[Stage, str] = {}
        turn = CallerTurn(
            marks,
            lambda: self._collect(now_ms, providers, blown),
            self.ears.taken,
            spoke_ms=last_voiced_ms - self.ears.began_ms,
            providers=providers,
            blown=blown,
        )
        self.call.complete(turn)

    async def _collect(self, since_ms: float, providers: dict[str, str], blown: dict[Stage, str]) -> str:
        """The caller's words; from the next provider if this one takes too long."""
        recognition, deadlines = self.ears.recognition, self.call.deadlines
        deadlines.begin(Stage.STT_FINAL, since_ms, blown, lambda _: recognition.hand_over())
        try:
            return await self.ears.collect()
        finally:
            deadlines.end(Stage.STT_FINAL)
            providers["stt"] = recognition.provider

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
