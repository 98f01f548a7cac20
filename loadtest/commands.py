"""`parley call`: a synthetic caller from the command line."""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

import uvloop
from rich.console import Console

from agent.clock import LoopClock
from agent.errors import ConfigError, ProviderError
from loadtest.callers.errors import CallNotMade
from loadtest.callers.media_phone import MediaPhone
from loadtest.callers.plan import CallAccount, CallPlan, Line, make_planned_call
from loadtest.callers.recording import write_call
from loadtest.callers.webhook import Secrets, Via, telnyx_key
from loadtest.demo import DIALOGUE

OK, UNANSWERED, USAGE, NOT_MADE = 0, 1, 2, 3
"""Exit statuses: all turns answered; at least one was not; wrong usage; no call (refused, unreachable)."""


class Call:
    """The command `call`. No state."""

    help = "make a call to a running server, as a phone platform would"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "lines",
            nargs="*",
            metavar="SENTENCE_OR_WAV",
            help="what to say, in turn: sentences, WAV files, or dtmf:123#; without any, the demo's dialogue",
        )
        parser.add_argument("--via", choices=[via.value for via in Via], default=Via.TWILIO.value)
        parser.add_argument("--url", default="http://127.0.0.1:8080", help="public port (%(default)s)")
        parser.add_argument(
            "--side-url",
            default="http://127.0.0.1:9464",
            help="side port, asked for the agent's words (%(default)s)",
        )
        parser.add_argument("--language", default="en-US", help="what the caller speaks (%(default)s)")
        parser.add_argument("--voice", help="espeak-ng voice of the caller, such as en-us+m3")
        parser.add_argument(
            "--barge-in-after",
            type=_not_negative,
            metavar="MS",
            help="each further sentence interrupts the answer before it after so much agent speech",
        )
        parser.add_argument(
            "--timeout",
            type=_not_negative,
            default=10.0,
            metavar="S",
            help="longest wait for an answer to begin (%(default)s)",
        )
        parser.add_argument("--wav", type=Path, metavar="OUT.wav", help="save both sides: caller left")
        parser.add_argument("--json", type=Path, metavar="FILE", help="save all figures")
        parser.add_argument(
            "--auth-token",
            default=os.environ.get("TWILIO_AUTH_TOKEN"),
            help="sign as Twilio with this token (default: $TWILIO_AUTH_TOKEN)",
        )
        parser.add_argument("--telnyx-key", metavar="SEED", help="sign as Telnyx: ed25519 seed, hex, base64")

    def run(self, args: argparse.Namespace) -> int:
        """Make the call. Returns the exit status."""
        try:
            plan = _plan(args)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                account = runner.run(_make(plan))
            _save(args, account)
        except ConfigError as error:
            return _complain(error, USAGE)
        except (CallNotMade, ProviderError) as error:
            return _complain(error, NOT_MADE)
        return report(account)


def report(account: CallAccount) -> int:
    """Say what went wrong, if anything. Returns the exit status of a call that was made."""
    result = account.result
    for problem in result.problems:
        print(f"protocol: {problem}", file=sys.stderr)
    for turn in result.unanswered:
        print(f"unanswered: {turn.said}", file=sys.stderr)
    return UNANSWERED if result.unanswered else OK


def barge_ins(lines: list[str], after_ms: float | None) -> list[Line]:
    """The first line waits for the greeting to end; each further one interrupts, if `after_ms` is given."""
    return [Line(words, after_ms if index else None) for index, words in enumerate(lines)]


def _plan(args: argparse.Namespace) -> CallPlan:
    via = Via(args.via)
    if args.wav is not None and via is Via.TWILIO_RELAY:
        raise ConfigError("--wav: a relay call carries text, there is no sound to save")
    for path in (args.wav, args.json):
        if path is not None and not path.absolute().parent.is_dir():
            raise ConfigError(f"{path}: there is no such folder")
    return CallPlan(
        via=via,
        url=args.url,
        side_url=args.side_url,
        lines=barge_ins(args.lines, args.barge_in_after) if args.lines else DIALOGUE,
        language=args.language,
        voice=args.voice,
        timeout_ms=args.timeout * 1000,
        secrets=Secrets(args.auth_token, telnyx_key(args.telnyx_key) if args.telnyx_key else None),
        side_token=os.environ.get("PARLEY_SIDE_TOKEN"),
    )


async def _make(plan: CallPlan) -> CallAccount:
    return await make_planned_call(plan, LoopClock(), os.environ, Console())


def _save(args: argparse.Namespace, account: CallAccount) -> None:
    phone = account.session.phone
    if args.wav is not None:
        assert isinstance(phone, MediaPhone)
        write_call(args.wav, phone.sent, phone.heard)
    if args.json is not None:
        found = {"call": account.result.as_json(), "server": account.server}
        args.json.write_text(json.dumps(found, indent=2) + "\n")


def _complain(error: Exception, status: int) -> int:
    print(f"parley call: {error}", file=sys.stderr)
    return status


def _not_negative(text: str) -> float:
    number = float(text)
    if not number >= 0:
        raise argparse.ArgumentTypeError("expected 0 or more")
    return number
