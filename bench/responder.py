"""What a reply of the embedded responder costs: CPU, and time to its first token.

    python -m bench.responder [ROUNDS]

Asks the example agent everything it can be asked, once with nothing remembered (a sentence heard for the
first time) and once at the end of a long conversation. Times are of one thread with nothing else to do.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from agent.agentfile import AgentFile, load_agent
from agent.clock import LoopClock
from agent.providers import ChatRequest, Message, ProviderContext, Role
from providers.embedded.responder import KnowledgeResponder

TARGET_MS = 1.0
_TURNS = (
    "i need an appointment", "a check up", "are you open on saturday", "tuesday", "at half past ten",
    "five five five", "one two three four", "no wednesday", "yes that's right",
)  # fmt: skip
_LONG = 12
"""Bookings one after the other: some 200 messages, the most that a call remembers."""


class Cost(NamedTuple):
    """Milliseconds."""

    first_token: float
    cpu: float


async def reply(responder: KnowledgeResponder, messages: tuple[Message, ...], language: str) -> Cost:
    """One reply, streamed to its end."""
    began_s, cpu_s = time.perf_counter(), time.process_time()
    first_s: float | None = None
    async for _ in responder.reply(ChatRequest("bench", messages, language)):
        first_s = first_s or time.perf_counter()
    spent_s = time.process_time() - cpu_s
    return Cost(((first_s or time.perf_counter()) - began_s) * 1000, spent_s * 1000)


async def fresh(agent: AgentFile, rounds: int) -> list[Cost]:
    """Each sentence to a responder that never heard it."""
    costs: list[Cost] = []
    for _ in range(rounds):
        responder = _responder(agent)
        for language, text in _questions(agent):
            costs.append(await reply(responder, (Message(Role.USER, text),), language))
    return costs


async def long_conversation(agent: AgentFile, rounds: int) -> list[Cost]:
    """The turns of booking after booking, each with all that went before."""
    costs: list[Cost] = []
    for _ in range(rounds):
        responder = _responder(agent)
        messages: list[Message] = []
        for turn in _TURNS * _LONG:
            messages.append(Message(Role.USER, turn))
            costs.append(await reply(responder, tuple(messages), "en"))
            messages.append(Message(Role.ASSISTANT, "…"))
    return costs


def _responder(agent: AgentFile) -> KnowledgeResponder:
    return KnowledgeResponder(ProviderContext(agent, LoopClock()))


def _questions(agent: AgentFile) -> Iterator[tuple[str, str]]:
    for entry in agent.knowledge:
        for language, asks in entry.ask.items():
            yield from ((language, f"um could you tell me {ask} please") for ask in asks)


def _row(name: str, costs: list[Cost]) -> str:
    first = sorted(cost.first_token for cost in costs)
    cpu = [cost.cpu for cost in costs]
    p95 = first[int(len(first) * 0.95)]
    return (
        f"{name:<28} {len(costs):>6} replies   CPU mean {statistics.fmean(cpu):6.3f} ms   "
        f"first token p50 {first[len(first) // 2]:6.3f} ms  p95 {p95:6.3f} ms  max {first[-1]:6.3f} ms"
    )


async def main(rounds: int) -> int:
    """Print the table. Exit status 1 where the mean CPU is above `TARGET_MS`."""
    agent = load_agent()
    began_s = time.perf_counter()
    _responder(agent)
    ready_ms = (time.perf_counter() - began_s) * 1000
    print(f"made ready in {ready_ms:.1f} ms; target {TARGET_MS} ms of CPU per reply")
    tables = {
        "first time heard": await fresh(agent, rounds),
        "long conversation": await long_conversation(agent, rounds),
    }
    for name, costs in tables.items():
        print(_row(name, costs))
    return int(any(statistics.fmean(cost.cpu for cost in costs) > TARGET_MS for costs in tables.values()))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)))
