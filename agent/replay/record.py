"""Recording live calls.

`RecordingRegistry` takes the place of `agent.registry.Registry`: calls that the `Recorder` picks are built
with taps around them, all others exactly as before. Off unless an operator names a folder: a recording holds
the voices and words of both sides.
"""

import dataclasses
import itertools
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.admission import Admission, TicketOffice
from agent.call import Call
from agent.clock import Clock
from agent.events import CallListener
from agent.lines import MediaCall, MediaLine, Slot, TextCall, TextLine
from agent.registry import Registry
from agent.replay.lines import TapedMediaCall, TapedMediaLine, TapedTextCall, TapedTextLine
from agent.replay.tape import LiveTape, save_recording
from agent.replay.taps import TapedClock, TapedLLM, TapedSTT, TapedTicker, TapedTools, TapedTTS
from agent.replay.words import write_format, write_info
from agent.services import CallServices

logger = logging.getLogger(__name__)

MAX_RECORDED = 20
"""Calls recorded at once: each holds up to `MAX_TAPE_BYTES`. Further ones are answered unrecorded."""
SUFFIX = ".call.gz"


class Recorder:
    """Which calls are recorded, and where they go. Files are written by a thread of its own."""

    def __init__(self, folder: Path, every: int = 1) -> None:
        """`every`: one call in so many is recorded. Raises `OSError` if the folder cannot be made."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._every = max(every, 1)
        self._seen = 0
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="recordings")
        self._open = 0
        self.skipped = 0
        """Calls not recorded because too many were being recorded."""

    def wanted(self) -> bool:
        """Asked once per call."""
        self._seen += 1
        if (self._seen - 1) % self._every:
            return False
        if self._open >= MAX_RECORDED:
            self.skipped += 1
            return False
        self._open += 1
        return True

    def keep(self, name: str, lines: list[bytes]) -> None:
        """Write a finished tape."""
        self._open -= 1
        self._writer.submit(self._write, self._folder / (name + SUFFIX), lines)

    def dropped(self) -> None:
        """A call that was to be recorded did not begin."""
        self._open -= 1

    def close(self) -> None:
        """Wait until all files are written. Idempotent."""
        self._writer.shutdown()

    def _write(self, path: Path, lines: list[bytes]) -> None:
        try:
            save_recording(path, lines)
        except OSError:
            logger.exception("recording %s could not be written", path)
        else:
            logger.info("recorded %s", path)


@dataclasses.dataclass(slots=True)
class _Taping:
    """One call being recorded."""

    tape: LiveTape
    numbers: "itertools.count[int]"
    media: MediaCall | None = None
    text: TextCall | None = None


class RecordingRegistry(Registry):
    """A registry whose calls can be recorded."""

    def __init__(
        self, services: CallServices, admission: Admission, tickets: TicketOffice, recorder: Recorder
    ) -> None:
        super().__init__(services, admission, tickets)
        self._recorder = recorder
        self._tapings: dict[str, _Taping] = {}

    def answer_media(self, line: MediaLine, slot: Slot, events: CallListener | None = None) -> MediaCall:
        """See `agent.lines.CallHost`."""
        platform_id = line.info.platform_call_id
        taping = self._tapings.get(platform_id)
        if taping is not None and taping.media is not None and self.is_live(platform_id):
            taping.tape.stimulus("line", **_describe_media(line))
            super().answer_media(TapedMediaLine(line, taping.tape, taping.numbers), slot, events)
            return taping.media
        if self.is_live(platform_id) or not self._recorder.wanted():
            return super().answer_media(line, slot, events)
        taping = self._begin(platform_id)
        taping.tape.stimulus(
            "begin", line="media", info=write_info(line.info), shown=events is not None,
            **_describe_media(line),
        )  # fmt: skip
        plain, self._services = self._services, _tapped(self._services, taping.tape)
        try:
            call = super().answer_media(TapedMediaLine(line, taping.tape, taping.numbers), slot, events)
        except BaseException:
            self._forget(platform_id)
            raise
        finally:
            self._services = plain
        taping.media = TapedMediaCall(call, taping.tape)
        return taping.media

    def answer_text(self, line: TextLine, slot: Slot, *, greeted: bool = False) -> TextCall:
        """See `agent.lines.CallHost`."""
        platform_id = line.info.platform_call_id
        taping = self._tapings.get(platform_id)
        if taping is not None and taping.text is not None and self.is_live(platform_id):
            taping.tape.stimulus("line", reports_played=line.reports_played, info=write_info(line.info))
            super().answer_text(TapedTextLine(line, taping.tape, taping.numbers), slot, greeted=greeted)
            return taping.text
        if self.is_live(platform_id) or not self._recorder.wanted():
            return super().answer_text(line, slot, greeted=greeted)
        taping = self._begin(platform_id)
        taping.tape.stimulus(
            "begin", line="text", info=write_info(line.info), reports_played=line.reports_played,
            greeted=greeted,
        )  # fmt: skip
        plain, self._services = self._services, _tapped(self._services, taping.tape)
        try:
            call = super().answer_text(
                TapedTextLine(line, taping.tape, taping.numbers), slot, greeted=greeted
            )
        except BaseException:
            self._forget(platform_id)
            raise
        finally:
            self._services = plain
        taping.text = TapedTextCall(call, taping.tape)
        return taping.text

    async def hang_up(self, platform_call_id: str, cause: str) -> None:
        """See `agent.lines.CallHost`."""
        taping = self._tapings.get(platform_call_id)
        if taping is not None:
            taping.tape.stimulus("hung_up", cause=cause)
        await super().hang_up(platform_call_id, cause)

    def _begin(self, platform_id: str) -> _Taping:
        services = self._services
        header = {"agent": services.agent.model_dump(mode="json"), "unix_s": services.clock.unix_s()}
        taping = self._tapings[platform_id] = _Taping(LiveTape(services.clock, header), itertools.count(1))
        return taping

    def _forget(self, platform_id: str) -> None:
        del self._tapings[platform_id]
        self._recorder.dropped()

    def _ended(self, call: Call) -> None:
        record = call.record
        taping = self._tapings.get(record.info.platform_call_id)
        if taping is not None and _clock_of(call, taping):
            del self._tapings[record.info.platform_call_id]
            taping.tape.stimulus("end", cause=record.cause)
            when = datetime.fromtimestamp(record.started_unix_s, UTC).strftime("%Y%m%d-%H%M%S")
            self._recorder.keep(f"{when}-{record.call_id}", taping.tape.finish())
        super()._ended(call)


def _clock_of(call: Call, taping: _Taping) -> bool:
    """The call that ended is the recorded one, not another of the same platform call id that it replaced."""
    clock = call.services.clock
    return isinstance(clock, TapedClock) and clock.tape is taping.tape


def _describe_media(line: MediaLine) -> dict[str, Any]:
    return {
        "inbound": write_format(line.inbound),
        "outbound": write_format(line.outbound),
        "lead_ms": line.lead_ms,
    }


def _tapped(services: CallServices, tape: LiveTape) -> CallServices:
    """The process's services with taps for one call."""
    clock: Clock = TapedClock(services.clock, tape)
    return dataclasses.replace(
        services,
        clock=clock,
        coarse=None,  # its timers go on the tape, by the clock
        stt=TapedSTT(services.stt, tape),
        llm=TapedLLM(services.llm, tape),
        tts=TapedTTS(services.tts, tape),
        tools=TapedTools(services.tools, tape),
        ticker=TapedTicker(services.ticker, tape),
    )
