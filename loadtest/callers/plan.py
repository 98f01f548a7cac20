"""A call as it is asked for on a command line, made and shown."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from agent.clock import Clock
from agent.errors import ConfigError
from loadtest.callers.recording import read_speech
from loadtest.callers.result import CallResult
from loadtest.callers.session import Session, make_call
from loadtest.callers.side import SidePort
from loadtest.callers.transcript import Transcript
from loadtest.callers.utterance import Press, Say, Step, Utterance, utterance
from loadtest.callers.webhook import Exchange, Secrets, Via
from loadtest.speech import embedded_voice

KEYS_PREFIX = "dtmf:"
_KEYS = set("0123456789*#ABCD")


@dataclass(frozen=True, slots=True)
class Line:
    """One thing for the caller to say: a sentence, the path of a WAV file, or `dtmf:` and keys."""

    words: str
    barge_in_after_ms: float | None = None
    """Say it after so much of the answer before it, instead of after its end."""


@dataclass(frozen=True, slots=True)
class CallPlan:
    """All that a call needs to know."""

    via: Via
    url: str
    side_url: str
    lines: Sequence[Line]
    language: str = "en-US"
    voice: str | None = None
    timeout_ms: float = 10_000.0
    secrets: Secrets = field(default_factory=Secrets)
    side_token: str | None = None


@dataclass(frozen=True, slots=True)
class CallAccount:
    """A call from both ends."""

    session: Session
    server: dict[str, Any] | None
    """The side port's record of the call, None if it could not be read."""
    latency: dict[str, Any] | None
    """The side port's `/latency`."""

    @property
    def result(self) -> CallResult:
        return self.session.result


async def make_planned_call(
    plan: CallPlan, clock: Clock, environ: Mapping[str, str], console: Console
) -> CallAccount:
    """Make the call and print its transcript as it goes.

    Raises `ConfigError` for a line that cannot be said, `CallNotMade` where there was no call, and
    `ProviderError` where the caller's own speech could not be made.
    """
    script = await _script(plan, clock, environ)
    side = SidePort(plan.side_url, plan.side_token)
    exchange = Exchange(plan.via, plan.url, clock, plan.secrets)
    transcript = Transcript(console, side)
    shown = asyncio.create_task(transcript.show())
    try:
        session = await make_call(exchange, script, clock, timeout_ms=plan.timeout_ms, observer=transcript)
        transcript.finish()
        await shown
        call_id = session.result.call_id
        return CallAccount(session, await side.call(call_id), await side.latency())
    finally:
        shown.cancel()
        await asyncio.gather(shown, return_exceptions=True)
        await exchange.close()
        await side.close()


async def _script(plan: CallPlan, clock: Clock, environ: Mapping[str, str]) -> list[Step]:
    if plan.via is Via.TWILIO_RELAY:
        return [_relay_step(line) for line in plan.lines]
    spoken = [line for line in plan.lines if not _is_wav(line) and _keys(line) is None]
    if not spoken:
        return [_media_step(line, b"") for line in plan.lines]
    voice = embedded_voice(clock, environ, language=plan.language, voice=plan.voice)
    try:
        speech = {line.words: await voice.say(line.words) for line in spoken}
    finally:
        await voice.close()
    return [_media_step(line, speech.get(line.words, b"")) for line in plan.lines]


def _media_step(line: Line, speech: bytes) -> Step:
    keys = _keys(line)
    if keys is not None:
        return keys
    try:
        if _is_wav(line):
            path = Path(line.words)
            return Say(utterance(path.name, read_speech(path)), line.barge_in_after_ms)
        return Say(utterance(line.words, speech), line.barge_in_after_ms)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from None


def _relay_step(line: Line) -> Step:
    if _is_wav(line):
        raise ConfigError(f"{line.words}: a relay call carries text, so give it a sentence")
    return _keys(line) or Say(Utterance(line.words), line.barge_in_after_ms)


def _keys(line: Line) -> Press | None:
    if not line.words.startswith(KEYS_PREFIX):
        return None
    digits = line.words.removeprefix(KEYS_PREFIX).upper()
    if not digits or not set(digits) <= _KEYS:
        raise ConfigError(f"{line.words}: keys are 0-9 * # A-D")
    return Press(digits)


def _is_wav(line: Line) -> bool:
    return line.words.lower().endswith(".wav")
