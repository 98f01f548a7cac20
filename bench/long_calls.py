"""What relay calls remember: memory of calls with many turns, without their sockets.

    python -m bench.long_calls [--calls 100] [--json FILE]

Text calls on virtual time, each with turns of 41 words on either side: the growth of `VmRSS` per call when
all have had few turns, and when each record is full. What stays of a turn beside its words is the difference,
less the characters of both sides (ASCII: a byte each).
"""

import asyncio
import dataclasses
import gc
import os
import sys
from collections.abc import AsyncIterator

from agent.chains import LLMChain
from agent.dashboard import Timelines
from agent.metrics import LatencyBook
from agent.observers import Observers
from agent.providers import ChatRequest, LLMEvent, TextDelta
from agent.records import KEPT_TURNS
from agent.text import TextConversation
from agent.turns.machine import State
from bench.figures import Figure, conclude, parser
from loadtest.bulk.probe import rss_kb
from tests.agent.scripted import Relay, Scripted
from tests.agent.stage import Stage
from tests.virtual import run_virtually

FEW = 4
WORDS = (
    "the clinic opens at eight in the morning and closes at six in the evening from monday to friday but on "
    "a saturday we see people only between nine and noon so please do come early if you possibly can"
)
LOOK_MS = 1_000.0
TURN_BYTES = 1_000.0
"""The budget of a turn that is over, beside its words."""


class _Model(Scripted):
    """Says the same in pieces of five words, with a number, so that no two answers share a string."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    async def reply(self, request: ChatRequest) -> AsyncIterator[LLMEvent]:
        self._count += 1
        words = [str(self._count), *WORDS.split()]
        for at in range(0, len(words), 5):
            yield TextDelta(" ".join(words[at : at + 5]) + " ")


class _Line(Relay):
    """Remembers nothing of what was said."""

    def say(self, text: str, *, last: bool, language: str | None = None) -> None: ...


class _Calls:
    """Many text calls on one process."""

    def __init__(self) -> None:
        stage = Stage()
        observers = Observers([LatencyBook(stage.agent.languages, stage.clock), Timelines(stage.clock)])
        model = LLMChain([_Model()], stage.agent.limits)
        self._stage = stage
        self._services = dataclasses.replace(stage.services, llm=model, observer=observers)
        self._calls: list[TextConversation] = []
        self._said = 0

    def add(self, count: int) -> None:
        for _ in range(count):
            self._calls.append(TextConversation(_Line(), self._services, lambda _: None, greeted=True))

    async def talk(self, turns: int) -> None:
        """So many turns in each call, each heard to its end."""
        for _ in range(turns):
            await self._silence()
            for call in self._calls:
                self._said += 1
                call.prompt(f"{self._said} {WORDS}", final=True)
            await self._stage.clock.sleep(LOOK_MS)
        await self._silence()

    async def _silence(self) -> None:
        while any(call.call.state is not State.IDLE for call in self._calls):
            await self._stage.clock.sleep(LOOK_MS)

    def words(self) -> float:
        """Characters of a call's kept turns."""
        turns = [turn for call in self._calls for turn in call.call.record.turns]
        return sum(len(turn.caller) + len(turn.agent) for turn in turns) / len(turns)

    async def end(self) -> None:
        await asyncio.gather(*(call.call.hung_up("caller_hung_up") for call in self._calls))
        self._stage.ticker.close()


async def _measure(count: int) -> list[Figure]:
    warm, calls = _Calls(), _Calls()
    warm.add(10)
    await warm.talk(FEW)
    gc.collect()
    begin_kb = rss_kb(os.getpid())
    calls.add(count)
    await calls.talk(FEW)
    gc.collect()
    few_kb = rss_kb(os.getpid())
    # The greeting is a turn as well.
    await calls.talk(KEPT_TURNS - 1 - FEW)
    gc.collect()
    full_kb = rss_kb(os.getpid())
    turn_bytes = (full_kb - few_kb) * 1_024 / count / (KEPT_TURNS - 1 - FEW)
    found = [
        Figure(f"RSS of a text call after {FEW} turns", (few_kb - begin_kb) / count, "kB", 40.0),
        Figure(f"RSS of a text call after {KEPT_TURNS} turns", (full_kb - begin_kb) / count, "kB", 100.0),
        Figure("a turn that is over, beside its words", turn_bytes - calls.words(), "bytes", TURN_BYTES),
    ]
    await asyncio.gather(warm.end(), calls.end())
    return found


def main() -> int:
    """Exit status: 0 all targets reached, 1 one missed."""
    arguments = parser(__doc__, "text calls").parse_args()
    return conclude(run_virtually(lambda: _measure(arguments.calls)), arguments.json)


if __name__ == "__main__":
    sys.exit(main())
