"""`parley replay FILE`: a recorded call again, through today's code."""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from agent.agentfile import load_agent
from agent.latency import Stage
from agent.replay.player import Playback, play_virtually
from agent.replay.tape import Recording, load_recording

SAME, DIFFERENT = 0, 1
"""Exit statuses; 2 is a file that cannot be replayed."""
_SHOWN = 60
"""Characters of an argument that are shown."""


class Replay:
    """The command `replay`. No state."""

    help = "replay a recorded call and compare what the agent does with what it did"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("file", type=Path, metavar="FILE", help="a recording (see PARLEY_RECORD_DIR)")
        parser.add_argument(
            "--agent",
            type=Path,
            metavar="FILE",
            help="replay with this agent file: what would the call have been with other settings?",
        )
        parser.add_argument("--decisions", action="store_true", help="list everything that the agent did")
        parser.add_argument("--json", type=Path, metavar="FILE", help="save turns and the comparison")

    def run(self, args: argparse.Namespace) -> int:
        """Replay. Returns the exit status."""
        recording = load_recording(args.file)
        if args.agent is not None:
            recording.header["agent"] = load_agent(args.agent).model_dump(mode="json")
        playback = play_virtually(recording)
        console = Console()
        console.print(_turns(playback))
        if args.decisions:
            for number, decision in enumerate(playback.decisions):
                console.print(f"{number:6}  {_shown(decision)}", markup=False, highlight=False)
        _verdict(console, recording, playback)
        if args.json is not None:
            args.json.write_text(json.dumps(_summary(recording, playback), indent=2) + "\n", encoding="utf-8")
        return SAME if playback.first_difference is None else DIFFERENT


def _turns(playback: Playback) -> Table:
    record = playback.record
    table = Table(title=f"{record.info.transport}, {record.language}: {record.cause}", title_justify="left")
    for name in ("at", "kind", "caller", "agent", "response"):
        table.add_column(name, justify="right" if name in ("at", "response") else "left")
    for turn in record.turns:
        response_ms = turn.stages.get(Stage.RESPONSE)
        table.add_row(
            f"{turn.at_ms / 1000:.1f} s",
            turn.kind,
            turn.caller,
            turn.agent + (" …" if turn.interrupted else ""),
            "" if response_ms is None else f"{response_ms:.0f} ms",
        )
    return table


def _verdict(console: Console, recording: Recording, playback: Playback) -> None:
    entries, done = len(recording.entries), len(playback.expected)
    index = playback.first_difference
    if not recording.complete:
        console.print("the tape was full before the call was over", markup=False)
    if index is None:
        console.print(f"same: {done} decisions after {entries} events, byte for byte", markup=False)
        return
    console.print(
        f"different, from decision {index} of {done} on ({_moment(recording, index)}):", markup=False
    )
    console.print(f"  then  {_at(playback.expected, index)}", markup=False, highlight=False)
    console.print(f"  now   {_at(playback.decisions, index)}", markup=False, highlight=False)
    if playback.strays:
        console.print(f"  {playback.strays} recorded events found nothing to act on", markup=False)


def _moment(recording: Recording, index: int) -> str:
    """After which event the decision was made."""
    count = 0
    for entry in recording.entries:
        count += len(entry.decisions)
        if index < count:
            return f"{(entry.at_ms - recording.entries[0].at_ms) / 1000:.3f} s, after {entry.kind}"
    return "after the last event"


def _at(decisions: list[dict[str, Any]], index: int) -> str:
    return _shown(decisions[index]) if index < len(decisions) else "nothing more"


def _shown(decision: dict[str, Any]) -> str:
    arguments = (f"{name}={_short(value)}" for name, value in decision.items() if name != "do")
    return f"{decision['do']} {' '.join(arguments)}".rstrip()


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


def _summary(recording: Recording, playback: Playback) -> dict[str, Any]:
    turns = [
        {
            "at_ms": round(turn.at_ms, 3),
            "kind": turn.kind,
            "caller": turn.caller,
            "agent": turn.agent,
            "interrupted": turn.interrupted,
            "stages": {stage.value: round(value, 3) for stage, value in turn.stages.items()},
        }
        for turn in playback.record.turns
    ]
    return {
        "events": len(recording.entries),
        "decisions": len(playback.expected),
        "first_difference": playback.first_difference,
        "strays": playback.strays,
        "complete": recording.complete,
        "cause": playback.record.cause,
        "turns": turns,
    }
