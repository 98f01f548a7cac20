"""The agent's replies in one call: begun, run, cut short, settled. One at a time.

Settling is where a reply becomes history: it keeps what the caller has heard of it, by the ledger.
"""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

from agent.budgets import Deadlines
from agent.caller_turn import CallerTurn
from agent.events import AgentHeard, Audience
from agent.history import History
from agent.latency import Stage, TurnMarks
from agent.mouth import Mouth
from agent.records import KEPT_TURNS, CallRecord, TurnRecord
from agent.reply import Reply, ReplyParts, Speaker
from agent.scope import CallScope
from agent.services import CallServices
from agent.turns.expectation import ANYTHING, Expectation

LATE = (Stage.LLM_FIRST_TOKEN, Stage.LLM_FIRST_SENTENCE)
"""What may end after a filler has begun to sound."""
HEARD_MS = 250.0
"""How often a listener is told how far the caller has heard."""


class Replies:
    """What the agent says in one call, whether it answers or speaks by itself."""

    def __init__(
        self,
        services: CallServices,
        record: CallRecord,
        scope: CallScope,
        mouth: Mouth,
        speaker: Speaker,
        audience: Audience,
        deadlines: Deadlines,
    ) -> None:
        self.current: Reply | None = None
        """The reply that is being made or heard."""
        self._last: Reply | None = None
        self.history = History()
        self._services = services
        self._record = record
        self._scope = scope
        self._mouth = mouth
        self._audience = audience
        self._deadlines = deadlines
        self._parts = ReplyParts(
            services.agent, services.llm, services.tools, services.clock, mouth, self.history,
            record.counters, record.info, speaker, audience, deadlines, services.stored,
        )  # fmt: skip
        self._began_ms = services.clock.now_ms()
        self._generation = 0
        self._task: asyncio.Task[None] | None = None
        self._expectation: Expectation | None = None
        self._said = ""

    def new(self, marks: TurnMarks, kind: str) -> Reply:
        """A reply of which nothing is made yet."""
        self._generation += 1
        at_ms = self._services.clock.now_ms() - self._began_ms
        if len(self._record.turns) >= KEPT_TURNS:
            self._let_go()
        record = TurnRecord(self._record.turn_count, at_ms, self._record.language, kind=kind)
        self._record.turns.append(record)
        self._record.turns.pack()
        self.current = Reply(self._parts, self._generation, marks, record)
        self._expectation = None
        return self.current

    def _let_go(self) -> None:
        """A long call's oldest turn makes room; who keeps turns gets it before."""
        call, observer = self._record, self._services.observer
        self._scope.run("observer", lambda: observer.turn_leaves(call, call.turns[0]))
        call.let_go()

    def to(self, turn: CallerTurn, text: str) -> Reply:
        """A reply to what the caller said."""
        self.history.caller_said(text)
        reply = self.new(turn.marks, turn.kind)
        reply.record.caller = text
        reply.record.providers.update(turn.providers or {})
        reply.record.blown.update(turn.blown or {})
        return reply

    def platform_says(self, text: str) -> None:
        """The platform speaks `text`, the greeting, by itself: account for it as said."""
        reply = self.new(TurnMarks(), "greeting")
        reply.turn.rounds[-1].text = text
        self._mouth.begin(reply.generation, self._record.language, reply.marks, reply.record)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what makes a reply, beside the call. Cancelled with the reply."""
        self._task = self._scope.spawn(work, name="reply")

    def cancel(self) -> None:
        """Cut the reply short, here and at the far end; what was heard of it is kept."""
        if self._task is not None and not self._task.done():
            clock = self._services.clock
            began_ms = clock.now_ms()
            self._task.add_done_callback(
                lambda _: self.measured(Stage.SERVER_CANCEL, clock.now_ms() - began_ms)
            )
            self._task.cancel()
        self._task = None
        self.settle(interrupted=True)

    def settle(self, *, interrupted: bool) -> None:
        """The reply is over: history and record keep what was heard of it."""
        reply, self.current = self.current, None
        if reply is None:
            return
        if self._task is not None and self._task.done():
            self._task = None  # until the next reply it would only take room
        self._deadlines.clear()
        heard = self._mouth.cancel() if interrupted else self._mouth.heard()
        text = reply.said if heard.complete and not interrupted else heard.text
        self.history.settle(reply.turn, reply.answer_in(text), interrupted=interrupted)
        self._late_stages(reply)
        reply.record.agent = text
        reply.record.interrupted = interrupted
        self._last = reply
        self._said = text
        self._expectation = None
        self._scope.cancel_timer("heard")
        self._tell_heard(reply, text, done=True)

    def stopped(self, onset_ms: float | None, decided_ms: float) -> None:
        """The caller's voice, first heard at `onset_ms` and decided on later, has now stopped the reply.

        Where the platform heard it, nobody knows how long that took: nothing is recorded.
        """
        if onset_ms is None:
            return
        now_ms = self._services.clock.now_ms()
        if self.current is not None:
            self.current.record.stages[Stage.BARGE_IN] = now_ms - onset_ms
        self._scope.run("observer", lambda: self._services.observer.barge_in(self._record, now_ms - onset_ms))
        self.measured(Stage.INTERRUPTION_DETECTION, decided_ms - onset_ms)
        self.measured(Stage.PLAYBACK_STOP, now_ms - decided_ms)

    def measured(self, stage: Stage, value_ms: float) -> None:
        """A part of a barge-in took so long."""
        record = self._record
        self._scope.run("observer", lambda: self._services.observer.record_stage(record, stage, value_ms))

    def _late_stages(self, reply: Reply) -> None:
        """What the model took where a filler sounded first: without them its figures would flatter it."""
        turn, call, observer = reply.record, self._record, self._services.observer
        if reply.marks.filler_ms is None or not turn.answered:
            return
        known = reply.marks.stages()
        for stage in LATE:
            if stage in known and stage not in turn.stages:
                value_ms = known[stage]
                self._scope.run("observer", partial(observer.stage_late, call, turn, stage, value_ms))
        if LATE[0] in known:
            # Of the sentence the caller waited for no more than the time until the filler.
            turn.stages.setdefault(LATE[0], known[LATE[0]])

    def cut_afterwards(self, text: str) -> None:
        """The last reply, taken for heard to its end, was cut where `text` ends."""
        if self.current is None and self._last is not None:
            self._last.record.agent, self._last.record.interrupted = text, True
            self.history.settle(self._last.turn, self._last.answer_in(text), interrupted=True)
            self._said = text
            self._expectation = None

    def sounded(self) -> None:
        """The current reply can be heard: tell how far, now and then."""
        self._deadlines.end(Stage.RESPONSE)
        if self._audience.listening:
            self._scope.after("heard", HEARD_MS, self._still_heard)

    @property
    def expectation(self) -> Expectation:
        """What the agent asked for last."""
        if self._expectation is not None:
            return self._expectation
        said = self.recently_said()
        expectation = self._services.expectations.of(said) if said else ANYTHING
        if self.current is None:
            # What is still being generated may end in another question.
            self._expectation = expectation
        return expectation

    def recently_said(self) -> str:
        """The agent's last words: heard or being heard."""
        if self.current is not None:
            return self.current.said
        return self._said or self.history.last_heard()

    def _still_heard(self) -> None:
        if self.current is not None:
            self._tell_heard(self.current, self._mouth.heard().text, done=False)
            self.sounded()

    def _tell_heard(self, reply: Reply, text: str, *, done: bool) -> None:
        self._audience.tell(AgentHeard(reply.record.index, text, done, reply.record.interrupted))
