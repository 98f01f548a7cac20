"""A real browser calls the real server: speech in from a WAV file, speech out as the page plays it.

Slow (real time): most of a minute.
"""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import soxr
from playwright.async_api import Page, expect

from agent.clock import LoopClock
from agent.plugins import TRANSPORTS, names
from loadtest.callers.local_server import LocalServer
from loadtest.speech import embedded_voice
from tests import speech
from tests.browser import RATE_HZ, Console, chromium, connected, needs_chromium
from tests.e2e import hearing
from tests.e2e.test_calls import AGENT_VOICE, ANSWERS

pytestmark = [
    pytest.mark.e2e,
    needs_chromium,
    pytest.mark.skipif("webrtc" not in names(TRANSPORTS), reason="needs the webrtc transport installed"),
]

GREETING = "Hello, this is the test desk, how can I help you?"
PAUSE_S = 5.0
"""Between the two questions: time for the first answer to begin, which then lasts for 8 s."""
QUESTIONS_S = 15.0
"""Both questions, and enough of the second answer."""
ROOM_DBFS = -70.0
"""A microphone is never quite silent, and browsers' noise suppression expects that."""
HOURS, ADDRESS = "Are you open on Sunday?", "Where are you?"
SAME_SOUND = 0.55
"""`hearing.likeness` of the right answer; others give 0.4. A browser's jitter buffer stretches and squeezes
speech, which takes some likeness from it."""
MAX_BARGE_IN_MS = 350.0
"""First voiced sample of the caller to silence at the speaker, as WebAudio has both: its microphone lags
by some tens of milliseconds. Our target is 200; other processes share a test machine."""
MAX_GREETING_MS = 6000.0
"""Click to greeting audible. Our target is 700 on an idle machine; two busy workers took 2,100."""

WORKLET = """
registerProcessor("tap", class extends AudioWorkletProcessor {
  #blocks = [];
  process([input]) {
    // Fewer channels until both streams have begun.
    this.#blocks.push([0, 1].map((at) => input[at]?.slice() ?? new Float32Array(128)));
    if (this.#blocks.length === 8) this.port.postMessage(this.#blocks.splice(0));
    return true;
  }
});
"""
RECORD = """
async (worklet) => {
  const call = document.querySelector("parley-call");
  await window.recorder?.close();
  const context = window.recorder = new AudioContext({ sampleRate: 48000 });
  await context.audioWorklet.addModule(`data:text/javascript,${encodeURIComponent(worklet)}`);
  const both = new ChannelMergerNode(context, { numberOfInputs: 2 });
  context.createMediaStreamSource(window.microphone).connect(both, 0, 0);
  context.createMediaStreamSource(call.stream).connect(both, 0, 1);
  const tap = new AudioWorkletNode(context, "tap", { channelCount: 2, channelCountMode: "explicit" });
  window.sides = [[], []];
  const audio = call.shadowRoot.querySelector("audio");
  tap.port.onmessage = ({ data }) => {
    for (const [said, heard] of data) {
      window.sides[0].push(said);
      window.sides[1].push(audio.muted ? new Float32Array(128) : heard);
    }
  };
  both.connect(tap);
  await context.resume();
}
"""
"""Keeps both sides in step: what the microphone gives, and what the speaker is given."""
PREPARE = """
const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wanted) => (window.microphone = await open(wanted));
window.told = [];
document.addEventListener("parley-message", ({ detail }) => window.told.push(detail));
"""
SIDE = """
(side) => {
  const blocks = window.sides[side];
  const bytes = new Uint8Array(blocks.length * 256);
  const view = new DataView(bytes.buffer);
  blocks.forEach((block, n) => block.forEach((sample, at) =>
    view.setInt16(2 * (128 * n + at), Math.max(-1, Math.min(1, sample)) * 32767, true)));
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192)
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}
"""


GREETED = """
() => {
  const call = document.querySelector("parley-call");
  const from = performance.now();
  const block = new Float32Array(1024);
  let tap = null;
  const look = () => {
    if (tap === null && call.stream) {
      const context = new AudioContext();
      tap = new AnalyserNode(context, { fftSize: block.length });
      context.createMediaStreamSource(call.stream).connect(tap);
    }
    tap?.getFloatTimeDomainData(block);
    if (!block.some((sample) => Math.abs(sample) > 0.01)) return;
    clearInterval(looking);
    window.greeted = performance.now() - from;
  };
  const looking = setInterval(look, 2);
  call.start();
}
"""
"""Milliseconds from the start of a call to the first sound, in `greeted`. Not one script that waits: on a
busy machine Chromium now and then forgets a lone timer, until something else wakes the page."""


@dataclass
class Stage:
    """A server, and pages that call it."""

    server: LocalServer
    page: Page
    console: Console

    async def start(self) -> None:
        await self.page.get_by_role("button", name="Start talking").click()
        await in_phase(self.page, "live")

    async def live_calls(self) -> int:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as http,
            http.get(f"{self.server.side_url}/calls") as response,
        ):
            return len((await response.json())["live"])

    async def until_live(self, wanted: int) -> None:
        async with asyncio.timeout(10):
            while await self.live_calls() != wanted:  # noqa: ASYNC110  another process's state
                await asyncio.sleep(0.05)

    async def side(self, side: int) -> bytes:
        """0: the microphone, 1: the speaker. PCM at 48 kHz."""
        return base64.b64decode(await self.page.evaluate(SIDE, side))


async def in_phase(page: Page, phase: str) -> None:
    await page.wait_for_function(
        "phase => document.querySelector('parley-call').phase === phase", arg=phase, timeout=15_000
    )


def asked(*parts: str | float) -> bytes:
    """Sentences, and seconds of silence between them, in a quiet room."""
    said = b"".join(
        speech.speech(part, RATE_HZ, voice="en-us+m3", mu_law_roundtrip=False)
        if isinstance(part, str)
        else speech.silence(1000 * part, RATE_HZ)
        for part in parts
    )
    return speech.mixed(said, speech.noise("pink", len(said) / 2 / RATE_HZ * 1000, ROOM_DBFS, RATE_HZ))


@asynccontextmanager
async def staged(microphone: bytes, *, listen: bool = False) -> AsyncIterator[Stage]:
    """`listen`: the test brings a script of its own, which the page's policy would forbid."""
    agent_file = str(Path(__file__).with_name("agent.yaml"))
    async with LocalServer(
        LoopClock(), os.environ, PARLEY_TRANSPORTS="webrtc", PARLEY_AGENT_FILE=agent_file
    ) as server:
        with chromium(microphone, loop=False) as devtools:
            async with connected(devtools) as browser:
                page = await (await browser.new_context(bypass_csp=listen)).new_page()
                await page.add_init_script(PREPARE)
                console = Console(page)
                await page.goto(server.url)
                await expect(page.get_by_role("button", name="Start talking")).to_be_enabled()
                yield Stage(server, page, console)


async def alike(heard_48k: bytes) -> dict[str, float]:
    """How much what was heard sounds like each of the answers."""
    heard = speech.to_pcm(soxr.resample(speech.samples(heard_48k), RATE_HZ, hearing.RATE_HZ))
    voice = embedded_voice(LoopClock(), os.environ, voice=AGENT_VOICE)
    try:
        return {
            question: hearing.likeness(heard, await voice.say(text)) for question, text in ANSWERS.items()
        }
    finally:
        await voice.close()


def voiced_ms(pcm: bytes, dbfs: float = -45.0) -> Any:
    """Times of the voiced 10 ms, ms."""
    size = RATE_HZ // 100
    audio = speech.samples(pcm[: len(pcm) // (2 * size) * 2 * size]).reshape(-1, size)
    return 10 * np.flatnonzero(20 * np.log10(np.sqrt((audio**2).mean(axis=1)) + 1e-9) > dbfs)


async def two_questions(page: Page) -> bool:
    """A call in which the second question interrupts the first answer. False if one was not understood."""
    words = page.get_by_role("listitem")
    await page.get_by_role("button", name="Type instead").click()
    await expect(words.first.locator(".heard")).to_have_text(GREETING, timeout=20_000)
    # The WAV file begins to play here: the caller waits for the greeting's end, however busy the machine.
    await page.get_by_role("button", name="Use microphone").click()
    await expect(page.get_by_role("button", name="Mute")).to_be_visible()
    await page.evaluate(RECORD, WORKLET)
    await asyncio.sleep(QUESTIONS_S)
    replies = [
        (entry["text"], entry["interrupted"])
        for entry in await page.evaluate("document.querySelector('parley-call').transcript")
        if entry["who"] == "agent"
    ]
    assert await words.locator(".cut").count() == sum(interrupted for _, interrupted in replies)
    return replies[-2:] == [(ANSWERS[HOURS], True), (ANSWERS[ADDRESS], False)]


async def wrong_with_the_sound(stage: Stage) -> str:
    """What is not as it should be in what was said and heard; empty if nothing."""
    heard, said = await stage.side(1), await stage.side(0)
    caller, agent = voiced_ms(said), voiced_ms(heard)
    second = next(int(at) for before, at in pairwise(caller) if at - before > 2500)
    # Longer than any pause between its words; the next answer comes after the question and an endpoint.
    pauses = np.diff(agent, append=agent[-1] + 10_000) > 600
    silent = int(agent[(agent > second - 100) & pauses][0]) + 10
    print(f"barge-in, first voiced sample to silence at the speaker: {silent - second} ms")
    if silent - second > MAX_BARGE_IN_MS:
        return f"silent only after {silent - second} ms"
    sides = (
        (HOURS, heard[: second * RATE_HZ // 1000 * 2]),
        (ADDRESS, heard[silent * RATE_HZ // 1000 * 2 :]),
    )
    for question, part in sides:
        found = await alike(part)
        if max(found, key=lambda each: found[each]) != question or found[question] < SAME_SOUND:
            return f"not the answer to {question!r}: {found}"
    return ""


async def test_a_question_is_answered_and_a_second_one_cuts_the_answer_off() -> None:
    async with staged(asked(2.0, HOURS, PAUSE_S, ADDRESS, 40.0), listen=True) as stage:
        wrong: list[str] = []
        # The best of three: a shared machine starves now the recogniser, now the browser's sound.
        for _ in range(3):
            understood = await two_questions(stage.page)
            wrong.append(await wrong_with_the_sound(stage) if understood else "not understood")
            if not wrong[-1]:
                break
            await stage.page.get_by_role("button", name="Hang up").click()
        assert not wrong[-1], wrong
        assert stage.console.errors == []


async def test_the_greeting_is_heard_soon_after_the_click() -> None:
    async with staged(asked(60.0)) as stage:
        await stage.page.evaluate(GREETED)
        waited = None
        async with asyncio.timeout(20):
            while waited is None:
                await asyncio.sleep(0.05)
                waited = await stage.page.evaluate("window.greeted ?? null")
        print(f"click to greeting audible: {waited:.0f} ms")
        assert waited < MAX_GREETING_MS


async def test_typed_questions_are_answered_in_speech() -> None:
    async with staged(asked(60.0)) as stage:
        page = stage.page
        await page.get_by_role("button", name="Type instead").click()
        await in_phase(page, "live")
        message = page.get_by_role("textbox", name="Type a message")
        await message.fill(ADDRESS)
        await message.press("Enter")
        await expect(page.get_by_role("listitem").filter(has_text=ANSWERS[ADDRESS])).to_be_visible(
            timeout=15_000
        )
        assert stage.console.errors == []


@pytest.mark.parametrize("leave", ["hang up", "reload", "close"])
async def test_the_call_is_over_when_the_page_is_left(leave: str) -> None:
    async with staged(asked(60.0)) as stage:
        await stage.start()
        await stage.until_live(1)
        if leave == "hang up":
            await stage.page.get_by_role("button", name="Hang up").click()
        elif leave == "reload":
            await stage.page.reload()
        else:
            await stage.page.close(run_before_unload=True)
        await stage.until_live(0)
        if leave == "hang up":
            assert stage.console.errors == []


async def test_two_tabs_are_two_calls() -> None:
    async with staged(asked(60.0)) as stage:
        other = await stage.page.context.new_page()
        await other.goto(stage.server.url)
        await stage.start()
        await other.get_by_role("button", name="Start talking").click()
        await in_phase(other, "live")
        await stage.until_live(2)
        await stage.page.get_by_role("button", name="Hang up").click()
        await stage.until_live(1)
        greeting = other.get_by_role("listitem").filter(has_text="Hello, this is the test desk")
        await expect(greeting.locator(".coming")).to_have_count(0, timeout=10_000)
        assert await other.evaluate("document.querySelector('parley-call').phase") == "live"
        await other.close(run_before_unload=True)
        await stage.until_live(0)


async def test_a_change_of_network_keeps_the_call() -> None:
    async with staged(asked(60.0)) as stage:
        await stage.start()
        page = stage.page
        async with page.expect_response(
            lambda response: response.request.headers.get("if-match") == '"*"'
        ) as restart:
            await page.evaluate("window.dispatchEvent(new Event('online'))")
        assert (await restart.value).status == 200
        await in_phase(page, "live")
        calls = await page.evaluate(
            "window.told.filter(({ type }) => type === 'hello').map(({ call }) => call)"
        )
        assert len(set(calls)) == 1
        assert await stage.live_calls() == 1
