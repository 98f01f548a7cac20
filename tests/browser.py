"""A real browser for tests: Debian's Chromium, headless, with a microphone that plays a WAV file.

One process serves many tests; each gets a browser context of its own, which shares nothing with others.
"""

import shutil
import subprocess
import tempfile
import time
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect
from pytest_asyncio import is_async_test

CHROMIUM = shutil.which("chromium") or ""
RATE_HZ = 48_000
START_S = 30.0
"""For anything that is sure to happen: other processes share a test machine."""

needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root, in a container
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-component-update",
    "--disable-background-networking",
    "--mute-audio",
    "--use-fake-device-for-media-stream",
    "--force-prefers-reduced-motion",  # an orb drawn in software would cost the core that carries the call
    # A name that is not localhost, for what browsers refuse to pages without https.
    "--host-resolver-rules=MAP insecure.test 127.0.0.1",
    "--remote-debugging-port=0",
)
SOFTWARE_ONLY = ("--disable-gpu", "--disable-software-rasterizer")
"""No WebGL: without a graphics card it costs half a core for as long as a call is on."""


def write_wav(path: Path, pcm: bytes, rate_hz: int = RATE_HZ) -> None:
    """`pcm` (16 bit, mono) as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm)


@contextmanager
def chromium(
    microphone: bytes, *, loop: bool = True, grant: bool = True, webgl: bool = False
) -> Iterator[str]:
    """A Chromium whose microphone plays `microphone` (PCM, 16 bit, 48 kHz, mono), over and over or once.

    `grant`: pages get it without asking; else a test decides. `webgl`: what is drawn may use it. Yields the
    address of its DevTools.
    """
    with tempfile.TemporaryDirectory(prefix="parley-chromium-", ignore_cleanup_errors=True) as directory:
        wav = Path(directory) / "microphone.wav"
        write_wav(wav, microphone)
        once = "" if loop else "%noloop"
        granted = ["--use-fake-ui-for-media-stream"] if grant else []
        process = subprocess.Popen(
            [
                CHROMIUM, *FLAGS, *(() if webgl else SOFTWARE_ONLY), *granted,
                f"--user-data-dir={directory}/profile",
                f"--use-file-for-fake-audio-capture={wav}{once}", "about:blank",
            ],
            # Not a pipe: one that nobody reads fills up, and then the browser stands still.
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield _devtools(process, Path(directory) / "profile" / "DevToolsActivePort")
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def _devtools(process: "subprocess.Popen[bytes]", told: Path) -> str:
    """Chromium writes its port, and the path of its socket there, to a file of its profile."""
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s:
        assert process.poll() is None, "chromium ended before it listened"
        lines = told.read_text().splitlines() if told.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.02)
    raise AssertionError(f"chromium does not listen after {START_S} s")


@asynccontextmanager
async def connected(devtools: str) -> AsyncIterator[Browser]:
    """The browser at that address, driven by Playwright, which waits for `START_S` for what it expects."""
    expect.set_options(timeout=1000 * START_S)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(devtools)
        try:
            yield browser
        finally:
            await without_contexts(browser)
            await browser.close()


def share_one_loop(items: list[pytest.Item], folder: Path) -> None:
    """The asynchronous tests in `folder` share a loop, so that they can share a connection to a browser.

    For `pytest_collection_modifyitems`. Their asynchronous fixtures need `loop_scope="session"`.
    """
    for item in items:
        if item.path.parent == folder and is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


async def without_contexts(browser: Browser) -> None:
    """Closes what a test opened in a browser that others use after it."""
    # The first is the browser's own, which does not live on without it.
    for context in browser.contexts[1:]:
        await context.close()


class Console:
    """What a page complained about."""

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._heard)

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)


RECORD = """
async () => {
  const stream = document.querySelector("parley-call").stream;
  await window.recorder?.close();
  const context = window.recorder = new AudioContext({ sampleRate: 48000 });
  const source = context.createMediaStreamSource(stream);
  const tap = context.createScriptProcessor(4096, 1, 1);
  window.recorded = [];
  tap.onaudioprocess = (event) => window.recorded.push(event.inputBuffer.getChannelData(0).slice());
  source.connect(tap);
  tap.connect(context.destination);
  await context.resume();
}
"""
"""Keeps what the agent's stream sounds like, as float blocks of 4096 samples at 48 kHz."""

RECORDED = """
() => {
  const bytes = new Uint8Array(window.recorded.length * 8192);
  const view = new DataView(bytes.buffer);
  window.recorded.flatMap((block) => [...block]).forEach((sample, at) =>
    view.setInt16(2 * at, Math.max(-1, Math.min(1, sample)) * 32767, true));
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192)
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}
"""
"""The recording so far, as base64 of PCM."""
