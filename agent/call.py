"""One call: the conductor.

It holds the turn machine and carries out what that says. Hearing (`ears`), speaking (`mouth`), answering
(`reply`) and remembering (`history`) are objects of their own that never reach into it: they tell it what
happened, and it tells them what to do. `agent.media` and `agent.text` put the parts together for the two
kinds of line.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from agent.agentfile.schema import AgentFile
from agent.chains import LLMChain, STTChain, TTSChain
from agent.clock import Clock, Timer
from agent.errors import LineError
from agent.history import History
from agent.latency import Stage, TurnMarks
from agent.ledger import Heard
from agent.lines import CallInfo, Line
from agent.mouth import Mouth
from agent.records import CallObserver, CallRecord, TurnRecord
from agent.reply import Outcome, Reply, ReplyParts
from agent.ticker import Ticker
from agent.tools import ToolRunner
from agent.turns.expectation import ANYTHING, Expectation, Expectations
from agent.turns.keypad import Keypad
from agent.turns.machine import Action, Event, State, TurnMachine

logger = logging.getLogger(__name__)

TEARDOWN_MS = 2_000
"""Ceiling on taking a call down, whatever its parts do."""
LOST_MS = 20_000
"""How long a call waits for its lost socket to come back: Twilio's failed action webhook comes after 1.2 s
and gets 15 s to be answered."""
REPLYING_MS = 30_000
"""Ceiling on a reply without a sound: the providers' own bounds, twice over."""
YIELDED_MS = 6_000
"""Ceiling on a sound without words while the agent waits: hold music, a siren."""
SENTENCE_MS = 400.0
"""Sound as long as this without words was something said that was not understood; shorter is a cough."""
GOODBYE_MS = 15_000
"""Ceiling on the goodbye at the time limit."""


@dataclass(frozen=True, slots=True)
class CallServices:
    """What all calls of a process share."""

    agent: AgentFile
    clock: Clock
    stt: STTChain
    llm: LLMChain
    tts: TTSChain
    tools: ToolRunner
    ticker: Ticker
    expectations: Expectations
    phrases: dict[str, tuple[str, ...]]
    """What callers are likely to say, by language."""
    observer: CallObserver


@dataclass(slots=True)
class CallerTurn:
    """A turn of the caller that is complete."""

    marks: TurnMarks
    collect: Callable[[], Awaitable[str]]
    """Gives the words; bounded. Cancelled, it keeps them for the turn that goes on."""
    taken: Callable[[], None] = lambda: None
    """Called when the words were made a turn."""
    kind: str = "speech"
    spoke_ms: float = 0.0
    """How long the caller made a sound, where that is known."""
    providers: dict[str, str] | None = None


class Call:
    """A call from its first to its last moment."""

    def __init__(self, info: CallInfo, services: CallServices, on_ended: Callable[["Call"], None]) -> None:
        self.services = services
        self.clock = services.clock
        self.record = CallRecord(
            uuid4().hex[:12], info, services.clock.unix_s(), _language(services.agent, info.language)
        )
        self.history = History()
        self.machine = TurnMachine()
        self.keypad = Keypad(services.agent.turns.dtmf_timeout_ms)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_language: Callable[[str], None] = lambda _: None
        self.on_close: Callable[[], Awaitable[None]] | None = None
        self._on_ended = on_ended
        self._started_ms = services.clock.now_ms()
        self._line: Line | None = None
        self._mouth: Mouth | None = None
        self._parts: ReplyParts | None = None
        self._reply: Reply | None = None
        self._answering: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, Timer] = {}
        self._generation = 0
        self._reprompts = 0
        self._expectation: Expectation | None = None
        self._said = ""

    # --- beginning and end -------------------------------------------------------------------------

    def begin(self, line: Line, mouth: Mouth, *, greeting_spoken: bool = False) -> None:
        """Start on `line` and greet. `greeting_spoken`: the platform says the greeting by itself."""
        services = self.services
        self._line, self._mouth = line, mouth
        self._parts = ReplyParts(
            services.agent, services.llm, services.tools, self.clock, mouth, self.history,
            self.record.counters, self.record.info,
        )  # fmt: skip
        self._after("time limit", services.agent.limits.max_call_s * 1000, self._time_is_up)
        greeting = _localized(services.agent.greeting, self.language, services.agent.language)
        if not greeting_spoken:
            self.say(greeting, kind="greeting")

    def replace_line(self, line: Line) -> None:
        """The call goes on over another socket."""
        old, self._line = self._line, line
        self._cancel_timer("lost")
        if old is not None:
            old.close()

    async def lost(self) -> None:
        """The socket went away; wait for another one."""
        self._cancel_reply()
        self._after("lost", LOST_MS, lambda: self.end_soon("line_lost"))

    async def hung_up(self, cause: str) -> None:
        """The far end ended the call."""
        await self.end(cause or "caller_hung_up")

    async def end(self, cause: str) -> None:
        """Tear the call down: the one path, with a ceiling. Idempotent; every caller waits for the end."""
        if self.machine.handle(Event.END) is Action.STOP:
            self.record.cause = cause
            self.record.ended_unix_s = self.clock.unix_s()
            self.record.state = State.ENDED.value
            self._finish_turn(self._reply, interrupted=True)
            teardown = asyncio.create_task(self._teardown(), name="call teardown")
            teardown.add_done_callback(lambda _: self._torn_down())
        await asyncio.shield(self.done)

    def end_soon(self, cause: str) -> None:
        """`end`, from where it cannot be awaited."""
        self._spawn(self.end(cause))

    async def hang_up(self, cause: str) -> None:
        """End the call from our side."""
        line = self._line
        if line is not None:
            try:
                async with asyncio.timeout(TEARDOWN_MS / 1000):
                    await line.hang_up()
            except (LineError, TimeoutError) as error:
                logger.warning("call %s: hang-up failed: %s", self.record.call_id, error)
        await self.end(cause)

    async def _teardown(self) -> None:
        try:
            async with asyncio.timeout(TEARDOWN_MS / 1000):
                for timer in self._timers.values():
                    timer.cancel()
                own = {task for task in self._tasks if task is not asyncio.current_task()}
                stopping = [task for task in own if task.get_name() == "reply"]
                for task in stopping:
                    task.cancel()
                await asyncio.gather(*stopping, return_exceptions=True)
                if self._mouth is not None:
                    self._mouth.close()
                if self.on_close is not None:
                    await self.on_close()
        except TimeoutError:
            self.record.counters.ceilings += 1
            logger.warning("call %s: teardown took over %d ms", self.record.call_id, TEARDOWN_MS)

    def _torn_down(self) -> None:
        if self._line is not None:
            self._line.close()
        self.services.observer.call_ended(self.record)
        self._on_ended(self)
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

    @language.setter
    def language(self, language: str) -> None:
        self.record.language = language

    @property
    def generation(self) -> int:
        """The current utterance of the agent."""
        return self._generation

    @property
    def expectation(self) -> Expectation:
        """What the agent asked for last."""
        if self._expectation is None:
            said = self.recently_said()
            self._expectation = self.services.expectations.of(said) if said else ANYTHING
            self.keypad.expected = self._expectation.digits
        return self._expectation

    def recently_said(self) -> str:
        """The agent's last words: heard or being heard."""
        if self._reply is not None and self._mouth is not None:
            return self._reply.turn.text
        return self._said or self.history.last_heard()

    def switch_language(self, language: str) -> None:
        """Speak and listen in another of the agent's languages."""
        if language != self.record.language and language in self.services.agent.languages:
            self.record.language = language
            self.on_language(language)

    # --- what happened -----------------------------------------------------------------------------

    def voice(self) -> None:
        """The caller began to make a sound."""
        self._do(self.machine.handle(Event.VOICE))

    def barge(self, onset_ms: float) -> None:
        """The caller interrupts, by sound."""
        sounding = self.state is State.SPEAKING
        action = self.machine.handle(Event.BARGE)
        self._do(action)
        if action is Action.PAUSE and sounding:
            self.record.counters.barge_ins += 1
            stop_ms = self.clock.now_ms() - onset_ms
            if self._reply is not None:
                self._reply.record.stages[Stage.BARGE_IN] = stop_ms
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
            self._cancel_reply()
        if action in (Action.REPLY, Action.REPLACE):
            self._state_changed()
            self._answering = self._spawn(self._answer(turn), name="reply")

    def sound(self, generation: int) -> None:
        """The reply's first sound is out."""
        reply = self._reply
        if reply is None or generation != reply.generation:
            return
        self._do(self.machine.handle(Event.SOUND))
        reply.record.answered = True
        reply.record.stages |= reply.marks.stages()
        self.services.observer.turn_ended(self.record, reply.record)

    def heard_out(self, generation: int) -> None:
        """The reply was heard to its end."""
        reply = self._reply
        if reply is None or generation != reply.generation or self.state is State.ENDED:
            return
        outcome = reply.outcome
        self._finish_turn(reply, interrupted=False)
        self._do(self.machine.handle(Event.DONE))
        self._follow(outcome)

    def dtmf(self, digit: str) -> None:
        """A key was pressed: it interrupts, and is collected into a turn."""
        now_ms = self.clock.now_ms()
        digits = self.keypad.press(digit, now_ms)
        if self.keypad.pending and self.state in (State.SPEAKING, State.YIELDED, State.REPLYING):
            self._do(self.machine.handle(Event.WORDS))
        elif self.keypad.pending:
            self._do(self.machine.handle(Event.VOICE))
        self._cancel_timer("keypad")
        if digits is not None:
            self._keyed(digits)
        elif self.keypad.pending:
            self._after("keypad", self.keypad.timeout_ms, self._keypad_paused)

    def bad_message(self, kind: str) -> None:
        """The peer sent nonsense, already dropped."""
        self.record.counters.bad_messages += 1
        kinds = self.record.bad_messages
        if kind in kinds or len(kinds) < 32:
            kinds[kind] = kinds.get(kind, 0) + 1

    def say(self, text: str, *, kind: str, then: Outcome | None = None) -> bool:
        """Say something by ourselves, if it is not the caller's turn. False if it is."""
        action = self.machine.handle(Event.SAY)
        if action is not Action.SPEAK:
            return False
        self._state_changed()
        reply = self._new_reply(TurnMarks(), kind)
        if then is not None:
            reply.outcome = then
        self._answering = self._spawn(self._finished(reply, reply.say(text)), name="reply")
        return True

    def platform_says(self, text: str) -> int:
        """The platform speaks `text` by itself: store it as said. Returns its generation."""
        self.machine.handle(Event.SAY)
        self._state_changed()
        reply = self._new_reply(TurnMarks(), "greeting")
        reply.turn.rounds[-1].text = text
        assert self._mouth is not None
        self._mouth.begin(reply.generation, self.language, reply.marks, reply.record)
        return reply.generation

    def interrupted(self, heard: Heard) -> None:
        """The platform itself stopped the agent: what was heard is known."""
        self.record.counters.barge_ins += 1
        self._said = heard.text
        self.words()

    # --- carrying out ------------------------------------------------------------------------------

    def _do(self, action: Action) -> None:
        if action is Action.NONE:
            self.record.state = self.state.value
            return
        assert self._mouth is not None
        match action:
            case Action.PAUSE:
                self._mouth.pause()
            case Action.RESUME:
                self.record.counters.false_interruptions += 1
                self.record.counters.resumes += 1
                self._mouth.resume()
            case Action.CANCEL:
                self._cancel_reply()
            case Action.DISMISS | Action.REST:
                self._rest()
            case _:
                pass
        self._state_changed()

    def _state_changed(self) -> None:
        """A state lasts only so long (hold music, a dead provider); and nobody rests while one speaks."""
        state = self.state
        self.record.state = state.value
        turns, limits = self.services.agent.turns, self.services.agent.limits
        if state is not State.IDLE:
            self._cancel_timer("idle")
        ceiling_ms = {
            State.HEARING: float(turns.max_turn_ms),
            State.REPLYING: float(REPLYING_MS),
            State.SPEAKING: limits.max_reply_s * 1000.0,
            State.YIELDED: float(YIELDED_MS),
        }.get(state)
        self._cancel_timer("ceiling")
        if ceiling_ms is not None:
            self._after("ceiling", ceiling_ms, self._ceiling)

    def _ceiling(self) -> None:
        """The state has lasted too long: leave it the way that keeps the call going."""
        self.record.counters.ceilings += 1
        match self.state:
            case State.HEARING:
                self.on_long_turn()
            case State.YIELDED:
                self.quiet()
            case State.REPLYING | State.SPEAKING:
                self._cancel_reply()
                self._do(self.machine.handle(Event.DONE))
            case _:
                pass

    on_long_turn: Callable[[], None] = staticmethod(lambda: None)
    """Set by the kind of line: end the caller's turn now."""

    async def _answer(self, turn: CallerTurn) -> None:
        text = (await turn.collect()).strip()
        turn.marks.transcript_ms = self.clock.now_ms()
        turn.taken()
        if not text:
            self._do(self.machine.handle(Event.QUIET))
            if turn.spoke_ms >= SENTENCE_MS and self.state is State.IDLE:
                agent = self.services.agent
                phrase = _localized(agent.phrases.not_understood, self.language, agent.language)
                self.say(phrase, kind="not_understood")
            return
        self.history.caller_said(text)
        self.record.counters.turns += 1
        self._reprompts = 0
        self._expectation = None
        reply = self._new_reply(turn.marks, turn.kind)
        reply.record.caller = text
        reply.record.providers.update(turn.providers or {})
        await self._finished(reply, reply.answer())

    async def _finished(self, reply: Reply, work: Coroutine[Any, Any, None]) -> None:
        """Run a reply; when it made no sound, nothing will tell that it is over."""
        try:
            await work
        finally:
            if not reply.record.answered and reply is self._reply and self.state is State.REPLYING:
                self.record.counters.unanswered += 1
        if not reply.record.answered and reply is self._reply:
            self.heard_out(reply.generation)

    def _new_reply(self, marks: TurnMarks, kind: str) -> Reply:
        assert self._parts is not None
        self._generation += 1
        at_ms = self.clock.now_ms() - self._started_ms
        record = TurnRecord(len(self.record.turns), at_ms, self.language, kind=kind)
        self.record.turns.append(record)
        self._reply = Reply(self._parts, self, self._generation, marks, record)
        self._expectation = None
        return self._reply

    def _cancel_reply(self) -> None:
        if self._answering is not None and not self._answering.done():
            self._answering.cancel()
        self._answering = None
        self._finish_turn(self._reply, interrupted=True)

    def _finish_turn(self, reply: Reply | None, *, interrupted: bool) -> None:
        """The agent's turn is over: history and record keep what was heard."""
        if reply is None or self._mouth is None:
            return
        heard = self._mouth.cancel() if interrupted else self._mouth.heard()
        text = reply.turn.text if heard.complete and not interrupted else heard.text
        self.history.settle(reply.turn, text, interrupted=interrupted)
        reply.record.agent = text
        reply.record.interrupted = interrupted
        self._said = text
        self._reply = None
        self._expectation = None

    def _follow(self, outcome: Outcome) -> None:
        """After a reply was heard: what it wanted to happen next."""
        if outcome.hang_up:
            self._spawn(self.hang_up("agent_hung_up"))
        elif outcome.transfer_to is not None:
            self._spawn(self._transfer(outcome.transfer_to))

    async def _transfer(self, target: str) -> None:
        assert self._line is not None
        try:
            async with asyncio.timeout(10.0):
                await self._line.transfer(target)
        except (LineError, TimeoutError) as error:
            logger.warning("call %s: transfer failed: %s", self.record.call_id, error)
            agent = self.services.agent
            self.say(_localized(agent.phrases.apology, self.language, agent.language), kind="apology")
            return
        await self.end("transferred")

    # --- silence, keys, limits ---------------------------------------------------------------------

    def _rest(self) -> None:
        self._after("idle", self.services.agent.turns.reprompt_ms, self._idle)

    def _idle(self) -> None:
        agent = self.services.agent
        if self._reprompts < agent.turns.max_reprompts:
            self._reprompts += 1
            self.record.counters.reprompts += 1
            self.say(_localized(agent.phrases.reprompt, self.language, agent.language), kind="reprompt")
        else:
            goodbye = _localized(agent.phrases.silence_goodbye, self.language, agent.language)
            self.say(goodbye, kind="goodbye", then=Outcome(hang_up=True))

    def _keypad_paused(self) -> None:
        digits = self.keypad.expire(self.clock.now_ms() + 1.0)
        if digits is not None:
            self._keyed(digits)

    def _keyed(self, digits: str) -> None:
        async def collected() -> str:
            return digits

        marks = TurnMarks(last_voiced_ms=self.clock.now_ms(), endpoint_ms=self.clock.now_ms())
        self.complete(CallerTurn(marks, collected, kind="dtmf"))

    def _time_is_up(self) -> None:
        agent = self.services.agent
        self._cancel_reply()
        self._do(self.machine.handle(Event.DONE))
        if self.state is State.HEARING:
            self._do(self.machine.handle(Event.QUIET))
        text = _localized(agent.phrases.time_goodbye, self.language, agent.language)
        self.say(text, kind="goodbye", then=Outcome(hang_up=True))
        self._after("time limit", GOODBYE_MS, lambda: self._spawn(self.hang_up("time_limit")))

    def _after(self, name: str, delay_ms: float, callback: Callable[[], object]) -> None:
        """One timer per name; a new one replaces the old."""
        self._cancel_timer(name)
        if self.state is not State.ENDED:
            self._timers[name] = self.clock.call_later(delay_ms, callback)

    def _cancel_timer(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str = "call") -> "asyncio.Task[None]":
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("call %s: %s failed", self.record.call_id, task.get_name(), exc_info=error)
            self.end_soon("internal_error")


def _language(agent: AgentFile, wanted: str | None) -> str:
    """The agent's language closest to what the platform names."""
    if wanted:
        for language in agent.languages:
            if language.split("-")[0].casefold() == wanted.split("-")[0].casefold():
                return language
    return agent.language


def _localized(texts: dict[str, str], language: str, fallback: str) -> str:
    return texts.get(language) or texts[fallback]
