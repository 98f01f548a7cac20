"""Somebody on the phone: follows a script, on any transport, and measures at its own end.

A caller waits for the greeting, speaks, waits for the answer to begin, and lets the agent finish (or
interrupts it) before the next step. `Caller` knows neither codec nor protocol: a `Phone` does.
"""

from collections.abc import Sequence

from loadtest.callers.ear import GAP_MS, Stretch
from loadtest.callers.phone import Phone, Spoken
from loadtest.callers.result import CallerTurn, CallResult
from loadtest.callers.utterance import HangUp, Pause, Press, Say, Step, Utterance

QUIET_MS = 700.0
"""Silence after which a person takes the other side to have finished."""
ANSWER_TIMEOUT_MS = 10_000.0
MAX_ANSWER_MS = 120_000.0
"""Longest that the agent is listened to: the default `limits.max_reply_s`."""
LINGER_MS = 1_000.0
"""After the last answer, the agent's time to hang up by itself."""
SOUND_AFTER_TEXT_MS = 1_000.0
"""A relay's first sound comes some 330 ms after its first text."""
_SLACK_MS = 5_000.0
"""Beyond its own length, what saying something may take before the line counts as stuck."""


class CallObserver:
    """Told what happens as it happens. The base class ignores everything. Must not block."""

    def greeted(self, result: CallResult) -> None:
        """The greeting is over, or there was none."""

    def caller_speaks(self, turn: CallerTurn) -> None:
        """The caller begins a turn."""

    def agent_answers(self, turn: CallerTurn) -> None:
        """The answer has begun, or will not come: `answered` tells."""

    def answer_over(self, turn: CallerTurn) -> None:
        """The agent has finished, was interrupted, or is gone."""


class Caller:
    """One call by script. `run` may be called once."""

    def __init__(
        self,
        phone: Phone,
        *,
        via: str,
        timeout_ms: float = ANSWER_TIMEOUT_MS,
        quiet_ms: float = QUIET_MS,
        observer: CallObserver | None = None,
    ) -> None:
        self.result = CallResult(phone.call_id, via)
        self._phone = phone
        self._timeout_ms = timeout_ms
        self._quiet_ms = quiet_ms
        self._observer = observer or CallObserver()
        self._open_turn: CallerTurn | None = None
        self._heard_before_ms = 0.0
        self._text_before = 0
        self._abrupt = False

    async def run(self, script: Sequence[Step]) -> CallResult:
        """Make the call. The socket is open already; it is closed when this returns or raises."""
        phone = self._phone
        try:
            await phone.start()
            await self._listen_to_greeting(to_its_end=not _cuts_in(script))
            for step in script:
                if phone.ended is not None:
                    self._skip(step)
                else:
                    await self._take(step)
            if phone.ended is None:
                await self._wait_until_quiet()
                self._close_turn()
                await phone.until(lambda _: False, LINGER_MS)
        finally:
            self._close_turn()
            await phone.hang_up(abrupt=self._abrupt)
        self._conclude()
        return self.result

    async def _listen_to_greeting(self, *, to_its_end: bool) -> None:
        phone = self._phone
        if await phone.until(lambda _: bool(phone.ear.stretches), self._timeout_ms):
            self.result.greeting_ms = phone.ear.stretches[0].start_ms - phone.started_ms
            if to_its_end:
                await self._wait_until_quiet()
        self.result.greeting_heard_ms = phone.ear.audible_ms
        self.result.greeting_text = phone.agent_text()
        self._observer.greeted(self.result)

    async def _take(self, step: Step) -> None:
        if isinstance(step, Say):
            await self._say(step)
        elif isinstance(step, Press):
            await self._press(step)
        elif isinstance(step, Pause):
            await self._phone.until(lambda _: False, step.duration_ms)
        else:
            await self._hang_up(step)

    async def _say(self, step: Say) -> None:
        phone = self._phone
        if step.barge_in_after_ms is None:
            await self._wait_until_quiet()
        else:
            await self._wait_for_speech(step.barge_in_after_ms)
        if phone.ended is not None:
            self._skip(step)
            return
        said = step.utterance
        turn = self._begin_turn(said.text, "speech" if step.expects_answer else "cough")
        turn.expects_answer = step.expects_answer
        spoken = phone.say(said)
        await phone.until(lambda _: spoken.last_ms is not None, said.duration_ms + _SLACK_MS)
        if spoken.first_ms is not None:
            turn.at_ms = spoken.first_ms - phone.started_ms
        await self._await_answer(turn, spoken)

    async def _press(self, step: Press) -> None:
        phone = self._phone
        await self._wait_until_quiet()
        if phone.ended is not None:
            self._skip(step)
            return
        turn = self._begin_turn(step.digits, "dtmf")
        for digit in step.digits:
            phone.press(digit)
        last_ms = self._phone.now_ms()
        turn.at_ms = last_ms - phone.started_ms
        spoken = Spoken(Utterance(step.digits), first_ms=last_ms)

        def pressed(now_ms: float) -> bool:
            spoken.last_ms = now_ms
            return phone.keys_waiting == 0

        await phone.until(pressed, _SLACK_MS)
        await self._await_answer(turn, spoken)

    async def _hang_up(self, step: HangUp) -> None:
        if step.after_ms:
            await self._wait_for_speech(step.after_ms)
        self._close_turn()
        await self._phone.hang_up()

    # --- listening ----------------------------------------------------------------------------------------

    async def _await_answer(self, turn: CallerTurn, spoken: Spoken) -> None:
        """Measure the answer to what was just said."""
        phone, ear = self._phone, self._phone.ear
        if spoken.first_ms is None or spoken.last_ms is None:
            # The call ended in the middle of the sentence.
            self._observer.agent_answers(turn)
            return
        first_ms, last_ms = spoken.first_ms, spoken.last_ms
        interrupted = ear.stretch_at(first_ms)
        turn.interrupts = interrupted is not None

        def begun(_: float) -> bool:
            turn.response_ms = self._response_ms(first_ms, last_ms, interrupted)
            return turn.response_ms is not None

        turn.answered = await phone.until(begun, self._timeout_ms)
        if interrupted is not None and not phone.stops_by_itself and interrupted.end_ms >= first_ms:
            stopped = turn.answered or ear.silent_ms(self._phone.now_ms()) >= GAP_MS
            turn.barge_in_stop_ms = interrupted.end_ms - first_ms if stopped else None
        self._observer.agent_answers(turn)

    def _response_ms(self, first_ms: float, last_ms: float, interrupted: Stretch | None) -> float | None:
        begun_ms = self._phone.answer_begun_ms(last_ms)
        if begun_ms is not None:
            return begun_ms - last_ms
        # An agent that began in the middle of the sentence and is still at it has answered too early.
        current = self._phone.ear.stretch_at(last_ms)
        if current is None or current is interrupted or current.start_ms < first_ms:
            return None
        return current.start_ms - last_ms

    async def _wait_until_quiet(self) -> None:
        """Until the agent has said all that it had to say."""
        phone = self._phone

        def quiet(now_ms: float) -> bool:
            return phone.agent_done(now_ms) and phone.ear.silent_ms(now_ms) >= self._quiet_ms

        await phone.until(quiet, MAX_ANSWER_MS)

    async def _wait_for_speech(self, duration_ms: float) -> None:
        """Until so much of the current answer has been heard, or it was shorter than that."""
        phone = self._phone

        def enough(now_ms: float) -> bool:
            if phone.ear.speaking_ms(now_ms) >= duration_ms:
                return True
            return phone.agent_done(now_ms) and phone.ear.silent_ms(now_ms) >= self._quiet_ms

        # Where the answer is noticed by its text, its sound is still to come.
        await phone.until(lambda now_ms: phone.ear.speaking_ms(now_ms) > 0, SOUND_AFTER_TEXT_MS)
        await phone.until(enough, MAX_ANSWER_MS)

    # --- turns --------------------------------------------------------------------------------------------

    def _begin_turn(self, said: str, kind: str) -> CallerTurn:
        self._close_turn()
        turn = CallerTurn(len(self.result.turns), said, kind)
        self.result.turns.append(turn)
        self._open_turn = turn
        turn.interrupts = self._phone.ear.speaking_ms(self._phone.now_ms()) > 0
        self._heard_before_ms = self._phone.ear.audible_ms
        self._text_before = len(self._phone.agent_text() or "")
        self._observer.caller_speaks(turn)
        return turn

    def _close_turn(self) -> None:
        turn, self._open_turn = self._open_turn, None
        if turn is None:
            return
        turn.answer_heard_ms = self._phone.ear.audible_ms - self._heard_before_ms
        text = self._phone.agent_text()
        turn.agent_text = None if text is None else text[self._text_before :].strip()
        self._observer.answer_over(turn)

    def _skip(self, step: Step) -> None:
        """The call is over: what the script still wanted to say goes unanswered."""
        if isinstance(step, Say | Press):
            said = step.utterance.text if isinstance(step, Say) else step.digits
            turn = self._begin_turn(said, "speech" if isinstance(step, Say) else "dtmf")
            turn.expects_answer = not isinstance(step, Say) or step.expects_answer
            self._observer.agent_answers(turn)
            self._close_turn()

    def _conclude(self) -> None:
        ended = self._phone.ended
        assert ended is not None
        self.result.ended_by = ended.by
        self.result.ended_detail = ended.detail
        self.result.duration_ms = ended.at_ms - self._phone.started_ms
        self.result.max_late_ms = self._phone.max_late_ms
        self.result.problems = list(self._phone.problems)


def _cuts_in(script: Sequence[Step]) -> bool:
    """True if the first step interrupts the greeting."""
    first = script[0] if script else None
    return isinstance(first, HangUp) or (isinstance(first, Say) and first.barge_in_after_ms is not None)
