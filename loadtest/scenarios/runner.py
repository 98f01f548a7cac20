"""Runs a scenario: server and services up, callers on, steps measured, criteria judged."""

import asyncio
import contextlib
import dataclasses
import os
import platform
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.audio.formats import PCMA_8K, PCMU_8K, AudioFormat, linear
from agent.clock import Clock
from agent.errors import ConfigError
from loadtest.bulk.dialect import TELNYX, TWILIO, Dialect
from loadtest.bulk.figures import percentile
from loadtest.bulk.fleet import Fleet
from loadtest.bulk.media_fleet import MediaFleet
from loadtest.bulk.relay_fleet import RelayFleet
from loadtest.bulk.script import Script
from loadtest.bulk.speech import CallerSpeech, agent_speech, speak
from loadtest.bulk.webrtc_codec import OPUS, PCMA, PCMU
from loadtest.bulk.webrtc_fleet import WebRtcFleet
from loadtest.callers.errors import Unreachable
from loadtest.scenarios.criteria import judge
from loadtest.scenarios.measure import Measurer
from loadtest.scenarios.monitor import Monitor
from loadtest.scenarios.open_files import make_room
from loadtest.scenarios.progress import Progress
from loadtest.scenarios.result import Result, StepResult
from loadtest.scenarios.schema import Callers, Scenario, Search, Step
from loadtest.scenarios.search import Bisection
from loadtest.scenarios.server import OwnServer, RemoteServer, Server
from loadtest.scenarios.services import Services, make_services
from loadtest.scenarios.stop import Stop, Stopped
from loadtest.scenarios.trouble import recoveries, scaled

_CODECS = {"PCMU": PCMU_8K, "PCMA": PCMA_8K, "L16": linear(16_000)}
_BROWSER_CODECS = {"": OPUS, "opus": OPUS, "PCMU": PCMU, "PCMA": PCMA}
_LEAST_S = 3.0
"""A step that is scaled down further has no turns to speak of."""
_REFERENCE_TIMES = 3.0
"""One call has few turns: it is measured for so many times as long as the loads that it is held against."""
_HELD_ERRORS = 0.01
_HELD_LIVE = 0.99


@dataclass(frozen=True, slots=True)
class Options:
    """From the command line."""

    scale: float = 1.0
    """Multiplies durations."""
    max_calls: int | None = None
    """No step has more."""
    target: str = ""
    """`http://host:port` or `https://host:port` of a server that is there already."""
    side_url: str = ""
    """Its side port."""


class Runner:
    """One run. `run` it once."""

    def __init__(
        self,
        scenario: Scenario,
        options: Options,
        clock: Clock,
        environ: Mapping[str, str],
        progress: Progress,
    ) -> None:
        """Raises `ConfigError` for options that do not fit the scenario."""
        if options.target and scenario.needs_own_server:
            raise ConfigError(f"{scenario.name} does things to its server and services: leave --target out")
        self.stop = Stop(clock)
        self._scenario = scenario
        self._options = options
        self._clock = clock
        self._environ = environ
        self._progress = progress

    async def run(self) -> Result:
        """What was measured, whatever happened.

        Raises `ConfigError` for a load that this system does not allow; else only what is a mistake of ours.
        """
        make_room(max(self._loads()), relay=self._scenario.callers.relay)
        result = Result(
            self._scenario.model_dump(mode="json"),
            datetime.fromtimestamp(self._clock.unix_s(), UTC).isoformat(timespec="seconds"),
            machine(),
            self._options.scale,
            self._options.target,
        )
        try:
            async with _own_core() as server_core, self._server(server_core) as (server, services):
                await self._load(server, services, result)
        except (Unreachable, OSError) as error:
            result.ended = str(error)
        except Stopped:
            result.ended = self.stop.reason
        recoveries(result.events, result.timeline)
        result.verdicts = [
            dataclasses.asdict(verdict) | {"outcome": verdict.outcome.value}
            for verdict in judge(result, self._scenario.limits)
        ]
        return result

    @asynccontextmanager
    async def _server(self, core: int | None) -> AsyncIterator[tuple[Server, Services | None]]:
        options, callers = self._options, self._scenario.callers
        if options.target:
            token = self._environ.get("PARLEY_SIDE_TOKEN")
            yield RemoteServer(options.target, options.side_url, token), None
            return
        self._progress.say("starting the server and its services")
        with tempfile.TemporaryDirectory(prefix="parley-load-") as folder:
            speech = Path(folder) / "agent.ulaw"
            speech.write_bytes(await agent_speech(self._clock, self._environ))
            services = await make_services(self._scenario.providers, self._clock, speech)
            codec = next((_codec(via) for via in callers.via if via.startswith("telnyx")), "")
            server = OwnServer(
                services,
                self._clock,
                self._environ,
                max(self._loads()),
                codec,
                refuses=self._scenario.refuses,
            )
            try:
                await self._unless_stopped(server.start(core))
                yield server, services
            finally:
                await server.stop()

    async def _unless_stopped(self, work: Any) -> None:
        await self.stop.run(work)

    async def _load(self, server: Server, services: Services | None, result: Result) -> None:
        fleet = await self._fleet(server, services)
        steps = self.steps
        lasts = [max(step.seconds * self._options.scale, _LEAST_S) for step in steps]
        events, in_all_s = scaled(
            self._scenario.events, sum(step.seconds for step in self._scenario.steps), self._options.scale
        )
        if events:
            lasts[-1] += max(in_all_s - sum(lasts), 0.0)
        monitor = Monitor(self._clock, fleet, server, self.stop, self._progress, events)
        pace_ms = services.pace_ms if services is not None and not self._scenario.callers.relay else None
        measurer = Measurer(self._clock, fleet, server, self.stop, monitor, pace_ms)
        watching = asyncio.get_running_loop().create_task(monitor.run(), name="watches the run")
        try:
            if self._scenario.search is not None:
                await self._search(self._scenario.search, measurer, result)
            else:
                for step, seconds in zip(steps, lasts, strict=True):
                    await self._step(step, seconds, measurer, result)
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            fleet.close()
            await fleet.gone()
            result.timeline, result.events = monitor.timeline.points, monitor.events
            await self._clock.sleep(200)

    async def _step(self, step: Step, seconds: float, measurer: Measurer, result: Result) -> StepResult:
        calls = step.calls
        name = f"{calls} call{'s' * (calls > 1)}"
        self._progress.say(f"{name}, {seconds:g} s")
        measured = await measurer.step(step, name, seconds)
        result.steps.append(measured)
        for bottleneck in measured.bottlenecks:
            self._progress.say(f"INVALID: {bottleneck}")
        if self.stop.reason:
            raise Stopped(self.stop.reason)
        return measured

    async def _search(self, search: Search, measurer: Measurer, result: Result) -> None:
        async def measured_at(calls: int, times: float = 1.0) -> StepResult:
            step = Step(
                calls=calls,
                seconds=search.seconds * times,
                open_per_s=search.open_per_s,
                settle_s=search.settle_s,
            )
            seconds = max(step.seconds * self._options.scale, _LEAST_S)
            return await self._step(step, seconds, measurer, result)

        one = await measured_at(1, _REFERENCE_TIMES)
        if not one.valid or not one.samples["voice_to_voice_ms"]:
            result.capacity_note = "one call could not be measured, so there is nothing to compare with"
            return
        limit_ms = percentile(one.samples["voice_to_voice_ms"], 0.95) * (1 + search.slip_percent / 100)
        bisection = Bisection(search.model_copy(update={"at_most": self._capped(search.at_most)}))
        while (calls := bisection.next) is not None:
            measured = await measured_at(calls)
            if not measured.valid:
                result.capacity_note = f"beyond {bisection.held} calls the callers were the bottleneck"
                bisection.give_up()
                break
            p95_ms = percentile(measured.samples["voice_to_voice_ms"], 0.95)
            held = (
                p95_ms <= limit_ms
                and measured.failures <= _HELD_ERRORS * max(measured.callers["turns"], 1)
                and measured.callers["wrong_answers"] <= _HELD_ERRORS * max(measured.callers["turns"], 1)
                and measured.live >= _HELD_LIVE * calls
            )
            self._progress.say(
                f"p95 {p95_ms:.0f} ms, limit {limit_ms:.0f} ms: {'held' if held else 'not held'}"
            )
            bisection.tried(calls, held)
            result.capacity = bisection.held
        if bisection.failed is None and not result.capacity_note:
            result.capacity_note = "the search ended before a load was not held"

    async def _fleet(self, server: Server, services: Services | None) -> Fleet:
        callers = self._scenario.callers
        if callers.relay:
            return RelayFleet(
                server.target,
                self._clock,
                callers.turn_ms,
                reply=services.reply_text if services is not None else "",
                script=script_of(callers),
                redial_ms=callers.redial_ms,
            )
        spoken = await speak(self._clock, self._environ)
        if services is not None:
            spoken = dataclasses.replace(spoken, greetings=services.greetings, replies=services.replies)
        if callers.webrtc:
            codec = _BROWSER_CODECS[callers.via[0].partition("/")[2]]
            speech_of = codec.speech(spoken)
            script = script_of(callers)
            return WebRtcFleet(server.target, self._clock, speech_of, script, callers.redial_ms, codec)
        dialects = tuple(_dialect(via) for via in callers.via)
        speech: dict[tuple[AudioFormat, AudioFormat], CallerSpeech] = {
            (dialect.to_server, dialect.from_server): spoken.on(dialect.to_server, dialect.from_server)
            for dialect in dialects
        }
        return MediaFleet(server.target, self._clock, speech, dialects, script_of(callers), callers.redial_ms)

    def _capped(self, calls: int) -> int:
        return min(calls, self._options.max_calls or calls)

    @property
    def steps(self) -> list[Step]:
        """With no more calls than `max_calls`; several in a row that become alike by it are one."""
        found: list[Step] = []
        for step in self._scenario.steps:
            capped = step.model_copy(update={"calls": self._capped(step.calls)})
            if found and capped.calls < step.calls and found[-1].calls == capped.calls:
                continue
            found.append(capped)
        return found

    def _loads(self) -> list[int]:
        search = self._scenario.search
        wanted = [search.at_most] if search is not None else [step.calls for step in self._scenario.steps]
        return [self._capped(calls) for calls in wanted]


def script_of(callers: Callers) -> Script:
    """What the callers of a scenario do."""
    names = {field.name for field in dataclasses.fields(Script)} - {"think_ms"}
    values = {name: getattr(callers, name) for name in names}
    return Script(think_ms=(callers.think_ms[0], callers.think_ms[1]), **values)


def machine() -> dict[str, Any]:
    """Where a run was made: figures from different ones cannot be compared."""
    return {
        "processor": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": [round(each, 2) for each in os.getloadavg()],
    }


@asynccontextmanager
async def _own_core() -> AsyncIterator[int | None]:
    """Moves the callers to the last core, so that the first can be the server's. None on a single one."""
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        yield None
        return
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield min(cores)
    finally:
        os.sched_setaffinity(0, cores)


def _codec(via: str) -> str:
    return via.partition("/")[2] or "PCMU"


def _dialect(via: str) -> Dialect:
    if not via.startswith("telnyx"):
        return TWILIO
    audio = _CODECS[_codec(via)]
    return TELNYX.speaking(audio, audio)
