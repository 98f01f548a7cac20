"""How fast the page is in a real Chromium, against the real server.

    python -m bench.webrtc_page [--calls 20] [--barge-ins 20] [--paints 10] [--json FILE]

Debian's Chromium, headless, on this machine, with the embedded providers and the test desk's agent. "Click to
greeting" is from `start()` to the first sample of the greeting that the page hands to its audio output.
"Barge-in" is from the first voiced sample of the caller at the page's microphone to the last voiced sample of
the agent at its speaker, both on the sample clock of one audio graph, in steps of 10 ms. "First paint" is the
browser's own first contentful paint of an uncached load. Takes about 3 s a call and 8 s a barge-in.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from playwright.async_api import expect

from tests.e2e.browser_stage import (
    PATIENCE_S,
    Stage,
    asked,
    in_phase,
    sentence,
    silent_after,
    staged,
    voiced_ms,
)

QUESTION, INTERRUPTION = "Are you open on Sunday?", "Where are you?"
AUDIBLE_S = 1.5
"""Of an answer, before it is interrupted."""
QUIET_S = 1.0


@dataclass(frozen=True)
class Target:
    """What a figure should be."""

    name: str
    p50_ms: float | None
    p95_ms: float | None


TARGETS = (
    Target("click to greeting audible", None, 700),
    Target("barge-in: speech to silence at the speaker", None, 200),
    Target("first paint", None, 300),
)


async def greetings(stage: Stage, count: int) -> list[float]:
    """Click to greeting audible, ms."""
    found = []
    for _ in range(count + 1):
        found.append(await stage.greeted_ms())
        await stage.page.get_by_role("button", name="Hang up").click()
        await in_phase(stage.page, "ended")
        await stage.until_live(0)
    return found[1:]  # the server loads its WebRTC libraries, and the browser its audio, with the first


async def paints(stage: Stage, count: int) -> list[float]:
    """First contentful paint, ms: each in a browser context of its own, so nothing is cached."""
    browser = stage.page.context.browser
    assert browser is not None
    found = []
    for _ in range(count):
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(stage.server.url)
        await expect(page.get_by_role("button", name="Start talking")).to_be_enabled()
        script = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        found.append(float(await page.evaluate(script)))
        await context.close()
    return found


async def speaks(stage: Stage, *, turns: int) -> bool:
    """Wait until the agent speaks in a turn after those. False if it does not."""
    script = """() => {
      const call = document.querySelector("parley-call");
      const last = call.transcript.findLast((entry) => entry.who === "agent");
      const speaking = window.told.findLast(({ type }) => type === "state")?.state === "speaking";
      return speaking && last !== undefined ? [last.turn, last.heard.length] : null;
    }"""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                now = await stage.page.evaluate(script)
                if now is not None and now[0] > turns and now[1] > 0:
                    return True
                await asyncio.sleep(0.02)
    except TimeoutError:
        return False


async def last_turn(stage: Stage) -> int:
    """Index of the agent's last turn."""
    turns = [message["turn"] for message in await stage.told("agent")]
    return max(turns, default=-1)


async def barge_ins(stage: Stage, count: int) -> tuple[list[float], int]:
    """Speech to silence at the speaker, ms, and how many interruptions found nobody speaking.

    Each round has a call of its own, so that a long recording does not slow the page down.
    """
    found: list[float] = []
    missed = 0
    for _ in range(count):
        silence_ms = await one_barge_in(stage)
        missed += silence_ms is None
        found += [silence_ms] if silence_ms is not None else []
    return found, missed


async def one_barge_in(stage: Stage) -> float | None:
    """A call in which the caller interrupts the answer to a typed question. None if it was over by then."""
    page = stage.page
    await page.evaluate("document.querySelector('parley-call').start()")
    await in_phase(page, "live")
    try:
        await speaks(stage, turns=-1)
        asked_in = await last_turn(stage)
        await stage.type(QUESTION)  # also cuts the greeting
        if not await speaks(stage, turns=asked_in):
            return None
        await stage.record()
        await asyncio.sleep(AUDIBLE_S)
        await stage.speak(sentence(INTERRUPTION))
        await asyncio.sleep(len(sentence(INTERRUPTION)) / 2 / 48_000 + QUIET_S)
        said, heard = await stage.side(0), await stage.side(1)
    finally:
        await page.get_by_role("button", name="Hang up").click()
        await in_phase(page, "ended")
        await stage.until_live(0)
        await page.evaluate("window.told.length = 0")
    caller, agent = voiced_ms(said), voiced_ms(heard)
    if not len(caller) or not len(agent):
        return None
    silent = silent_after(agent, caller[0])
    return None if silent is None else max(float(silent - caller[0]), 0.0)


def row(target: Target, values: Sequence[float]) -> dict[str, Any]:
    """One line of the table, printed."""
    if not values:
        print(f"{target.name:<45} nothing was measured")
        return {"name": target.name, "count": 0}
    p50, p95 = np.percentile(values, [50, 95])
    wanted = [
        (name, limit, got)
        for name, limit, got in (("p50", target.p50_ms, p50), ("p95", target.p95_ms, p95))
        if limit is not None
    ]
    verdicts = ", ".join(
        f"target {name} {limit:.0f} ms {'met' if got <= limit else 'MISSED'}" for name, limit, got in wanted
    )
    print(f"{target.name:<45} p50 {p50:5.0f} ms  p95 {p95:5.0f} ms  n {len(values):<3} {verdicts}")
    return {
        "name": target.name, "count": len(values), "p50_ms": p50, "p95_ms": p95, "values_ms": list(values),
        "met": all(got <= limit for _, limit, got in wanted),
    }  # fmt: skip


async def measure(calls: int, interruptions: int, loads: int) -> list[dict[str, Any]]:
    """All three, one after the other."""
    # The room's noise lasts for as long as any call may.
    async with staged(asked(60.0), listen=True) as stage:
        rows = [row(TARGETS[2], await paints(stage, loads))]
        rows.append(row(TARGETS[0], await greetings(stage, calls)))
        silences, missed = await barge_ins(stage, interruptions)
        rows.append(row(TARGETS[1], silences))
        if missed:
            print(f"{missed} interruptions found nobody speaking, and are not counted")
        if stage.console.errors:
            print("the page complained:", *stage.console.errors, sep="\n  ")
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--barge-ins", type=int, default=20)
    parser.add_argument("--paints", type=int, default=10)
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    rows = asyncio.run(measure(args.calls, args.barge_ins, args.paints))
    if args.json is not None:
        Path(args.json).write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
