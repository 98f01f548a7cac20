"""One call: the conductor.

It holds the turn machine and carries out what that says. Hearing (`ears`), speaking (`mouth`), answering
(`reply`), waiting (`patience`) and remembering (`history`) are objects of their own that never reach into it:
they tell it what happened, and it tells them what to do. `agent.media` and `agent.text` put the parts
together for the two kinds of line.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol
from uuid import uuid4

from agent import wording
from agent.caller_turn import CallerTurn, ready
from agent.errors import LineError
from agent.events import Audience, CallerWords, CallListener, StateChanged, TurnLatency
from agent.keys import Keys
from agent.latency import Stage, TurnMarks
from agent.lines import CallInfo, Line
from agent.mouth import Mouth
from agent.patience import Patience
from agent.records import CallRecord
from agent.replies import Replies
from agent.reply import Outcome, Reply
from agent.scope import CallScope
from agent.services import CallServices
from agent.turns.machine import Action, Event, State, TurnMachine

logger = logging.getLogger(__name__)

TEARDOWN_MS = 2_000
"""Ceiling on taking a call down, whatever its parts do."""
LOST_MS = 20_000.0
"""How long a call waits for its lost socket to come back: Twilio's failed action webhook comes after 1.2 s
and gets 15 s to be answered."""
SENTENCE_MS = 400.0
"""Sound as long as this without words was something said that was not understood; shorter is a cough."""
TRANSFER_S = 10.0
"""Bound on handing a caller over."""


class Hearing(Protocol):
    """The part of a call that hears, as the call needs it."""

    def switch_language(self, language: str) -> None:
        """Listen in another language."""

    def long_turn(self) -> None:
        """The caller's turn has lasted too long: complete it with what there is."""

    def forget(self) -> None:
        """The words so far are no turn of their own."""

    async def close(self) -> None:
        """The call is over."""


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
        self.scope = CallScope(self.record.call_id, self.clock, lambda: self.end_soon("internal_error"))
        self.keys = Keys(agent.turns.dtmf_timeout_ms, self.clock, self.scope, self._keyed)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._patience = Patience(agent.turns, agent.limits, self.scope, self)
        self._on_ended = on_ended
        self._audience = Audience(listener, self.scope)
        self._line: Line
        self._mouth: Mouth
        self._hearing: Hearing
        self.replies: Replies

    # --- beginning and end -------------------------------------------------------------------------

    def begin(self, line: Line, mouth: Mouth, hearing: Hearing, *, greeting_spoken: bool = False) -> None:
        """Start on `line` and greet. `greeting_spoken`: the platform says the greeting by itself."""
        self._line, self._mouth, self._hearing = line, mouth, hearing
        self.replies = Replies(self.services, self.record, self.scope, mouth, self, self._audience)
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
        self.scope.after("lost", LOST_MS, lambda: self.end_soon("line_lost"))

    def replace_line(self, line: Line) -> None:
        """The call goes on over another socket. The mouth and the hearing are told by their owner."""
        old, self._line = self._line, line
        self.scope.cancel_timer("lost")
        if self.state is State.IDLE:
            self._patience.rest()
        old.close()

    async def hung_up(self, cause: str) -> None:
        """The far end ended the call."""
        await self.end(cause or "caller_hung_up")

    async def end(self, cause: str) -> None:
        """Tear the call down: the one path, with a ceiling. Idempotent; every caller waits for the end."""
        if self.machine.handle(Event.END) is Action.STOP:
            self.record.cause = cause
            self.record.ended_unix_s = self.clock.unix_s()
            self.record.state = State.ENDED.value
            self.scope.run("last turn", lambda: self.replies.settle(interrupted=True))
            self._audience.tell(StateChanged(State.ENDED.value))
            teardown = asyncio.create_task(self._teardown(), name="call teardown")
            teardown.add_done_callback(lambda _: self._torn_down())
        await asyncio.shield(self.done)

    def end_soon(self, cause: str) -> None:
        """`end`, from where it cannot be awaited."""
        self.scope.spawn(self.end(cause), name="end")

    async def hang_up(self, cause: str) -> None:
        """End the call from our side."""
        try:
            async with asyncio.timeout(TEARDOWN_MS / 1000):
                await self._line.hang_up()
        except (LineError, TimeoutError) as error:
            logger.warning("call %s: hang-up failed: %s", self.record.call_id, error)
        await self.end(cause)

    async def _teardown(self) -> None:
        self.scope.stop_timers()
        try:
            async with asyncio.timeout(TEARDOWN_MS / 1000):
                await self.scope.cancel_tasks()
                self.scope.run("mouth", self._mouth.close)
                await self._hearing.close()
        except TimeoutError:
            self.record.counters.ceilings += 1
            logger.warning("call %s: teardown took over %d ms", self.record.call_id, TEARDOWN_MS)
        except Exception:  # whatever a part does, the call's place must become free
            logger.exception("call %s: teardown failed", self.record.call_id)

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

    def voice(self) -> None:
        """The caller began to make a sound."""
        self._do(self.machine.handle(Event.VOICE))

    def partial(self, text: str) -> None:
        """Words of the caller's turn so far."""
        self._audience.tell(CallerWords(text, final=False))

    def barge(self, onset_ms: float) -> None:
        """The caller interrupts, by sound."""
        sounding = self.state is State.SPEAKING
        action = self.machine.handle(Event.BARGE)
        self._do(action)
        if action is Action.PAUSE and sounding:
            self.record.counters.barge_ins += 1
            stop_ms = self.clock.now_ms() - onset_ms
            if self.replies.current is not None:
                self.replies.current.record.stages[Stage.BARGE_IN] = stop_ms
            self.services.observer.barge_in(self.record, stop_ms)

    def words(self) -> None:
        """The caller interrupts, by words."""
        self._do(self.machine.handle(Event.WORDS))

    def quiet(self) -> None:
        """The sound was no words."""
        self._do(self.machine.handle(Event.QUIET))

    def complete(self, turn: CallerTurn) -> None:
        """The caller's turn is complete: answer it."""
        action = self.machine.handle(Event.ENDPOINT)
        if action is Action.REPLACE:
            self.replies.cancel()
        if action in (Action.REPLY, Action.REPLACE):
            self._state_changed()
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
        self.services.observer.turn_ended(self.record, reply.record)
        stages = {stage.value: value_ms for stage, value_ms in reply.record.stages.items()}
        self._audience.tell(TurnLatency(reply.record.index, stages, reply.record.providers))
        self.replies.sounded()

    def heard_out(self, generation: int) -> None:
        """The reply was heard to its end."""
        reply = self.replies.current
        if reply is None or generation != reply.generation or self.state is State.ENDED:
            return
        outcome = reply.outcome
        self.replies.settle(interrupted=False)
        self._do(self.machine.handle(Event.DONE))
        self._follow(outcome)

    def bad_message(self, kind: str) -> None:
        """The peer sent nonsense, already dropped."""
        self.record.counters.bad_messages += 1
        kinds = self.record.bad_messages
        if kind in kinds or len(kinds) < 32:
            kinds[kind] = kinds.get(kind, 0) + 1

    def interrupted(self) -> None:
        """The platform itself stopped the agent."""
        self.record.counters.barge_ins += 1
        self.words()

    # --- speaking ----------------------------------------------------------------------------------

    def say(self, text: str, *, kind: str, then: Outcome | None = None) -> bool:
        """Say something by ourselves, if it is not the caller's turn. False if it is."""
        if self.machine.handle(Event.SAY) is not Action.SPEAK:
            return False
        self._state_changed()
        reply = self.replies.new(TurnMarks(), kind)
        if then is not None:
            reply.outcome = then
        self.replies.run(self._finished(reply, reply.say(text)))
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
                self.say(self._phrase("not_understood"), kind="not_understood")
            return
        self._audience.tell(CallerWords(text, final=True))
        self.record.counters.turns += 1
        self._patience.answered()
        reply = self.replies.to(turn, text)
        await self._finished(reply, reply.answer())

    async def _finished(self, reply: Reply, work: Coroutine[Any, Any, None]) -> None:
        """Run a reply; when it made no sound, nothing will tell that it is over."""
        try:
            await work
        finally:
            if not reply.record.answered and reply is self.replies.current and self.state is State.REPLYING:
                self.record.counters.unanswered += 1
        if not reply.record.answered and reply is self.replies.current:
            self.heard_out(reply.generation)

    def _follow(self, outcome: Outcome) -> None:
        """After a reply was heard: what it wanted to happen next."""
        if outcome.hang_up:
            self.scope.spawn(self.hang_up("agent_hung_up"), name="hang up")
        elif outcome.transfer_to is not None:
            self.scope.spawn(self._transfer(outcome.transfer_to), name="transfer")

    async def _transfer(self, target: str) -> None:
        try:
            async with asyncio.timeout(TRANSFER_S):
                await self._line.transfer(target)
        except (LineError, TimeoutError) as error:
            logger.warning("call %s: transfer failed: %s", self.record.call_id, error)
            self.say(self._phrase("apology"), kind="apology")
            return
        await self.end("transferred")

    # --- carrying out ------------------------------------------------------------------------------

    def _do(self, action: Action) -> None:
        match action:
            case Action.NONE:
                self._show_state()
                return
            case Action.PAUSE:
                self._mouth.pause()
            case Action.RESUME:
                self.record.counters.false_interruptions += 1
                self.record.counters.resumes += 1
                self._mouth.resume()
            case Action.CANCEL:
                self.replies.cancel()
            case Action.DISMISS | Action.REST:
                self._patience.rest()
            case _:
                pass
        self._state_changed()

    def _state_changed(self) -> None:
        self._show_state()
        self._patience.state(self.state)

    def _show_state(self) -> None:
        state = self.state.value
        if state != self.record.state:
            self.record.state = state
            self._audience.tell(StateChanged(state))

    # --- keys, silence, limits ---------------------------------------------------------------------

    def _key_interrupts(self) -> None:
        speaking = self.state in (State.SPEAKING, State.YIELDED, State.REPLYING)
        self._do(self.machine.handle(Event.WORDS if speaking else Event.VOICE))

    def _keyed(self, digits: str, pressed_ms: float, closed: bool) -> None:
        self._hearing.forget()
        marks = TurnMarks(last_voiced_ms=pressed_ms, endpoint_ms=self.clock.now_ms())
        self.complete(ready(digits, marks, "dtmf"))

    def reprompt(self) -> None:
        """See `agent.patience.PatienceListener`."""
        self.record.counters.reprompts += 1
        self.say(self._phrase("reprompt"), kind="reprompt")

    def give_up(self) -> None:
        """See `agent.patience.PatienceListener`."""
        self.say(self._phrase("silence_goodbye"), kind="goodbye", then=Outcome(hang_up=True))

    def stuck(self) -> None:
        """See `agent.patience.PatienceListener`."""
        self.record.counters.ceilings += 1
        match self.state:
            case State.HEARING:
                self._hearing.long_turn()
            case State.YIELDED:
                self.quiet()
            case State.REPLYING | State.SPEAKING:
                self.replies.cancel()
                self._do(self.machine.handle(Event.DONE))
            case _:
                pass

    def time_is_up(self) -> None:
        """See `agent.patience.PatienceListener`."""
        self.replies.cancel()
        self._do(self.machine.handle(Event.DONE))
        if self.state is State.HEARING:
            self._do(self.machine.handle(Event.QUIET))
        self.say(self._phrase("time_goodbye"), kind="goodbye", then=Outcome(hang_up=True))

    def out_of_time(self) -> None:
        """See `agent.patience.PatienceListener`."""
        self.scope.spawn(self.hang_up("time_limit"), name="hang up")
