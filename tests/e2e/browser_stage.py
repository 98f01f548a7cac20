"""A real server, a real browser that calls it, and what both sides of the call sound like."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from playwright.async_api import CDPSession, Page, expect

from agent.clock import LoopClock
from loadtest.callers.local_server import LocalServer
from tests import speech
from tests.browser import RATE_HZ, Console, chromium, connected

AGENT_FILE = Path(__file__).with_name("agent.yaml")
CALLER_VOICE = "en-us+m3"
ROOM_DBFS = -70.0
"""A microphone is never quite silent, and browsers' noise suppression expects that."""
PATIENCE_S = 30.0
"""For anything that is sure to happen: other processes share a test machine."""
PAUSE_MS = 600.0
"""Longer than any pause between the agent's words."""

WATCH = """
window.told = [];
document.addEventListener("parley-message", ({ detail }) => window.told.push(detail));
"""
PREPARE = (
    WATCH
    + """
const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wanted) => {
  const room = new AudioContext({ sampleRate: 48000 });
  const mixed = new MediaStreamAudioDestinationNode(room, { channelCount: 1 });
  const device = await open(wanted);
  const heard = room.createMediaStreamSource(device);
  heard.connect(mixed);
  window.room = { room, heard, mixed }; // else they may be collected while they sound
  window.speak = (encoded) => {
    const pcm = new Int16Array(Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0)).buffer);
    const buffer = new AudioBuffer({ length: pcm.length, sampleRate: 48000 });
    buffer.getChannelData(0).set(Float32Array.from(pcm, (sample) => sample / 32768));
    const said = new AudioBufferSourceNode(room, { buffer });
    said.connect(mixed);
    said.start();
  };
  await room.resume();
  const [track] = mixed.stream.getAudioTracks();
  const stop = track.stop.bind(track);
  track.stop = () => {
    stop();
    device.getTracks().forEach((each) => each.stop());
    room.close();
  };
  return (window.microphone = mixed.stream);
};
"""
)
"""The microphone plays what the fake device does, and what `speak` is given, the moment it is called."""

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
  const sides = window.sides = [[], []];
  const audio = call.shadowRoot.querySelector("audio");
  tap.port.onmessage = ({ data }) => {
    for (const [said, heard] of data) {
      sides[0].push(said);
      sides[1].push(audio.muted ? new Float32Array(128) : heard);
    }
  };
  both.connect(tap);
  await context.resume();
}
"""
"""Keeps both sides in step: what the microphone gives, and what the speaker is given."""
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
  window.greeted = null;
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
    tap.context.close();
  };
  const looking = setInterval(look, 2);
  call.start();
}
"""
"""Milliseconds from the start of a call to the first sound, in `greeted`. Not one script that waits: on a
busy machine Chromium now and then forgets a lone timer, until something else wakes the page."""


@dataclass
class Stage:
    """A server, and a page that calls it."""

    server: LocalServer
    page: Page
    console: Console
    devtools: CDPSession
    """Of the page."""

    async def start(self) -> None:
        """Press the button and come through."""
        await self.page.get_by_role("button", name="Start talking").click()
        await in_phase(self.page, "live")

    async def type(self, text: str) -> None:
        """Say it in writing."""
        message = self.page.get_by_role("textbox", name="Type a message")
        await message.fill(text)
        await message.press("Enter")

    async def speak(self, pcm: bytes) -> None:
        """Into the microphone, now."""
        await self.page.evaluate("said => window.speak(said)", base64.b64encode(pcm).decode())

    async def record(self) -> None:
        """From now on: see `side`."""
        await self.page.evaluate(RECORD, WORKLET)

    async def side(self, side: int) -> bytes:
        """0: the microphone, 1: the speaker. PCM at 48 kHz since `record`."""
        return base64.b64decode(await self.page.evaluate(SIDE, side))

    async def greeted_ms(self) -> float:
        """Call, and wait for the greeting: how long it took to be audible."""
        await self.page.evaluate(GREETED)
        waited: float | None = None
        async with asyncio.timeout(PATIENCE_S):
            while waited is None:
                await asyncio.sleep(0.02)
                waited = await self.page.evaluate("window.greeted")
        return waited

    async def told(self, type_: str) -> list[dict[str, Any]]:
        """The server's messages of a type, in order."""
        messages: list[dict[str, Any]] = await self.page.evaluate(
            "type => window.told.filter((message) => message.type === type)", type_
        )
        return messages

    async def ask(self, path: str) -> Any:
        """JSON of the server's side port."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as http,
            http.get(f"{self.server.side_url}/{path}") as response,
        ):
            return await response.json()

    async def live_calls(self) -> int:
        """Calls that are on at the server."""
        return len((await self.ask("calls"))["live"])

    async def until_live(self, wanted: int) -> None:
        """Wait until that many calls are on."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.live_calls() != wanted:  # noqa: ASYNC110  another process's state
                await asyncio.sleep(0.05)


@asynccontextmanager
async def staged(
    microphone: bytes, *, listen: bool = False, mixed: bool = True, **settings: str
) -> AsyncIterator[Stage]:
    """`microphone`: what the fake device plays once, PCM at 48 kHz. `settings`: `PARLEY_…` variables.

    `mixed`: the microphone is the device and what `Stage.speak` is given; else the device alone.
    `listen`: the test brings a script of its own, which the page's policy would forbid.
    """
    async with LocalServer(
        LoopClock(), os.environ, PARLEY_TRANSPORTS="webrtc", PARLEY_AGENT_FILE=str(AGENT_FILE), **settings
    ) as server:
        with chromium(microphone, loop=False) as devtools:
            async with connected(devtools) as browser:
                page = await (await browser.new_context(bypass_csp=listen)).new_page()
                await page.add_init_script(PREPARE if mixed else WATCH)
                console = Console(page)
                await page.goto(server.url)
                await expect(page.get_by_role("button", name="Start talking")).to_be_enabled()
                yield Stage(server, page, console, await page.context.new_cdp_session(page))


async def in_phase(page: Page, phase: str) -> None:
    """Wait until the element is in that phase."""
    await page.wait_for_function(
        "phase => document.querySelector('parley-call').phase === phase", arg=phase,
        timeout=1000 * PATIENCE_S, polling=50,
    )  # fmt: skip


def sentence(text: str) -> bytes:
    """A caller says it. PCM at 48 kHz."""
    return speech.speech(text, RATE_HZ, voice=CALLER_VOICE, mu_law_roundtrip=False)


def asked(*parts: str | float) -> bytes:
    """Sentences, and seconds of silence between them, in a quiet room. PCM at 48 kHz."""
    said = b"".join(
        sentence(part) if isinstance(part, str) else speech.silence(1000 * part, RATE_HZ) for part in parts
    )
    return speech.mixed(said, speech.noise("pink", len(said) / 2 / RATE_HZ * 1000, ROOM_DBFS, RATE_HZ))


def voiced_ms(pcm: bytes, dbfs: float = -45.0) -> Any:
    """Times of the voiced 10 ms, ms: shape (n,)."""
    size = RATE_HZ // 100
    audio = speech.samples(pcm[: len(pcm) // (2 * size) * 2 * size]).reshape(-1, size)
    return 10 * np.flatnonzero(20 * np.log10(np.sqrt((audio**2).mean(axis=1)) + 1e-9) > dbfs)


def silent_after(agent: Any, at_ms: float) -> int | None:
    """When the agent, voiced at the times `agent`, has fallen silent after `at_ms`; None if it was before.

    A pause between two words is no silence.
    """
    pauses = np.diff(agent, append=agent[-1] + 10_000) > PAUSE_MS
    found = agent[(agent > at_ms - 100) & pauses]
    return int(found[0]) + 10 if len(found) else None
