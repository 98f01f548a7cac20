"""Runs a recorded call through the call's own code, on a virtual loop.

The recording's entries are delivered in order at their moments; the code between them runs as it does in a
live call. What it decides is compared with what was decided then.
"""

import asyncio
import itertools
import types
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any

import orjson

from agent.agentfile import AgentFile, caller_phrases
from agent.call import Call
from agent.events import CallEvent
from agent.media import MediaConversation
from agent.records import CallObserver, CallRecord
from agent.replay.lines import TapedMediaLine, TapedTextLine
from agent.replay.stand_ins import (
    Fields,
    ReplayClock,
    ReplayLLM,
    ReplaySTT,
    ReplayTicker,
    ReplayTools,
    ReplayTTS,
    Script,
    replay_line,
)
from agent.replay.tape import Entry, Recording, RecordingError
from agent.replay.taps import TapedLLM, TapedSTT, TapedTools, TapedTTS
from agent.replay.virtual import VirtualLoop
from agent.replay.words import bytes_of, read_error, read_transcript
from agent.services import CallServices
from agent.stored import stored_replies
from agent.text import TextConversation
from agent.turns.endpointing import Endpointer
from agent.turns.expectation import Expectations
from agent.turns.machine import State

OVERDUE_MS = 500.0
"""A timer this late that the recording knows nothing of goes off all the same: another run than the recorded
one. A live loop is never that late (calls are refused from 50 ms of lag on)."""
_FETCHED = frozenset(
    ("stt_opened", "tool_done", "action", "llm", "llm_served", "llm_end", "tts", "tts_served", "tts_end")
)
"""Entries that some task of the call had waited for."""
_SETTLED_S = 1e-3
"""Virtual time after the last entry, in which everything that is ready runs."""


@dataclass(frozen=True, slots=True)
class Playback:
    """What a replay did."""

    record: CallRecord
    decisions: list[dict[str, Any]]
    """What the call did this time, in order."""
    expected: list[dict[str, Any]]
    """What it did when it was recorded."""
    strays: int
    """Entries that found nothing to act on, and timers that the recording does not have."""

    @property
    def first_difference(self) -> int | None:
        """Index of the first decision that is not the same, or is missing; None: all are the same."""
        for index, (now, then) in enumerate(itertools.zip_longest(self.decisions, self.expected)):
            if now != then:
                return index
        return None


class _Sink:
    """Collects decisions. See `agent.replay.tape.Tape`; what reaches the call is known already."""

    def __init__(self) -> None:
        self.decisions: list[dict[str, Any]] = []

    def stimulus(self, kind: str, /, **fields: Any) -> None:
        pass

    def decide(self, do: str, /, **fields: Any) -> None:
        # As it would be read back: tuples are lists there.
        self.decisions.append(orjson.loads(orjson.dumps({"do": do, **fields})))


def play_virtually(recording: Recording) -> Playback:
    """`play` on a loop of its own, as fast as it goes. Raises `RecordingError`."""
    if not recording.entries:
        raise RecordingError("the recording is empty")
    start_s = recording.entries[0].at_ms / 1000
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start_s)) as runner:
        return runner.run(play(recording))


async def play(recording: Recording) -> Playback:
    """Replay on the running `VirtualLoop`, whose time is the recording's. Raises `RecordingError`."""
    if not recording.entries or recording.entries[0].kind != "begin":
        raise RecordingError("the recording does not begin with a call")
    try:
        player = _Player(recording)
        await player.run()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordingError(f"the recording is damaged: {error!r}") from error
    assert player.call is not None
    return Playback(player.call.record, player.sink.decisions, recording.decisions, player.strays)


class _Player:
    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._agent = AgentFile.model_validate(recording.header["agent"])
        self._loop = asyncio.get_running_loop()
        self._clock = ReplayClock(self._loop, float(recording.header["unix_s"]))
        self._ticker = ReplayTicker()
        self._script = Script()
        self._lines = itertools.count(1)
        self._actions = itertools.count(1)
        self._info: Fields = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._fired = frozenset(int(e.fields["n"]) for e in recording.entries if e.kind == "timer")
        self._conversation: Any = None
        self.sink = _Sink()
        self.call: Call | None = None
        self.strays = 0

    async def run(self) -> None:
        """All entries, then the end of the call; that comes in any case."""
        try:
            for entry in self._recording.entries:
                if not entry.joined:
                    await self._until(entry.at_ms)
                self._clock.entry(entry.readings)
                self._deliver(entry)
                if entry.kind in _FETCHED:
                    # Live, whoever had waited went on at once; here it takes an iteration of the loop.
                    await asyncio.sleep(0)
            await asyncio.sleep(_SETTLED_S)
            if self.call is not None and not self.call.done.done():
                self.strays += self._recording.complete
        finally:
            if self.call is not None:
                await self.call.end("recording over")
            await asyncio.gather(*self._tasks)

    async def _until(self, at_ms: float) -> None:
        """Let everything that is ready run, and the time come."""
        for number in self._clock.overdue(at_ms - OVERDUE_MS, self._fired):
            self.strays += 1
            self._clock.fire(number)
        left_s = at_ms / 1000 - self._loop.time()
        if left_s > 0:
            await asyncio.sleep(left_s)
        else:
            # Only a recording made on a virtual loop has two iterations at one moment.
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    def _deliver(self, entry: Entry) -> None:
        fields = entry.fields
        match entry.kind:
            case "begin":
                self._begin(fields)
            case "timer":
                self.strays += not self._clock.fire(int(fields["n"]))
            case "tick":
                self.strays += not self._ticker.beat(float(fields["now"]))
            case "stt" | "stt_failed":
                self._recognised(entry.kind, fields)
            case kind if kind in _FETCHED:
                source = kind[:3] if kind.startswith(("llm", "tts")) else kind
                self._script.put(source, int(fields["n"]), fields)
            case "line":
                self._conversation.replace_line(self._line({**fields}))
            case "end":
                self._end(str(fields["cause"]))
            case kind:
                self._told(kind, fields)

    def _recognised(self, kind: str, fields: Fields) -> None:
        listener = self._script.listeners.get(int(fields["n"]))
        if listener is None:
            self.strays += 1
        elif kind == "stt":
            listener.transcript(read_transcript(fields["transcript"]))
        else:
            listener.stt_failed(read_error(fields["error"]))

    def _told(self, kind: str, fields: Fields) -> None:
        """What the line told its call."""
        call = self._conversation
        tell: dict[str, Callable[[], Any]] = {
            "hear": lambda: call.hear(bytes_of(fields["audio"]), fields["stream_ms"]),
            "marked": lambda: call.marked(fields["name"]),
            "dtmf": lambda: call.dtmf(fields["digit"]),
            "typed": lambda: call.typed(fields["text"]),
            "language": lambda: call.switch_language(fields["language"]),
            "bad_message": lambda: call.bad_message(fields["what"]),
            "hung_up": lambda: self._spawn(call.hung_up(fields["cause"])),
            "lost": lambda: self._spawn(call.lost()),
            "prompt": lambda: call.prompt(fields["text"], final=fields["final"], language=fields["language"]),
            "interrupted": lambda: call.interrupted(fields["heard"], fields["heard_ms"]),
            "played": lambda: call.played(fields["text"]),
            "agent_speaking": lambda: call.agent_speaking(fields["speaking"]),
            "caller_speaking": lambda: call.caller_speaking(fields["speaking"]),
        }
        if kind not in tell:
            raise RecordingError(f"the recording has an entry that is not known: {kind}")
        tell[kind]()

    def _begin(self, fields: Fields) -> None:
        self._info = fields["info"]
        line: Any = self._line(fields)
        services = self._services()
        # Who shows a call to its caller is told by timers of the call: they are to be the same ones.
        listener = _unseen if fields.get("shown") else None
        if fields["line"] == "media":
            self._conversation = MediaConversation(line, services, _nothing, listener)
        else:
            self._conversation = TextConversation(line, services, _nothing, greeted=fields["greeted"])
        self.call = self._conversation.call

    def _line(self, fields: Fields) -> Any:
        inner: Any = replay_line(fields, fields.get("info", self._info), self._script, self._actions)
        if "inbound" in fields:
            return TapedMediaLine(inner, self.sink, self._lines)
        return TapedTextLine(inner, self.sink, self._lines)

    def _services(self) -> CallServices:
        """As the server makes them, with everything outside replaced by the script."""
        agent, script, sink = self._agent, self._script, self.sink
        phrases = {language: caller_phrases(agent, language) for language in agent.languages}
        every = itertools.chain.from_iterable(phrases.values())
        return CallServices(
            agent, self._clock, TapedSTT(ReplaySTT(agent, script), sink),
            TapedLLM(ReplayLLM(agent, script), sink), TapedTTS(ReplayTTS(agent, script), sink),
            TapedTools(ReplayTools(agent, script), sink), self._ticker, Expectations(agent),
            Endpointer(agent.turns, every), phrases, CallObserver(),
            stored_replies(agent, self._clock, {}),
        )  # fmt: skip

    def _end(self, cause: str) -> None:
        """The recorded call was torn down. What the server itself ended is ended here the same way."""
        call = self.call
        if call is None or call.state is State.ENDED:
            return
        if cause == "drained":
            self._spawn(call.hang_up(cause))
        else:
            call.end_soon(cause)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work`, its first step at once: that much of it happened before whatever was ready then."""
        try:
            awaited = work.send(None)
        except StopIteration:
            return
        task = self._loop.create_task(_go_on(work, awaited))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _go_on(work: Coroutine[Any, Any, None], awaited: Any) -> None:
    """The rest of a coroutine that was begun by hand, and waits for `awaited`."""

    @types.coroutine
    def rest() -> Generator[Any, Any, None]:
        yield awaited
        yield from work.__await__()

    await rest()


def _unseen(_: CallEvent) -> None:
    """Nobody is shown a replay."""


def _nothing(_: Call) -> None:
    """A replayed call is in no registry."""
