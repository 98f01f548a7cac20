"""Taps on a call's line: what the call sends, and what the line tells it."""

import itertools
from collections.abc import Awaitable

from agent.audio.formats import AudioFormat
from agent.errors import LineError
from agent.lines import CallInfo, Line, LineCall, MediaCall, MediaLine, TextCall, TextLine
from agent.replay.tape import Tape
from agent.replay.words import text_of, write_error


class _TapedLine:
    """What both kinds of line can do."""

    def __init__(self, line: Line, tape: Tape, numbers: "itertools.count[int]") -> None:
        """`numbers`: shared by all lines of a call, which may be replaced."""
        self._any = line
        self._tape = tape
        self._numbers = numbers

    @property
    def info(self) -> CallInfo:
        return self._any.info

    async def hang_up(self) -> None:
        self._tape.decide("hang_up")
        await self._told(self._any.hang_up())

    async def transfer(self, target: str) -> None:
        self._tape.decide("transfer", target=target)
        await self._told(self._any.transfer(target))

    def send_digits(self, digits: str) -> None:
        self._tape.decide("digits", digits=digits)
        self._any.send_digits(digits)

    def close(self) -> None:
        self._tape.decide("close")
        self._any.close()

    async def _told(self, work: Awaitable[None]) -> None:
        """Await a platform action; its outcome is something that reaches the call."""
        number = next(self._numbers)
        try:
            await work
        except LineError as error:
            self._tape.stimulus("action", n=number, error=write_error(error))
            raise
        self._tape.stimulus("action", n=number)


class TapedMediaLine(_TapedLine):
    """Implements `agent.lines.MediaLine`."""

    def __init__(self, line: MediaLine, tape: Tape, numbers: "itertools.count[int]") -> None:
        super().__init__(line, tape, numbers)
        self._line = line
        # Asked for on every frame, and the same as long as the line lives.
        self.inbound: AudioFormat = line.inbound
        self.outbound: AudioFormat = line.outbound
        self.lead_ms: float = line.lead_ms

    def send(self, audio: bytes) -> None:
        self._tape.decide("send", audio=text_of(audio))
        self._line.send(audio)

    def mark(self, name: str) -> None:
        self._tape.decide("mark", name=name)
        self._line.mark(name)

    def clear(self) -> None:
        self._tape.decide("clear")
        self._line.clear()


class TapedTextLine(_TapedLine):
    """Implements `agent.lines.TextLine`."""

    def __init__(self, line: TextLine, tape: Tape, numbers: "itertools.count[int]") -> None:
        super().__init__(line, tape, numbers)
        self._line = line

    @property
    def reports_played(self) -> bool:
        return self._line.reports_played

    def say(self, text: str, *, last: bool, language: str | None = None) -> None:
        self._tape.decide("say", text=text, last=last, language=language)
        self._line.say(text, last=last, language=language)

    def switch_language(self, language: str) -> None:
        self._tape.decide("language", language=language)
        self._line.switch_language(language)


class _TapedCall:
    """What both kinds of call hear from their line."""

    def __init__(self, call: LineCall, tape: Tape) -> None:
        self._any = call
        self._tape = tape

    def dtmf(self, digit: str) -> None:
        self._tape.stimulus("dtmf", digit=digit)
        self._any.dtmf(digit)

    def typed(self, text: str) -> None:
        self._tape.stimulus("typed", text=text)
        self._any.typed(text)

    def switch_language(self, language: str) -> None:
        self._tape.stimulus("language", language=language)
        self._any.switch_language(language)

    def bad_message(self, kind: str) -> None:
        self._tape.stimulus("bad_message", what=kind)
        self._any.bad_message(kind)

    async def hung_up(self, cause: str) -> None:
        self._tape.stimulus("hung_up", cause=cause)
        await self._any.hung_up(cause)

    async def lost(self) -> None:
        self._tape.stimulus("lost")
        await self._any.lost()


class TapedMediaCall(_TapedCall):
    """Implements `agent.lines.MediaCall`."""

    def __init__(self, call: MediaCall, tape: Tape) -> None:
        super().__init__(call, tape)
        self._call = call

    def hear(self, payload: bytes, timestamp_ms: float) -> None:
        self._tape.stimulus("hear", audio=text_of(payload), stream_ms=timestamp_ms)
        self._call.hear(payload, timestamp_ms)

    def marked(self, name: str) -> None:
        self._tape.stimulus("marked", name=name)
        self._call.marked(name)


class TapedTextCall(_TapedCall):
    """Implements `agent.lines.TextCall`."""

    def __init__(self, call: TextCall, tape: Tape) -> None:
        super().__init__(call, tape)
        self._call = call

    def prompt(self, text: str, *, final: bool, language: str | None = None) -> None:
        self._tape.stimulus("prompt", text=text, final=final, language=language)
        self._call.prompt(text, final=final, language=language)

    def interrupted(self, heard: str, heard_ms: float) -> None:
        self._tape.stimulus("interrupted", heard=heard, heard_ms=heard_ms)
        self._call.interrupted(heard, heard_ms)

    def played(self, text: str) -> None:
        self._tape.stimulus("played", text=text)
        self._call.played(text)

    def agent_speaking(self, speaking: bool) -> None:
        self._tape.stimulus("agent_speaking", speaking=speaking)
        self._call.agent_speaking(speaking)

    def caller_speaking(self, speaking: bool) -> None:
        self._tape.stimulus("caller_speaking", speaking=speaking)
        self._call.caller_speaking(speaking)
