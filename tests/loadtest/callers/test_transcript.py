"""What is printed of a call, and in which order."""

import asyncio
import io
from typing import Any, cast

from rich.console import Console

from loadtest.callers.result import CallerTurn, CallResult
from loadtest.callers.side import SidePort, server_turns
from loadtest.callers.transcript import Transcript


class FakeSide:
    def __init__(self) -> None:
        self.turns: list[dict[str, Any]] = []

    def add(self, caller: str, agent: str, kind: str = "speech", *, interrupted: bool = False) -> None:
        self.turns.append({"caller": caller, "agent": agent, "kind": kind, "interrupted": interrupted})

    async def call(self, _: str) -> dict[str, Any]:
        return {"turns": self.turns}


class Show:
    """A transcript that is printed into memory, event by event."""

    def __init__(self, side: FakeSide | None) -> None:
        self.out = io.StringIO()
        self.transcript = Transcript(Console(file=self.out, width=200), cast("SidePort | None", side))

    async def printed(self) -> list[str]:
        """The lines of the events so far."""
        task = asyncio.create_task(self.transcript.show())
        for _ in range(50):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return self.out.getvalue().splitlines()


async def test_lines_come_in_the_order_in_which_they_were_said_also_through_an_interruption() -> None:
    side = FakeSide()
    show = Show(side)
    side.add("", "Welcome.", "greeting")
    show.transcript.greeted(CallResult("CA1", "twilio", greeting_ms=110.0))
    assert await show.printed() == ["  agent  Welcome.  [greeting after 110 ms]"]

    first = CallerTurn(0, "When are you open?")
    show.transcript.caller_speaks(first)
    assert (await show.printed())[1:] == [" caller  When are you open?"]
    first.answered, first.response_ms = True, 512.4
    show.transcript.agent_answers(first)
    side.add("when are you open", "We are open from eight until", interrupted=True)

    second = CallerTurn(1, "How much is it?", interrupts=True)
    show.transcript.answer_over(first)
    show.transcript.caller_speaks(second)
    # The interrupted answer is not known before it has stopped: nothing is printed yet.
    assert len(await show.printed()) == 2
    side.add("how much is it", "Sixty")
    second.answered, second.response_ms, second.barge_in_stop_ms = True, 430.0, 140.0
    show.transcript.agent_answers(second)
    assert (await show.printed())[2:] == [
        "  agent  We are open from eight until --  [512 ms]",
        " caller  How much is it?  [interrupts, agent silent after 140 ms]",
    ]
    side.turns[-1]["agent"] = "Sixty euros."
    show.transcript.answer_over(second)
    show.transcript.finish()
    await show.transcript.show()
    assert show.out.getvalue().splitlines()[4:] == ["  agent  Sixty euros.  [430 ms]"]


async def test_without_a_side_port_lines_say_what_was_heard() -> None:
    show = Show(None)
    show.transcript.greeted(CallResult("CA1", "twilio"))
    turn = CallerTurn(0, "hello", answered=True, response_ms=-40.0, answer_heard_ms=2345.0)
    unanswered = CallerTurn(1, "hello?")
    for each in (turn, unanswered):
        show.transcript.caller_speaks(each)
        show.transcript.agent_answers(each)
        show.transcript.answer_over(each)
    show.transcript.finish()
    await show.transcript.show()
    assert show.out.getvalue().splitlines() == [
        "  agent  (no greeting heard)",
        " caller  hello",
        "  agent  (audio heard, 2.3 s)  [-40 ms]",
        " caller  hello?",
        "  agent  (no answer)  [unanswered]",
    ]


def test_a_servers_record_is_read_whatever_else_is_in_it() -> None:
    assert server_turns(None) == []
    assert server_turns({"turns": "many"}) == []
    (turn,) = server_turns({"turns": [7, {"agent": None, "stages": {"response": 12, "note": "x"}, "new": 1}]})
    assert (turn.caller, turn.agent, turn.kind, turn.interrupted) == ("", "", "", False)
    assert turn.stages == {"response": 12.0}
