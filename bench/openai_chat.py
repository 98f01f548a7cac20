"""What a streamed chat reply costs: our provider, the SDK's typed stream, and a bare aiohttp client.

    python -m bench.openai_chat [--rounds 8] [--together 10] [--inter-token 6]

The simulator is another process and sends 40 tokens one by one, so that each is a packet of its own, as from
a vendor. The conversation is the example agent's prompt, twelve messages and two tools. CPU time of this
process per reply, all threads; each way in turn, twice; the lower figure counts.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import openai
import orjson
import uvloop

from agent.agentfile import load_agent
from agent.clock import LoopClock
from agent.providers import ChatRequest, Message, ProviderContext, Role, TextDelta, ToolSpec
from loadtest.simulators.openai_chat import TIMINGS, OpenAIChatSimulator
from loadtest.simulators.profile import Profile, Timings
from providers.openai import OpenAIChat
from providers.openai.options import Options
from providers.openai.prompt import Prompt

Way = Callable[[], Awaitable[int]]
"""One reply by one way; gives the number of its pieces."""
FIRST_TOKEN_MS = 20.0


def conversation() -> ChatRequest:
    """A call some turns in."""
    agent = load_agent()
    talk = [
        (
            Message(Role.USER, "what are your opening hours?"),
            Message(Role.ASSISTANT, "We are open from nine."),
        )
        for _ in range(5)
    ]
    schema = {"type": "object", "properties": {"day": {"type": "string"}, "time": {"type": "string"}}}
    return ChatRequest(
        "call",
        (
            Message(Role.SYSTEM, agent.instructions),
            *(message for pair in talk for message in pair),
            Message(Role.USER, "and on saturday?"),
        ),
        "en",
        (ToolSpec("book", "Books an appointment.", schema), ToolSpec("end_call", "Ends the call.", schema)),
    )


def ours(provider: OpenAIChat, request: ChatRequest) -> Way:
    """The provider."""

    async def reply() -> int:
        return len([event async for event in provider.reply(request) if isinstance(event, TextDelta)])

    return reply


def typed(client: openai.AsyncOpenAI, body: dict[str, object]) -> Way:
    """The SDK as its documentation shows it."""

    async def reply() -> int:
        stream = await client.chat.completions.create(**body)  # type: ignore[call-overload]  # ready-made fields
        count = 0
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                count += 1
        return count

    return reply


def bare(session: aiohttp.ClientSession, url: str, body: dict[str, object]) -> Way:
    """No SDK at all: the least that reading the stream from Python costs."""

    async def reply() -> int:
        count = 0
        headers = {"Content-Type": "application/json", "Authorization": "Bearer x"}
        async with session.post(
            f"{url}/chat/completions", data=orjson.dumps(body), headers=headers
        ) as response:
            async for line in response.content:
                if line.startswith(b"data: {"):
                    choices = orjson.loads(line[6:])["choices"]
                    count += bool(choices and choices[0]["delta"].get("content"))
        return count

    return reply


async def cost_ms(way: Way, rounds: int, together: int) -> tuple[float, float]:
    """CPU milliseconds per reply, and pieces per reply."""
    await asyncio.gather(*(way() for _ in range(together)))
    pieces: list[int] = []
    began_s = time.process_time()
    for _ in range(rounds):
        pieces += await asyncio.gather(*(way() for _ in range(together)))
    return 1000 * (time.process_time() - began_s) / (rounds * together), statistics.mean(pieces)


async def compare(args: argparse.Namespace, url: str) -> None:
    """Print one line for each way."""
    options = {"base_url": url, "model": "m", "keep_warm": False}
    request = conversation()
    body = Prompt(load_agent(), Options.read(options, {})).body(request)
    async with AsyncExitStack() as stack:
        provider = OpenAIChat(ProviderContext(load_agent(), LoopClock(), options))
        stack.push_async_callback(provider.close)
        sdk = await stack.enter_async_context(openai.AsyncOpenAI(api_key="x", base_url=url, max_retries=0))
        connector = aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        ways = {
            "parley": ours(provider, request),
            "the SDK's typed stream": typed(sdk, body),
            "bare aiohttp": bare(session, url, body),
        }
        found = {name: [await cost_ms(way, args.rounds, args.together)] for name, way in ways.items()}
        for name, way in ways.items():
            found[name].append(await cost_ms(way, args.rounds, args.together))
    for name, results in found.items():
        print(f"{name:<24} {min(results)[0]:6.2f} ms CPU per reply of {results[0][1]:.0f} tokens")


async def simulate(inter_token_ms: float) -> None:
    """The other process, until its standard input ends."""
    delays = {"first_token": Profile.fixed(FIRST_TOKEN_MS), "inter_token": Profile.fixed(inter_token_ms)}
    async with OpenAIChatSimulator(LoopClock(), timings=Timings({**TIMINGS, **delays})) as simulator:
        print(simulator.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def run(args: argparse.Namespace) -> None:
    """Start the simulator and compare."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.openai_chat", "--simulate", "--inter-token", str(args.inter_token),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        await compare(args, (await process.stdout.readline()).decode().strip())
    finally:
        await process.communicate(b"")


def main() -> None:
    """Run either side."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--together", type=int, default=10)
    parser.add_argument("--inter-token", type=float, default=6.0, metavar="MS")
    parser.add_argument("--simulate", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(simulate(args.inter_token) if args.simulate else run(args))


if __name__ == "__main__":
    main()
