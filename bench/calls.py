"""The spine under load: what a call costs, and how much latency the server adds at 1 and at 200 calls.

    python -m bench.calls [--calls 1,200] [--relay 200] [--seconds 20] [--repeat 3] [--json FILE]

A fresh server for each run, pinned to a core of its own; callers (`loadtest.bulk`) and stub providers
(`loadtest.stubs`, over sockets, in a process of their own) on another. CPU time and memory are what Linux
says, barge-in is measured by the callers, latency turn by turn on the server's audio clock. A run only counts
if the callers kept their own pace (p99 within 5 ms) and all calls were on.

Exit status: 0 all targets reached, 1 one missed, 2 one could not be measured.
"""

import argparse
import asyncio
import dataclasses
import gc
import json
import os
import platform
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from agent.clock import Clock, LoopClock
from bench.startup import start
from loadtest.bulk.account import account_of, read_counters, read_records
from loadtest.bulk.agreement import agreement_of
from loadtest.bulk.dialect import TELNYX, TWILIO
from loadtest.bulk.figures import percentiles
from loadtest.bulk.media_fleet import MediaFleet
from loadtest.bulk.probe import cost, rss_kb
from loadtest.bulk.relay_fleet import RelayFleet
from loadtest.bulk.script import Script
from loadtest.bulk.socket import Target
from loadtest.bulk.speech import SHORT_INTERRUPTION, CallerSpeech, agent_speech, caller_speech
from loadtest.bulk.targets import Outcome, Run, Starts, Verdict, judge
from loadtest.callers.local_server import LocalServer
from loadtest.stubs.process import StubProcess
from loadtest.stubs.script import StubScript

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, CALLERS_CORE = CORES[0], CORES[-1]
OPEN_PER_S = 50.0
SETTLE_S = 3.0
"""After the last call was opened, until measuring begins."""
FEW = 10
"""Up to so many calls the callers are lively and the run is longer: many turns in a short time."""
FEW_LONGER = 1.5
LIVELY = Script(think_ms=(300.0, 600.0), barge_every=1, barge_after_ms=300.0)
STARTS = 3
DIALECTS = {"twilio": (TWILIO,), "telnyx": (TELNYX,), "both": (TWILIO, TELNYX)}
SCRIPT = StubScript()
"""What the stubs are told: their defaults."""
AGENT = """
name: Bench
languages: [en-US]
greeting: Hello, this is the clinic, how can I help you?
instructions: You are the reception of a small clinic.
unknown: I do not know that.
knowledge:
  - id: hours
    ask: [what are your opening hours]
    answer: From eight to six.
turns: {{reprompt_ms: 60000}}
providers:
  stt: [{{provider: stub, {options}}}]
  llm: [{{provider: stub, {options}}}]
  tts: [{{provider: stub, {options}}}]
"""


@dataclass(frozen=True, slots=True)
class Speeches:
    """What is said in all runs, made once."""

    many: CallerSpeech
    few: CallerSpeech
    agent: Path
    """Mu-law, for the stubs."""


class Bench:
    """Makes runs."""

    def __init__(self, clock: Clock, speeches: Speeches, folder: Path, arguments: argparse.Namespace) -> None:
        self._clock = clock
        self._speeches = speeches
        self._folder = folder
        self._arguments = arguments

    async def run(self, kind: str, calls: int) -> Run:
        """Measure one load. `kind` is `media` or `relay`."""
        async with AsyncExitStack() as stack:
            if self._arguments.inprocess:
                options = f'inprocess: true, speech: "{self._speeches.agent}"'
            else:
                stubs = await stack.enter_async_context(StubProcess(speech=self._speeches.agent))
                options = f'address: "{stubs.address}"'
            agent = self._folder / "agent.yaml"
            agent.write_text(AGENT.format(options=options))
            server = LocalServer(
                self._clock, os.environ, PARLEY_AGENT_FILE=str(agent),
                PARLEY_MAX_CALLS=str(calls + 10), PARLEY_MAX_LOOP_LAG_MS="2000", PARLEY_DRAIN_S="1",
                PARLEY_MAX_CORE_PERCENT="off",
            )  # fmt: skip
            # A child keeps the core that its parent was on when it was born.
            _pin(SERVER_CORE)
            try:
                await stack.enter_async_context(server)
            finally:
                _pin(CALLERS_CORE)
            target = Target("127.0.0.1", server.port)
            if kind == "relay":
                return await self._measure(
                    RelayFleet(target, self._clock), server, Run(kind, calls, self._arguments.seconds)
                )
            few = calls <= FEW
            fleet = MediaFleet(
                target,
                self._clock,
                self._speeches.few if few else self._speeches.many,
                DIALECTS[self._arguments.via],
                LIVELY if few else Script(),
            )
            seconds = self._arguments.seconds * (FEW_LONGER if few else 1.0)
            return await self._measure(fleet, server, Run(kind, calls, seconds))

    async def _measure(self, fleet: MediaFleet | RelayFleet, server: LocalServer, run: Run) -> Run:
        clock = self._clock
        idle_kb = rss_kb(server.pid)
        try:
            await fleet.open(run.calls, OPEN_PER_S)
            await clock.sleep(SETTLE_S * 1000)
            counted = await read_counters(server.side_url)
            # The callers' own garbage collection must not make them late.
            gc.collect()
            gc.freeze()
            fleet.measure_from_now()
            before, before_ms, since_unix_s = cost(server.pid), clock.now_ms(), clock.unix_s()
            await clock.sleep(run.seconds * 1000)
            after, passed_ms = cost(server.pid), clock.now_ms() - before_ms
            live = fleet.live
            run.rss_kb = (rss_kb(server.pid) - idle_kb) / max(live, 1)
            run.core_share = (after.cpu_ms - before.cpu_ms) / passed_ms
            run.cpu_ms = run.core_share * 1000 / max(live, 1)
            run.waited = (after.waited_ms - before.waited_ms) / passed_ms
            run.late_ms = fleet.lateness.percentile(0.99)
            run.callers = fleet.figures.summary() | {"live": live, "refused": fleet.refused}
            now = await read_counters(server.side_url)
            run.counters = {name: now[name] - counted[name] for name in now}
            records = await read_records(server.side_url, fleet.call_ids)
        finally:
            fleet.close()
            gc.unfreeze()
        pace_ms = SCRIPT.first_sentence_ms if run.kind == "media" else SCRIPT.first_token_ms
        account = account_of(records, since_unix_s, pace_ms)
        run.response_ms = percentiles(account.response_ms)
        run.added_ms, run.strict_ms = percentiles(account.added_ms), percentiles(account.strict_ms)
        offset_ms = clock.unix_s() * 1000 - clock.now_ms()
        agreement = agreement_of(fleet.figures.answered, records, offset_ms)
        run.agreement_ms, run.unpaired = agreement.summary, agreement.unpaired
        await clock.sleep(500)
        return run


def _pin(core: int) -> None:
    """This process and its later children run there."""
    os.sched_setaffinity(0, {core})


_COLUMNS = (
    f"{'calls':>12} {'turns':>6} {'added p50':>9} {'p95':>6} {'p99':>6} {'own p50':>8} {'p95':>6}"
    f" {'heard p50':>9} {'p95':>6} {'barge p50':>9} {'p95':>6} {'CPU ms':>7} {'core %':>6} {'kB/call':>7}"
    f" {'pace p99':>8} {'wait %':>6}  run"
)
_LEGEND = """Milliseconds. added: response less endpointing and the stubs' pace, sockets and wake-ups in it;
own: the server's own account of its share; heard: voice to voice at the callers; barge: voice to `clear` at
the callers; CPU: per call and second; pace: the callers' own error; wait: the server waited for its core."""


def _line(run: Run) -> str:
    heard, barged = run.callers["voice_to_voice_ms"], run.callers["barge_in_ms"]
    return (
        f"{run.calls:>6} {run.kind:<5} {run.callers['turns']:>6}"
        f" {_ms(run.strict_ms, 'p50'):>9} {_ms(run.strict_ms, 'p95'):>6} {_ms(run.strict_ms, 'p99'):>6}"
        f" {_ms(run.added_ms, 'p50'):>8} {_ms(run.added_ms, 'p95'):>6}"
        f" {_ms(heard, 'p50'):>9} {_ms(heard, 'p95'):>6} {_ms(barged, 'p50'):>9} {_ms(barged, 'p95'):>6}"
        f" {run.cpu_ms:>7.2f} {100 * run.core_share:>6.1f} {run.rss_kb:>7.0f}"
        f" {run.late_ms:>8.1f} {100 * run.waited:>6.1f}  {run.verdict}"
    )


def _ms(figures: dict[str, float], name: str) -> str:
    value = figures.get(name)
    return "-" if value is None else f"{value:.1f}"


def _troubles(run: Run) -> dict[str, float]:
    """What should have been 0, at either end."""
    names = (
        "unanswered",
        "early",
        "stale",
        "gaps",
        "missed_barge_ins",
        "lost_calls",
        "refused",
        "bad_messages",
    )
    found = {f"callers: {name}": run.callers[name] for name in names}
    found |= {f"server: {name}": value for name, value in run.counters.items()}
    return {name: value for name, value in found.items() if value}


def _agreement(run: Run) -> list[str]:
    """How far the two ends' figures for the same turn are apart."""
    return [
        f"{transport}: response time of server and caller apart p50 {apart['p50']} p95 {apart['p95']}"
        f" max {apart['max']} ms, {apart['count']} turns, {run.unpaired} not paired"
        for transport, apart in run.agreement_ms.items()
    ]


async def measure(arguments: argparse.Namespace) -> tuple[list[Run], list[Verdict]]:
    """All runs, printed as they come, and what they mean for the targets."""
    clock = LoopClock()
    starts = await _starts() if arguments.targets else None
    _pin(CALLERS_CORE)
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as name:
        folder = Path(name)
        speeches = Speeches(
            await caller_speech(clock, os.environ),
            await caller_speech(clock, os.environ, interruption=SHORT_INTERRUPTION),
            folder / "agent.ulaw",
        )
        speeches.agent.write_bytes(await agent_speech(clock, os.environ))
        bench = Bench(clock, speeches, folder, arguments)
        print(_LEGEND)
        print(_COLUMNS)
        for kind, counts in (("media", arguments.calls), ("relay", arguments.relay)):
            for calls in counts:
                for _ in range(arguments.repeat):
                    run = await bench.run(kind, calls)
                    runs.append(run)
                    print(_line(run), flush=True)
                    for line in _agreement(run):
                        print(f"{'':>12} {line}", flush=True)
                    if troubles := _troubles(run):
                        print(f"{'':>12} {troubles}", flush=True)
    return runs, judge(runs, starts) if arguments.targets else []


async def _starts() -> Starts:
    """`parley serve` with the example agent, on the server's core."""
    _pin(SERVER_CORE)
    found = [await start() for _ in range(STARTS)]
    return Starts([each.listening_ms for each in found], [each.rss_kb for each in found])


def _report(runs: list[Run], verdicts: list[Verdict]) -> dict[str, Any]:
    """Everything measured, with where and when."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {len(CORES)} cores, Linux {platform.release()}",
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
        "targets": [dataclasses.asdict(each) | {"outcome": each.outcome.value} for each in verdicts],
        "runs": [dataclasses.asdict(run) | {"verdict": run.verdict} for run in runs],
    }


def _counts(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part.strip() and int(part)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=_counts, default=[1, 200], help="media calls (1,200)")
    parser.add_argument("--relay", type=_counts, default=[200], help="relay calls (200; 0 for none)")
    parser.add_argument("--seconds", type=float, default=20.0, help="measured time of each run (20)")
    parser.add_argument(
        "--repeat", type=int, default=1, help="runs of each load; the table has the medians (1)"
    )
    parser.add_argument("--via", choices=sorted(DIALECTS), default="twilio", help="media platform (twilio)")
    parser.add_argument("--inprocess", action="store_true", help="stub providers inside the server")
    parser.add_argument("--no-targets", dest="targets", action="store_false", help="leave out the last table")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    return parser.parse_args()


def main() -> None:
    """The command line."""
    arguments = _arguments()
    if len(CORES) < 2:
        print("one core only: server and callers share it, and no figure is the server's alone")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runs, verdicts = runner.run(measure(arguments))
    if verdicts:
        print()
    for verdict in verdicts:
        print(verdict.line())
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(_report(runs, verdicts), indent=1))
    outcomes = {verdict.outcome for verdict in verdicts}
    sys.exit(1 if Outcome.MISSED in outcomes else 2 if Outcome.UNKNOWN in outcomes else 0)


if __name__ == "__main__":
    main()
