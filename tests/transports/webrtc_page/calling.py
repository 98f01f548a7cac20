"""What a person does with the page, and what a test looks at, in words."""

import asyncio
import base64
from collections.abc import Callable

import numpy as np
from playwright.async_api import Locator, Page, expect

from tests import speech
from tests.browser import RATE_HZ, RECORD, RECORDED
from tests.transports.webrtc_page.fake_server import FakeServer, FakeSession

WAIT_S = 20.0
WINDOW_S = 1.5
SAME_SPEECH = 0.8
"""`likeness` of a sentence to itself over Opus; another one gives 0.5 at most."""


async def start(page: Page, server: FakeServer, number: int = 0) -> FakeSession:
    """Press the button and come through. Returns the server's session."""
    await page.get_by_role("button", name="Start talking").click()
    session = await server.session(number)
    await phase(page, "live")
    return session


async def phase(page: Page, wanted: str) -> None:
    """Wait until the element is in that phase."""
    await page.wait_for_function(
        "wanted => document.querySelector('parley-call').phase === wanted", arg=wanted, timeout=1000 * WAIT_S
    )


async def until(holds: Callable[[], object]) -> None:
    """Wait until `holds()` is true."""
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110  most of what is waited for is in the browser
            await asyncio.sleep(0.02)


async def says(locator: Locator, text: str) -> None:
    await expect(locator).to_have_text(text, timeout=1000 * WAIT_S)


def status(page: Page) -> Locator:
    return page.locator(".status")


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


async def hears(page: Page, session: FakeSession, text: str) -> None:
    """Let the agent say `text`; fails unless the page then sounds like it.

    The best of three: the recorder runs on the page's main thread, and other processes share the machine.
    """
    said = speech.speech(text, RATE_HZ, mu_law_roundtrip=False)
    found: list[float] = []
    for _ in range(3):
        await page.evaluate(RECORD)
        session.voice.play(said)
        await asyncio.sleep(len(said) / 2 / RATE_HZ + 0.8)
        found.append(likeness(base64.b64decode(await page.evaluate(RECORDED)), said))
        if found[-1] > SAME_SPEECH:
            return
    raise AssertionError(f"heard something else: {found}")


def likeness(heard: bytes, said: bytes) -> float:
    """Correlation of the loudness of both, at the best shift: 1 is the same speech, 0 unrelated.

    Codecs and echo cancellation change samples, not the rhythm of speech. Only `WINDOW_S` of `said` are
    looked for: a jitter buffer stretches and squeezes, which adds up.
    """
    envelopes = [_envelope(heard), _envelope(said[: int(WINDOW_S * RATE_HZ) * 2])]
    shifts = range(max(1, len(envelopes[0]) - len(envelopes[1]) + 1))
    size = min(len(each) for each in envelopes)
    parts = [part for at in shifts if np.ptp(part := envelopes[0][at : at + size]) > 0]  # else it is silent
    return max((float(np.corrcoef(part, envelopes[1][:size])[0, 1]) for part in parts), default=0.0)


def _envelope(pcm: bytes) -> speech.Samples:
    """Loudness in steps of 20 ms, compressed so that soft sounds count too."""
    step = RATE_HZ // 50
    audio = speech.samples(pcm[: len(pcm) // 2 * 2])
    blocks = audio[: len(audio) // step * step].reshape(-1, step)
    return np.asarray(np.sqrt(np.sqrt((blocks**2).mean(axis=1) + 1e-7)), np.float32)


def loudest_dbfs(pcm: bytes) -> float:
    """Level of the loudest 20 ms."""
    return max(speech.level_dbfs(frame) for frame in speech.frames(pcm, RATE_HZ)) if pcm else -100.0
