"""`parley simulate`: stand-ins of vendors' services, any set of them, from one command."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import uvloop

from agent.agentfile import caller_phrases, load_agent
from agent.agentfile.schema import AgentFile
from agent.clock import Clock, LoopClock
from agent.errors import ConfigError
from loadtest.callers.utterance import utterance
from loadtest.demo import DIALOGUE
from loadtest.simulators.faults import ALL_FAULTS, Fault, Faults
from loadtest.simulators.profile import Timings, preset
from loadtest.speech import embedded_voice

GROUP = "parley.simulators"


class Simulator(Protocol):
    """What every simulator of a vendor has."""

    timings: Timings
    faults: Faults
    url: str

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen. Raises `OSError` if the port is taken."""

    async def stop(self) -> None:
        """Idempotent."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What simulators are made from."""

    agent: AgentFile
    clock: Clock
    environ: Mapping[str, str]
    sentences: Sequence[str] = ()
    """What callers will say besides the agent file's own phrases and the demo's dialogue."""
    short: bool = False
    """Chat answers are always the same 40 tokens instead of the agent's knowledge."""


Build = Callable[[Any, Surroundings], Awaitable[Simulator]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A simulator that can be asked for. `point` is imported only then."""

    point: str
    variable: str
    """The environment variable that points Parley at it; empty if there is none yet."""
    build: Build


async def _plain(factory: Any, around: Surroundings) -> Simulator:
    simulator: Simulator = factory(around.clock)
    return simulator


async def _chat(factory: Any, around: Surroundings) -> Simulator:
    if around.short:
        return await _plain(factory, around)
    knowing = _load("loadtest.simulators.openai_answers:knowing")
    simulator: Simulator = factory(around.clock, knowing(around.agent, around.clock))
    return simulator


async def _recogniser(factory: Any, around: Surroundings) -> Simulator:
    """It understands what it has heard before: every phrase is spoken to it once, in the callers' voice."""
    agent = around.agent
    sentences = dict.fromkeys([
        *(line.words for line in DIALOGUE), *around.sentences, *caller_phrases(agent, agent.language)
    ])  # fmt: skip
    voice = embedded_voice(around.clock, around.environ, language=_dialect(agent.language))
    try:
        known = {text: b"".join(utterance(text, await voice.say(text)).frames) for text in sentences}
    finally:
        await voice.close()
    fingerprints = _load("loadtest.simulators.audio_fingerprint:Fingerprints")
    simulator: Simulator = factory(around.clock, fingerprints(known))
    return simulator


def _dialect(language: str) -> str:
    """What `parley call` speaks unless told otherwise is American English."""
    return "en-US" if language == "en" else language


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "openai": Kind("loadtest.simulators.openai_chat:OpenAIChatSimulator", "OPENAI_BASE_URL", _chat),
        "openai-realtime": Kind("loadtest.simulators.openai_realtime:RealtimeSimulator", "", _plain),
        "deepgram": Kind(
            "loadtest.simulators.deepgram_live:DeepgramLiveSimulator", "DEEPGRAM_BASE_URL", _recogniser
        ),
        "aura": Kind("loadtest.simulators.aura:AuraSimulator", "", _plain),
        "cartesia": Kind("loadtest.simulators.cartesia:CartesiaSimulator", "CARTESIA_BASE_URL", _plain),
    }
)


class Simulate:
    """The command `simulate`. No state."""

    help = "stand in for vendors' services: " + ", ".join(KINDS)

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "services",
            nargs="+",
            type=_service,
            metavar="NAME[:PORT]",
            help=f"one of {', '.join(KINDS)}; without a port a free one is taken",
        )
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
        parser.add_argument(
            "--agent", type=Path, metavar="FILE", help="the agent that is served (the example)"
        )
        parser.add_argument(
            "--sentence", action="append", default=[], metavar="TEXT",
            help="what callers will say, for recognition; the agent file's phrases are known",
        )  # fmt: skip
        parser.add_argument("--short", action="store_true", help="chat answers are always the same 40 tokens")
        parser.add_argument(
            "--delay", action="append", default=[], type=_delay, metavar="SERVICE.DELAY=PRESET",
            help="such as openai.first_token=groq.gpt-oss-120b.first_token",
        )  # fmt: skip
        parser.add_argument("--scale", type=_not_negative, default=1.0, help="multiplies all delays (1)")
        parser.add_argument("--faults", type=_share, default=0.0, metavar="SHARE", help="0 to 1 (0)")
        parser.add_argument(
            "--fault",
            action="append",
            choices=[fault.value for fault in ALL_FAULTS],
            help="which; all unless said",
        )

    def run(self, args: argparse.Namespace) -> int:
        """Until SIGINT or SIGTERM. Returns the exit status."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(simulate(args, LoopClock))
        return 0


async def simulate(args: argparse.Namespace, clock: Callable[[], Clock]) -> None:
    """Start what was asked for, say where, and wait for a signal. Raises `ConfigError`."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    _check(args)
    around = Surroundings(load_agent(args.agent), clock(), os.environ, args.sentence, args.short)
    async with AsyncExitStack() as stack:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
            stack.callback(loop.remove_signal_handler, number)
        for name, port in args.services:
            simulator = await KINDS[name].build(_load(KINDS[name].point), around)
            _adjust(name, simulator, args)
            try:
                await simulator.start(args.host, port)
            except OSError as error:
                raise ConfigError(
                    f"{name}: cannot listen on port {port}: {error.strerror or error}"
                ) from None
            finally:
                stack.push_async_callback(simulator.stop)
            print(_line(name, simulator.url), flush=True)
        print("ready: end with Ctrl-C", file=sys.stderr, flush=True)
        await stop.wait()


def _line(name: str, url: str) -> str:
    """What a shell can evaluate."""
    variable = KINDS[name].variable
    return f"export {variable}={url}  # {name}" if variable else f"# {name}: {url}"


def _check(args: argparse.Namespace) -> None:
    """Raises `ConfigError` for what would be left undone without a word."""
    if args.fault and not args.faults:
        raise ConfigError("--fault says which; add --faults SHARE to say how many requests fail")
    names = [name for name, _ in args.services]
    for service, delay, wanted in args.delay:
        if service not in names:
            raise ConfigError(f"--delay {service}.{delay}={wanted}: {service} is not started")


def _adjust(name: str, simulator: Simulator, args: argparse.Namespace) -> None:
    simulator.timings.scale = args.scale
    if args.faults:
        kinds = [Fault(kind) for kind in args.fault] if args.fault else ALL_FAULTS
        simulator.faults.switch(args.faults, kinds)
    for service, delay, wanted in args.delay:
        if service == name:
            try:
                simulator.timings.set(delay, preset(wanted))
            except ValueError as error:
                raise ConfigError(f"--delay {service}.{delay}={wanted}: {error}") from None


def _load(point: str) -> Any:
    return EntryPoint(point, point, GROUP).load()


def _service(text: str) -> tuple[str, int]:
    name, _, port = text.partition(":")
    if name not in KINDS or (port and not port.isdigit()) or int(port or 0) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r}: use one of {', '.join(KINDS)}, with :PORT if it matters")
    return name, int(port or 0)


def _delay(text: str) -> tuple[str, str, str]:
    place, _, wanted = text.partition("=")
    service, _, delay = place.partition(".")
    if service not in KINDS or not delay or not wanted:
        raise argparse.ArgumentTypeError("expected SERVICE.DELAY=PRESET")
    return service, delay, wanted


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError("expected 0 to 1")
    return share


def _not_negative(text: str) -> float:
    number = float(text)
    if not number >= 0:
        raise argparse.ArgumentTypeError("expected 0 or more")
    return number
