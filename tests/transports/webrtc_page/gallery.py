"""Screenshots of everything that the page can look like, to be looked at by people.

    python -m tests.transports.webrtc_page.gallery out/page [state ...]

Each state on a phone and on a desktop, light and dark: `{state}-{scheme}-{size}.png`. All of them take some
minutes; the names of states are those of `STATES`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import Browser, Page, Route, expect

from tests import speech
from tests.browser import RATE_HZ, chromium, connected
from tests.transports.webrtc_page.calling import button, phase, start, until
from tests.transports.webrtc_page.fake_server import FakeServer, FakeSession

SIZES = {"phone": (390, 844), "desktop": (1440, 900)}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SETTLED_MS = 700
"""Transitions take half a second."""


async def idle(_page: Page, _server: FakeServer) -> None:
    """As it opens."""


async def asking(page: Page, _server: FakeServer) -> None:
    await page.evaluate(
        "() => { navigator.permissions.query = async () => ({ state: 'prompt' });"
        " navigator.mediaDevices.getUserMedia = () => new Promise(() => {}); }"
    )
    await button(page, "Start talking").click()
    await phase(page, "asking")


async def connecting(page: Page, _server: FakeServer) -> None:
    async def unanswered(_route: Route) -> None:
        """Until the page is closed."""

    await page.route("**/webrtc?*", unanswered)
    await button(page, "Start talking").click()
    await phase(page, "connecting")


async def talking(page: Page, server: FakeServer) -> FakeSession:
    """A call with a question, and an answer that was cut short."""
    session = await start(page, server)
    greeting = "Riverside Clinic, good morning. How can I help you?"
    session.send("agent", turn=1, text=greeting, kind="greeting")
    session.send("heard", turn=1, text=greeting, done=True, interrupted=False)
    session.send("caller", text="Are you open on Saturday?", final=True)
    answer = "On Saturday we are open from ten in the morning to one in the afternoon. Shall I book you in?"
    session.send("agent", turn=2, text=answer, kind="speech")
    session.send("heard", turn=2, text="On Saturday we are open from ten", done=True, interrupted=True)
    session.send("state", state="idle")
    await expect(page.get_by_text("You interrupted here")).to_be_visible()
    return session


async def listening(page: Page, server: FakeServer) -> None:
    session = await talking(page, server)
    session.send("caller", text="And what about", final=False)
    session.send("state", state="hearing")


async def thinking(page: Page, server: FakeServer) -> None:
    session = await talking(page, server)
    session.send("caller", text="And what about Sunday?", final=True)
    session.send("tool", turn=3, name="look_up")
    session.send("state", state="replying")


async def speaking(page: Page, server: FakeServer) -> None:
    session = await talking(page, server)
    words = "We are closed on Sunday, but on Monday we open at eight."
    session.send("agent", turn=3, text=words, kind="speech")
    session.send("heard", turn=3, text="We are closed on", done=False, interrupted=False)
    session.send("state", state="speaking")
    session.voice.play(speech.speech(words, RATE_HZ, mu_law_roundtrip=False))


async def waterfall(page: Page, server: FakeServer) -> None:
    session = await talking(page, server)
    await until(lambda: len(session.of("client")) >= 2)  # the network's and the device's share are known
    stages = {
        "endpointing": 310, "stt_final": 60, "llm_first_sentence": 190, "tts_first_audio": 80, "added": 3,
        "response": 643,
    }  # fmt: skip
    session.send("latency", turn=2, stages_ms=stages, providers={"llm": "openai", "tts": "cartesia"})
    await page.locator("summary").click()


async def muted(page: Page, server: FakeServer) -> None:
    await talking(page, server)
    await button(page, "Mute").click()


async def push_to_talk(page: Page, server: FakeServer) -> None:
    await button(page, "Settings").click()
    await page.get_by_label("Push to talk").check()
    await page.keyboard.press("Escape")
    await talking(page, server)


async def text_only(page: Page, server: FakeServer) -> None:
    await button(page, "Type instead").click()
    await server.session()
    await phase(page, "live")
    await page.get_by_role("textbox", name="Type a message").fill("Do you take walk-ins on Friday?")


async def keypad(page: Page, server: FakeServer) -> None:
    await talking(page, server)
    await button(page, "Keypad").click()


async def settings(page: Page, server: FakeServer) -> None:
    await talking(page, server)
    await button(page, "Settings").click()


async def refused(page: Page, error: str) -> None:
    """No microphone, for the reason that has this name."""
    await page.evaluate(
        "name => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', name)); }",
        error,
    )
    await button(page, "Start talking").click()
    await expect(button(page, "Try again")).to_be_visible()


async def microphone_denied(page: Page, _server: FakeServer) -> None:
    await refused(page, "NotAllowedError")


async def no_microphone(page: Page, _server: FakeServer) -> None:
    await refused(page, "NotFoundError")


async def busy(page: Page, server: FakeServer) -> None:
    server.refusal = (503, {"title": "busy"})
    await button(page, "Start talking").click()
    await expect(page.get_by_role("alert")).to_contain_text("All lines are busy")


async def reconnecting(page: Page, server: FakeServer) -> None:
    session = await talking(page, server)
    server.refusal = (503, {"title": "busy"})
    await session.connection.close()
    await phase(page, "reconnecting")


async def lost(page: Page, server: FakeServer) -> None:
    session = await talking(page, server)
    server.refusal = (403, {"title": "no"})
    await session.connection.close()
    await phase(page, "ended")


async def ended(page: Page, server: FakeServer) -> None:
    await talking(page, server)
    await button(page, "Hang up").click()
    await phase(page, "ended")


STATES: dict[str, Callable[[Page, FakeServer], Awaitable[Any]]] = {
    show.__name__: show
    for show in (
        idle, asking, connecting, talking, listening, thinking, speaking, waterfall, muted, push_to_talk,
        text_only, keypad, settings, microphone_denied, no_microphone, busy, reconnecting, lost, ended,
    )
}  # fmt: skip


@asynccontextmanager
async def opened(browser: Browser, scheme: Literal["light", "dark"], size: str) -> AsyncIterator[Any]:
    """The page as it opens, and a server of its own behind it."""
    server = FakeServer()
    await server.start()
    width, height = SIZES[size]
    page = await browser.new_page(color_scheme=scheme, viewport={"width": width, "height": height})
    try:
        await page.goto(server.url)
        await expect(button(page, "Start talking")).to_be_enabled()
        yield page, server
    finally:
        await page.close()
        await server.close()


async def picture(browser: Browser, folder: Path, states: Iterable[str]) -> list[Path]:
    """Screenshots of `states` in all sizes and schemes. Returns where they are. `KeyError`: no such state."""
    made = []
    for state in states:
        for scheme in SCHEMES:
            for size in SIZES:
                async with opened(browser, scheme, size) as (page, server):
                    await STATES[state](page, server)
                    await page.wait_for_timeout(SETTLED_MS)
                    made.append(folder / f"{state}-{scheme}-{size}.png")
                    await page.screenshot(path=made[-1])
    return made


async def main(folder: Path, states: list[str]) -> None:
    """Make the pictures of `states`, or of all."""
    question = speech.speech("are you open on sunday", RATE_HZ, mu_law_roundtrip=False)
    with chromium(question) as devtools:
        async with connected(devtools) as browser:
            await picture(browser, folder, states or STATES)


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
