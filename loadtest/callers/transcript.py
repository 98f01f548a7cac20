"""Showing a call as it goes: who says what, and how long the answers took.

The caller's lines come from the script. The agent's come from the server's side port or, on a relay, from
its text; where neither is to be had, the line says how much was heard. Printing runs in a task of its own,
so that asking the side port never delays the call.
"""

import asyncio
from dataclasses import dataclass
from enum import Enum

from rich.console import Console
from rich.text import Text

from loadtest.callers.caller import CallObserver
from loadtest.callers.result import CallerTurn, CallResult
from loadtest.callers.side import ServerTurn, SidePort, server_turns

_MAX_EVENTS = 1000
"""Four for each turn: no call comes near."""


class _Kind(Enum):
    GREETED = 1
    SPEAKS = 2
    ANSWERS = 3
    OVER = 4
    DONE = 5


@dataclass(frozen=True, slots=True)
class _Event:
    kind: _Kind
    turn: CallerTurn | None = None
    result: CallResult | None = None


class Transcript(CallObserver):
    """Prints one call. Run `show` in a task, and `finish` after the call."""

    def __init__(self, console: Console, call_side: SidePort | None) -> None:
        self._console = console
        self._side = call_side
        self._events: asyncio.Queue[_Event] = asyncio.Queue(_MAX_EVENTS)
        self._call_id = ""
        self._shown = 0
        """Server turns printed so far."""
        self._over: list[CallerTurn] = []
        """Turns whose answers are still to be printed."""
        self._held: CallerTurn | None = None
        """A turn that cuts into an answer: printed after that answer, which is known once it has stopped."""

    def greeted(self, result: CallResult) -> None:
        self._call_id = result.call_id
        self._events.put_nowait(_Event(_Kind.GREETED, result=result))

    def caller_speaks(self, turn: CallerTurn) -> None:
        self._events.put_nowait(_Event(_Kind.SPEAKS, turn))

    def agent_answers(self, turn: CallerTurn) -> None:
        self._events.put_nowait(_Event(_Kind.ANSWERS, turn))

    def answer_over(self, turn: CallerTurn) -> None:
        self._events.put_nowait(_Event(_Kind.OVER, turn))

    def finish(self) -> None:
        """No more events: `show` returns once all is printed."""
        self._events.put_nowait(_Event(_Kind.DONE))

    async def show(self) -> None:
        """Print events until `finish`."""
        while True:
            event = await self._events.get()
            if event.kind is _Kind.DONE:
                await self._print_answers(in_progress=False)
                return
            await self._show(event)

    async def _show(self, event: _Event) -> None:
        turn = event.turn
        if event.result is not None:
            await self._print_greeting(event.result)
        elif turn is None:
            return
        elif event.kind is _Kind.OVER:
            self._over.append(turn)
        elif event.kind is _Kind.SPEAKS and turn.interrupts:
            self._held = turn
        elif event.kind is _Kind.SPEAKS:
            await self._print_answers(in_progress=False)
            self._print("caller", turn.said)
        elif self._held is turn:
            self._held = None
            await self._print_answers(in_progress=True)
            self._print("caller", turn.said, note=_barge_in_note(turn))

    async def _print_greeting(self, result: CallResult) -> None:
        note = "" if result.greeting_ms is None else f"greeting after {result.greeting_ms:.0f} ms"
        text = result.greeting_text or await self._new_text(in_progress=False)
        if result.greeting_ms is None and not text:
            self._print("agent", "(no greeting heard)")
        else:
            self._print("agent", text or _heard(result.greeting_heard_ms), note=note)

    async def _print_answers(self, *, in_progress: bool) -> None:
        for turn in self._over:
            text = turn.agent_text
            if text is None:
                text = await self._new_text(in_progress=in_progress)
            if turn.response_ms is not None:
                self._print("agent", text or _heard(turn.answer_heard_ms), note=f"{turn.response_ms:.0f} ms")
            elif turn.expects_answer:
                self._print("agent", text or "(no answer)", note="unanswered")
            elif text:
                self._print("agent", text)
        self._over.clear()

    async def _new_text(self, *, in_progress: bool) -> str:
        """What the server's record has of the agent that is not printed yet."""
        if self._side is None:
            return ""
        turns = server_turns(await self._side.call(self._call_id))
        end = len(turns) - 1 if in_progress else len(turns)
        new = turns[self._shown : end]
        self._shown = max(self._shown, end)
        return " ".join(_agent_words(turn) for turn in new if turn.agent)

    def _print(self, who: str, words: str, note: str = "") -> None:
        line = Text()
        line.append(f"{who:>7}  ", style="cyan" if who == "caller" else "green")
        line.append(words)
        if note:
            line.append(f"  [{note}]", style="dim")
        self._console.print(line, soft_wrap=True, highlight=False)


def _agent_words(turn: ServerTurn) -> str:
    return f"{turn.agent} --" if turn.interrupted else turn.agent


def _heard(audible_ms: float) -> str:
    return f"(audio heard, {audible_ms / 1000:.1f} s)"


def _barge_in_note(turn: CallerTurn) -> str:
    if turn.barge_in_stop_ms is None:
        return "interrupts"
    return f"interrupts, agent silent after {turn.barge_in_stop_ms:.0f} ms"
