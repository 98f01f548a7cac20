"""`parley demo`: a server of its own, one call to it, the transcript and where the time went."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

import uvloop
from rich.console import Console
from rich.table import Table

from agent.clock import LoopClock
from agent.errors import ProviderError
from agent.latency import Stage
from loadtest.callers.errors import CallNotMade
from loadtest.callers.local_server import LocalServer
from loadtest.callers.plan import CallAccount, CallPlan, Line, make_planned_call
from loadtest.callers.side import ServerTurn, server_turns
from loadtest.callers.webhook import Via

DIALOGUE: Sequence[Line] = (
    Line("What are your opening hours?"),
    # Cuts into the opening hours after a second and a half of them.
    Line("How much is a consultation?", barge_in_after_ms=1_500),
    Line("Where are you?"),
    Line("Goodbye"),
)
"""A caller of the example clinic."""
_CALLER_TURNS = ("speech", "dtmf", "")
_STAGES = (
    Stage.RESPONSE,
    Stage.ENDPOINTING,
    Stage.STT_FINAL,
    Stage.LLM_FIRST_SENTENCE,
    Stage.TTS_FIRST_AUDIO,
    Stage.ADDED,
)


class Demo:
    """The command `demo`. No state."""

    help = "start a server, call it, show the conversation and the latency of each part"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--via", choices=[via.value for via in Via], default=Via.TWILIO.value)

    def run(self, args: argparse.Namespace) -> int:
        """Returns 0 only if every turn was answered and the server ended well."""
        console = Console()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                account, server_status = runner.run(_demonstrate(Via(args.via), console))
        except (CallNotMade, ProviderError) as error:
            print(f"parley demo: {error}", file=sys.stderr)
            return 3
        console.print()
        console.print(latency_table(account))
        if server_status != 0:
            print(f"parley demo: the server ended with {server_status}", file=sys.stderr)
        return 0 if not account.result.unanswered and server_status == 0 else 1


async def _demonstrate(via: Via, console: Console) -> tuple[CallAccount, int | None]:
    clock = LoopClock()
    async with LocalServer(clock, os.environ, **server_settings(via)) as server:
        plan = CallPlan(via=via, url=server.url, side_url=server.side_url, lines=DIALOGUE)
        account = await make_planned_call(plan, clock, os.environ, console)
        return account, await server.stop()


def server_settings(via: Via) -> dict[str, str]:
    """What a server has to be told to answer calls that come in this way."""
    return {"PARLEY_TWILIO_MODE": "relay" if via == "twilio-relay" else "media"}


def latency_table(account: CallAccount) -> Table:
    """Milliseconds per turn: at the caller's end, and the stages as the server saw them."""
    table = Table(title="latency per turn (ms)", title_justify="left")
    table.add_column("caller said")
    table.add_column("heard", justify="right")
    table.add_column("barge-in", justify="right")
    for stage in _STAGES:
        table.add_column(stage.value, justify="right")
    turns = [turn for turn in server_turns(account.server) if turn.kind in _CALLER_TURNS]
    for index, turn in enumerate(account.result.turns):
        server = turns[index] if index < len(turns) else None
        table.add_row(turn.said, _ms(turn.response_ms), _ms(turn.barge_in_stop_ms), *_stages(server))
    return table


def _stages(turn: ServerTurn | None) -> list[str]:
    stages = turn.stages if turn is not None else {}
    return [_ms(stages.get(stage.value)) for stage in _STAGES]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value >= 10 or value < 0 else f"{value:.1f}"
