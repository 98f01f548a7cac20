"""One call: the conductor.

It holds the turn machine and carries out what that says. Hearing (`ears`), speaking (`mouth`), answering
(`reply`), waiting (`patience`) and remembering (`history`) are objects of their own that never reach into it:
they tell it what happened, and it tells them what to do. `agent.media` and `agent.text` put the parts
together for the two kinds of line.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import uuid4

from agent import wording
from agent.budgets import Deadlines
from agent.caller_turn import CallerTurn, ready
from agent.errors import LineError
from agent.events import Audience, CallerWords, CallListener, StateChanged, TurnLatency
from agent.hearing import Hearing
from agent.keys import Keys
from agent.latency import TurnMarks
from agent.lines import CallInfo, Line
from agent.mouth import Mouth
from agent.patience import Patience
from agent.records import CallRecord
from agent.replies import Replies
from agent.reply import Outcome, Reply
from agent.scope import CallScope
from agent.services import CallServices
from agent.teardown import TEARDOWN_MS, tear_down
from agent.turns.machine import Action, Event, State, TurnMachine

logger = logging.getLogger(__name__)

LOST_MS = 20_000.0
"""How long a call waits for its lost socket to come back: Twilio's failed action webhook comes after 1.2 s
and gets 15 s to be answered."""
SENTENCE_MS = 400.0
"""Sound as long as this without words was something said that was not understood; shorter is a cough."""
TRANSFER_S = 10.0
"""Bound on handing a caller over."""


class Call:
    """A call from its first to its last moment."""

    def __init__(
        self,
        info: CallInfo,
        services: CallServices,
        on_ended: Callable[["Call"], None],
        listener: CallListener | None = None,
    ) -> None:
        agent = services.agent
        self.services = services
        self.clock = services.clock
        language = wording.closest_language(agent, info.language) or agent.language
        self.record = CallRecord(uuid4().hex[:12], info, services.clock.unix_s(), language)
        self.machine = TurnMachine()
        self.scope = CallScope(self.record.call_id, self.clock, self.end_soon, services.coarse)
        self.deadlines = Deadlines(agent.budgets, self.scope, self.record, services.observer)
        self.keys = Keys(agent.turns.dtmf_timeout_ms, self.clock, self.scope, self._keyed)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._patience = Patience(agent.turns, agent.limits, self.scope, self)
        self._on_ended = on_ended
        self.audience = Audience(listener, self.scope)
        self._last_words = False
        self._line: Line
        self._mouth: Mouth
        self._hearing: Hearing
        self.replies: Replies

    # --- beginning and end -------------------------------------------------------------------------

    def begin(self, line: Line, mouth: Mouth, hearing: Hearing, *, greeting_spoken: bool = False) -> None:
        """Start on `line` and greet. `greeting_spoken`: the platform says the greeting by itself."""
        self._line, self._mouth, self._hearing = line, mouth, hearing
        services, audience, deadlines = self.services, self.audience, self.deadlines
        self.replies = Replies(services, self.record, self.scope, mouth, self, audience, deadlines)
        self._patience.begin()
        greeting = wording.greeting(self.services.agent, self.language)
        if greeting_spoken:
            self.machine.handle(Event.SAY)
            self._state_changed()
            self.replies.platform_says(greeting)
        else:
            self.say(greeting, kind="greeting")

    async def lost(self) -> None:
        """The socket went away; wait for another one, and hold the reply meanwhile."""
        if self.state is State.ENDED:
            return
        self._patience.hold()
        self._mouth.hold()
        self.scope.after("lost", LOST_MS, lambda: self.end_soon("line_lost"), coarse=True)

    def replace_line(self, line: Line) -> bool:
        """The call goes on over another socket. The mouth and the hearing are told by their owner.

        False if the call is over: then the new socket is closed, now or by the teardown.
        """
        old, self._line = self._line, line
        old.close()
        if self.state is State.ENDED:
            line.close()
            return False
        self.scope.cancel_timer("lost")
        self._patience.go_on(self.state)
        return True

    async def hung_up(self, cause: str) -> None:
        """The far end ended the call."""
        await self.end(cause or "caller_hung_up")

    async def end(self, cause: str) -> None:
        """Tear the call down: the one path, with a ceiling. Idempotent; every caller waits for the end."""
        if self.machine.handle(Event.END) is Action.STOP:
            self.record.cause = self.record.cause or cause
            self.record.ended_unix_s = self.clock.unix_s()
            self.record.state = State.ENDED.value
            self.scope.run("last turn", lambda: self.replies.settle(interrupted=True))
            self.audience.tell(StateChanged(State.ENDED.value))
            self.audience.close()
            work = tear_down(self.record, self.scope, self._mouth, self._hearing)
            teardown = asyncio.create_task(work, name="call teardown")
            teardown.add_done_callback(lambda _: self._torn_down())
        await asyncio.shield(self.done)

    def end_soon(self, cause: str = "internal_error") -> None:
        """`end`, from where it cannot be awaited."""
        self.scope.spawn(self.end(cause), name="end")

    async def hang_up(self, cause: str) -> None:
        """End the call from our side."""
        # The platform's word on its end may come before ours, and says less.
        self.record.cause = self.record.cause or cause
        try:
            async with asyncio.timeout(TEARDOWN_MS / 1000):
                await self._line.hang_up()
        except (LineError, TimeoutError) as error:
            logger.warning("call %s: hang-up failed: %s", self.record.call_id, error)
        await self.end(cause)

    def _torn_down(self) -> None:
        self.scope.run("line", self._line.close)
        self.scope.run("observer", lambda: self.services.observer.call_ended(self.record))
        self.scope.run("registry", lambda: self._on_ended(self))
        if not self.done.done():
            self.done.set_result(None)

    # --- what the parts ask ------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Whose turn it is."""
        return self.machine.state

    @property
    def language(self) -> str:
        """What is spoken now."""
        return self.record.language

    def switch_language(self, language: str) -> None:
        """Speak and listen in another of the agent's languages."""
        if language != self.record.language and language in self.services.agent.languages:
            self.record.language = language
            self._hearing.switch_language(language)

    # --- what happened -----------------------------------------------------------------------------

    def _caller(self, event: Event) -> Action:
        """The caller did something. Nothing that he does stops the call's last words at its time limit."""
        return Action.NONE if self._last_words else self.machine.handle(event)

    def voice(self) -> None:
        """The caller began to make a sound."""
        self._do(self._caller(Event.VOICE))

    def partial(self, text: str) -> None:
        """Words of the caller's turn so far."""
        self.audience.tell(CallerWords(text, final=False))

    def barge(self, onset_ms: float | None) -> None:
        """The caller interrupts, by sound that began at `onset_ms`, if that is known."""
        sounding = self.state is State.SPEAKING
        # Before there is a reply there is nothing to resume: the caller has simply not finished.
        collecting = self.state is State.REPLYING and self.replies.current is None
        action = self._caller(Event.WORDS if collecting else Event.BARGE)
        decided_ms = self.clock.now_ms()
        self._do(action)
        if action is Action.PAUSE and sounding:
            self.record.counters.barge_ins += 1
            self.replies.stopped(onset_ms, decided_ms)

    def words(self) -> None:
        """The caller interrupts, by words."""
        self._do(self._caller(Event.WORDS))

    def quiet(self) -> None:
        """The sound that began the turn, or stopped the agent, was no words."""
        reply = self.replies.current
        if self.state is State.YIELDED and reply is not None and not reply.record.answered:
            self._do(self.machine.handle(Event.QUIET_EARLY))
        elif self.state in (State.HEARING, State.YIELDED):
            self._do(self.machine.handle(Event.QUIET))

    def complete(self, turn: CallerTurn) -> None:
        """The caller's turn is complete: answer it."""
        action = self._caller(Event.ENDPOINT)
        if action is Action.REPLACE:
            self.replies.cancel()
        if action in (Action.REPLY, Action.REPLACE):
            self._state_changed(anew=True)
            self.replies.run(self._answer(turn))

    def typed(self, text: str) -> None:
        """The caller wrote instead of speaking: a turn, whatever is going on."""
        if text.strip():
            self.complete(ready(text.strip(), TurnMarks(endpoint_ms=self.clock.now_ms()), "typed"))

    def dtmf(self, digit: str) -> None:
        """A key was pressed: it interrupts, and is collected into a turn."""
        self.keys.press(digit, self.replies.expectation.digits, self._key_interrupts)

    def sound(self, generation: int) -> None:
        """The reply's first sound is out."""
        reply = self.replies.current
        if reply is None or generation != reply.generation:
            return
        self._do(self.machine.handle(Event.SOUND))
        reply.record.answered = True
        reply.record.stages |= reply.marks.stages()
        self.scope.run("observer", lambda: self.services.observer.turn_ended(self.record, reply.record))
        stages = {stage.value: value_ms for stage, value_ms in reply.record.stages.items()}
        self.audience.tell(TurnLatency(reply.record.index, stages, reply.record.providers))
        self.replies.sounded()

    def heard_out(self, generation: int) -> None:
        """The reply was heard to its end."""
        self.scope.run("end of a reply", lambda: self._heard_out(generation))

    def _heard_out(self, generation: int) -> None:
        reply = self.replies.current
        if reply is None or generation != reply.generation or self.state is State.ENDED:
            return
        outcome = reply.outcome
        self.record.counters.unanswered += not reply.record.answered
        self.replies.settle(interrupted=False)
        self._do(self.machine.handle(Event.DONE))
        self._follow(outcome)

    def bad_message(self, kind: str) -> None:
        """The peer sent nonsense, already dropped."""
        self.record.note_bad(kind)

    # --- speaking ----------------------------------------------------------------------------------

    def say(self, text: str, *, kind: str, then: Outcome | None = None) -> bool:
        """Say something by ourselves, if it is not the caller's turn. False if it is."""
        if self.machine.handle(Event.SAY) is not Action.SPEAK:
            return False
        self._state_changed()
        reply = self.replies.new(TurnMarks(), kind)
        if then is not None:
            reply.outcome = then
        self.replies.run(self._finished(reply, lambda: reply.say(text)))
        return True

    def _phrase(self, name: str) -> str:
        return wording.phrase(self.services.agent, name, self.language)

    async def _answer(self, turn: CallerTurn) -> None:
        text = (await turn.collect()).strip()
        turn.marks.transcript_ms = self.clock.now_ms()
        turn.taken()
        if not text:
            self._do(self.machine.handle(Event.QUIET))
            if turn.spoke_ms >= SENTENCE_MS and self.state is State.IDLE:
                self._patience.misheard()
            return
        self.audience.tell(CallerWords(text, final=True))
        self.record.counters.turns += 1
        self._patience.answered()
        reply = self.replies.to(turn, text)
        await self._finished(reply, reply.answer)

    async def _finished(self, reply: Reply, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a reply; when it made no sound and has none to make, nothing else tells that it is over."""
        await work()
        if reply is self.replies.current and not reply.record.answered and not self._mouth.waiting:
            self.heard_out(reply.generation)

    def _follow(self, outcome: Outcome) -> None:
        """After a reply was heard: what it wanted to happen next."""
        if outcome.hang_up:
            self.scope.spawn(self.hang_up(outcome.cause), name="hang up")
        elif outcome.transfer_to is not None:
            # A caller who is being handed over waits in silence.
            self.scope.cancel_timer("idle")
            self.scope.spawn(self._transfer(outcome.transfer_to), name="transfer")

    async def _transfer(self, target: str) -> None:
        try:
            async with asyncio.timeout(TRANSFER_S):
                await self._line.transfer(target)
        except (LineError, TimeoutError) as error:
            logger.warning("call %s: transfer failed: %s", self.record.call_id, error)
            if not self.say(self._phrase("apology"), kind="apology"):
                logger.info("call %s: the caller is speaking: no apology", self.record.call_id)
            return
        await self.end("transferred")

    # --- carrying out ------------------------------------------------------------------------------

    def _do(self, action: Action) -> None:
        match action:
            case Action.PAUSE:
                self._mouth.pause()
            case Action.RESUME:
                if self.state is State.SPEAKING:
                    self.record.counters.false_interruptions += 1
                    self.record.counters.resumes += 1
                self._mouth.resume()
            case Action.CANCEL:
                self.replies.cancel()
            case Action.DISMISS | Action.REST:
                self._patience.rest()
        self._state_changed()

    def _state_changed(self, *, anew: bool = False) -> None:
        """Show the state, and begin its ceiling, if it is another one (or the same one again)."""
        changed = self.state.value != self.record.state
        if changed or anew:
            self._patience.state(self.state)
        if changed:
            self.record.state = self.state.value
            self.services.observer.state_changed(self.record)
            self.audience.tell(StateChanged(self.record.state))

    # --- keys, silence, limits ---------------------------------------------------------------------

    def _key_interrupts(self) -> None:
        speaking = self.state in (State.SPEAKING, State.YIELDED, State.REPLYING)
        self._do(self._caller(Event.WORDS if speaking else Event.VOICE))

    def _keyed(self, digits: str, pressed_ms: float, closed: bool) -> None:
        self._hearing.forget()
        marks = TurnMarks(last_voiced_ms=pressed_ms, endpoint_ms=self.clock.now_ms())
        self.complete(ready(digits, marks, "dtmf"))

    def reprompt(self) -> None:
        """See `agent.patience.PatienceListener`."""
        self.record.counters.reprompts += 1
        self.say(self._phrase("reprompt"), kind="reprompt")

    def not_understood(self) -> None:
        """See `agent.patience.PatienceListener`."""
        self.say(self._phrase("not_understood"), kind="not_understood")

    def give_up(self) -> None:
        """See `agent.patience.PatienceListener`."""
        self._goodbye("silence_goodbye", "silence")

    def stuck(self) -> None:
        """See `agent.patience.PatienceListener`."""
        self.record.counters.ceilings += 1
        match self.state:
            case State.HEARING:
                self._hearing.long_turn()
            case State.YIELDED:
                self._hearing.ignore()
                self.quiet()
            case State.REPLYING:
                kind = self.replies.current.record.kind if self.replies.current else "speech"
                self._drop_reply()
                self.record.counters.unanswered += 1
                # Once: if it was the speech that got stuck, the apology gets stuck as well.
                if kind != "apology":
                    self.say(self._phrase("apology"), kind="apology")
            case State.SPEAKING:
                self._drop_reply()

    def time_is_up(self) -> None:
        """See `agent.patience.PatienceListener`."""
        self._drop_reply()
        self.quiet()
        self._last_words = True
        self._goodbye("time_goodbye", "time_limit")

    def out_of_time(self) -> None:
        """See `agent.patience.PatienceListener`."""
        self.scope.spawn(self.hang_up("time_limit"), name="hang up")

    def _drop_reply(self) -> None:
        self.replies.cancel()
        self._do(self.machine.handle(Event.DONE))

    def _goodbye(self, phrase: str, cause: str) -> None:
        self.say(self._phrase(phrase), kind="goodbye", then=Outcome(hang_up=True, cause=cause))
