"""The work of answering one turn: the model's text, its tools, and the speech of it.

A reply is one coroutine that can be cancelled at any point: its model request, its synthesis and its tools
go with it. It never touches the line; what it says goes through the call's mouth, under the generation that
the call gave it.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from typing import Protocol

from agent import wording
from agent.agentfile.schema import AgentFile
from agent.budgets import NONE, Deadlines
from agent.chains import LLMChain
from agent.clock import Clock
from agent.errors import ProviderError
from agent.events import AgentWords, Audience, Problem, ToolRun
from agent.history import AgentTurn, History, Round
from agent.latency import CallCounters, Stage, TurnMarks
from agent.lines import CallInfo
from agent.mouth import Mouth
from agent.providers import ChatRequest, LanguageSwitch, LLMEvent, TextDelta, ToolCall
from agent.quicker import QuickerAnswer
from agent.records import TurnRecord
from agent.spoken import find_all
from agent.stored import StoredReplies
from agent.tools import ToolRunner

logger = logging.getLogger(__name__)

STILL_RUNNING = (
    "not known yet: the caller spoke while it was running. Call it again with the same arguments to get its "
    "result; it is not done twice."
)
"""Stands for the result of a tool that outlives its reply. See `agent.tools.ToolRunner.run`."""


@dataclass(slots=True)
class Outcome:
    """What the call has to do once the reply was heard."""

    hang_up: bool = False
    cause: str = "agent_hung_up"
    """Of hanging up, for the record."""
    transfer_to: str | None = None
    apologised: bool = False


class Speaker(Protocol):
    """What a reply knows of its call."""

    @property
    def language(self) -> str:
        """What is spoken now."""

    def switch_language(self, language: str) -> None:
        """The agent goes on in another of its languages."""


@dataclass(frozen=True, slots=True)
class ReplyParts:
    """What the replies of one call are made with."""

    agent: AgentFile
    llm: LLMChain
    tools: ToolRunner
    clock: Clock
    mouth: Mouth
    history: History
    counters: CallCounters
    info: CallInfo
    speaker: Speaker
    audience: Audience
    deadlines: Deadlines
    stored: StoredReplies | None = None


class Reply:
    """One reply. `turn` is its place in the history; the call settles it when the reply was heard or cut."""

    def __init__(self, parts: ReplyParts, generation: int, marks: TurnMarks, record: TurnRecord) -> None:
        self.generation = generation
        self.turn: AgentTurn = parts.history.agent_turn()
        self.outcome = Outcome()
        self.marks = marks
        self.record = record
        self._parts = parts
        self._call = parts.speaker
        self._wrote = False
        self._filler = ""

    @property
    def said(self) -> str:
        """All text so far, with the filler that was said before it."""
        return f"{self._filler} {self.turn.text}".strip()

    def answer_in(self, heard: str) -> str:
        """What was heard of the answer: without the filler, which is nothing to remember."""
        if not self._filler:
            return heard
        ends = find_all(heard, self._filler)
        return heard[ends[0] :].lstrip(" .!?…。！？") if ends else ""

    async def say(self, text: str) -> None:
        """Say a fixed text: greeting, reprompt, goodbye."""
        await self._spoken(lambda: self._write_all(text))

    async def answer(self) -> None:
        """Answer the caller's last turn with the model."""
        marks = self.marks
        since_ms = marks.last_voiced_ms if marks.last_voiced_ms is not None else marks.transcript_ms
        if since_ms is not None:
            self._parts.deadlines.begin(Stage.RESPONSE, since_ms, self.record.blown, lambda _: self._fill())
        await self._spoken(self._generate)

    async def _spoken(self, write: Callable[[], Coroutine[None, None, None]]) -> None:
        """Write the text and speak it side by side; speech failures end both."""
        parts = self._parts
        parts.mouth.begin(self.generation, self._call.language, self.marks, self.record)
        if not parts.mouth.synthesises:
            # Two tasks less: at thousands of text calls they are a tenth of a turn.
            await self._ended_by(write)
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(parts.mouth.speak())
                group.create_task(self._ended_by(write))
        except* ProviderError as errors:
            # Nothing more can be said: what there is is heard out, and the idle timer will try again.
            parts.counters.provider_failures += len(errors.exceptions)
            logger.warning("no speech: %s", errors.exceptions[0])
            parts.audience.tell(Problem("speech synthesis failed"))

    async def _ended_by(self, write: Callable[[], Coroutine[None, None, None]]) -> None:
        try:
            await write()
        finally:
            # Cancelled, this comes late: the mouth may be at the next reply already.
            if self._parts.mouth.generation == self.generation:
                self._parts.mouth.end()

    async def _write_all(self, text: str) -> None:
        self._write(self.turn.rounds[-1], text)

    async def _generate(self) -> None:
        parts = self._parts
        try:
            for _ in range(parts.agent.limits.max_tool_rounds):
                calls = await self._round(self.turn.rounds[-1])
                if not await self._run_tools(calls):
                    break
                self.turn.rounds.append(Round())
        except ProviderError as error:
            parts.counters.provider_failures += 1
            logger.warning("no answer: %s", error)
            parts.audience.tell(Problem("the language model failed"))
            self._apologise()
            return
        if not self._wrote and not self.outcome.hang_up and self.outcome.transfer_to is None:
            self._apologise()

    async def _round(self, part: Round) -> list[ToolCall]:
        """One generation. Returns the tools that it wants."""
        parts = self._parts
        request = ChatRequest(
            parts.info.platform_call_id,
            parts.history.messages(parts.agent.instructions),
            self._call.language,
            parts.tools.specs,
        )
        calls: list[ToolCall] = []
        events = self._ask(request)
        try:
            async for event in events:
                if self.marks.llm_first_token_ms is None:
                    self.marks.llm_first_token_ms = parts.clock.now_ms()
                    parts.deadlines.end(Stage.LLM_FIRST_TOKEN)
                if isinstance(event, TextDelta):
                    self._write(part, event.text)
                elif isinstance(event, LanguageSwitch):
                    self._call.switch_language(event.language)
                    parts.mouth.switch_language(self._call.language)
                else:
                    calls.append(event)
        finally:
            parts.deadlines.end(Stage.LLM_FIRST_TOKEN)
            await events.aclose()
        return calls

    def _ask(self, request: ChatRequest) -> AsyncGenerator[LLMEvent, None]:
        """The model's answer. A turn's first one is timed, and may be overtaken by a quicker one."""
        parts = self._parts
        if self.marks.llm_asked_ms is not None:
            return parts.llm.reply(request, self._served)
        now_ms = self.marks.llm_asked_ms = parts.clock.now_ms()
        begin, stage = parts.deadlines.begin, Stage.LLM_FIRST_TOKEN
        action = parts.deadlines.action(stage)
        if action in (NONE, "filler"):
            begin(stage, now_ms, self.record.blown, lambda _: self._fill())
            return parts.llm.reply(request, self._served)
        race = QuickerAnswer(parts.llm, parts.stored, request, self._served)
        begin(stage, now_ms, self.record.blown, race.overtake)
        return race.items()

    def _fill(self) -> bool:
        """Say that it takes a moment: once a turn, and only into silence."""
        parts = self._parts
        phrase = wording.filler(parts.agent, self._call.language, self.record.index)
        if self._filler:
            return False
        # Before it is said: on a text line it sounds at once.
        self._filler, self.marks.filler_ms = phrase, parts.clock.now_ms()
        if not parts.mouth.fill(phrase):
            self._filler, self.marks.filler_ms = "", None
            return False
        self._tell()
        return True

    async def _run_tools(self, calls: list[ToolCall]) -> bool:
        """Run them in the order asked. True if the model should go on with the results."""
        parts = self._parts
        part = self.turn.rounds[-1]
        go_on = False
        for call in calls:
            self.record.tools.append(call.name)
            part.tool_calls.append(call)
            parts.audience.tell(ToolRun(self.record.index, call.name))
            if parts.tools.ends_call(call.name):
                self._say_if_silent("goodbye")
                self.outcome.hang_up = True
                part.results[call.id] = "ok: the call ends when this was heard"
            elif parts.tools.transfers(call.name):
                self._say_if_silent("transferring")
                self.outcome.transfer_to = parts.tools.transfer_target(call)
                part.results[call.id] = "ok: the caller is handed over when this was heard"
            else:
                # Stands if the caller interrupts: a model must see a result of every tool that it called.
                part.results[call.id] = STILL_RUNNING
                part.results[call.id] = await parts.tools.run(call, parts.info)
                go_on = True
        return go_on and not self.outcome.hang_up and self.outcome.transfer_to is None

    def _write(self, part: Round, text: str) -> None:
        part.text += text
        if text.strip():
            self._wrote = True
        self._parts.mouth.write(text)
        self._tell()

    def _tell(self) -> None:
        if self._parts.audience.listening:
            self._parts.audience.tell(AgentWords(self.record.index, self.said, self.record.kind))

    def _say_if_silent(self, phrase: str) -> None:
        if not self._wrote:
            self._write(self.turn.rounds[-1], self._phrase(phrase))

    def _apologise(self) -> None:
        self.outcome.apologised = True
        self._parts.counters.apologies += 1
        self.record.kind = "apology"
        self._write(self.turn.rounds[-1], " " + self._phrase("apology"))

    def _phrase(self, name: str) -> str:
        return wording.phrase(self._parts.agent, name, self._call.language)

    def _served(self, name: str) -> None:
        self.record.providers["llm"] = name
