"""What the page does when something is missing, refused or lost."""

import asyncio

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests import speech
from tests.browser import RATE_HZ, chromium, connected, needs_chromium
from tests.transports.webrtc_page.calling import (
    button,
    hears,
    phase,
    says,
    start,
    status,
    until,
)
from tests.transports.webrtc_page.fake_server import FakeServer


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, server: FakeServer) -> Page:
    page = await browser.new_page()
    await page.goto(server.url)
    return page


REFUSE = """name => {
  navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("no", name); };
}"""


@pytest.mark.parametrize(
    ("error", "title"),
    [
        ("NotAllowedError", "The microphone is blocked"),
        ("NotFoundError", "No microphone found"),
        ("NotReadableError", "The microphone cannot be opened"),
    ],
)
async def test_without_a_microphone_the_page_says_why_and_goes_on_without(
    page: Page, server: FakeServer, error: str, title: str
) -> None:
    await page.evaluate(REFUSE, error)
    await button(page, "Start talking").click()
    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text(title)
    await expect(button(page, "Try again")).to_be_visible()
    await expect(button(page, "Start talking")).to_be_visible()
    await button(page, "Continue without microphone").click()
    await server.session()
    await phase(page, "live")
    await expect(alert).to_be_empty()
    await says(status(page), "Type your question below")


@needs_chromium
async def test_a_refusal_by_the_browser_itself_is_understood(server: FakeServer) -> None:
    silence = speech.silence(1000, RATE_HZ)
    with chromium(silence, grant=False) as devtools:
        async with connected(devtools) as browser:
            page = await browser.new_page()
            await page.goto(server.url)
            await (await page.context.new_cdp_session(page)).send(
                "Browser.setPermission",
                {"permission": {"name": "microphone"}, "setting": "denied", "origin": server.url},
            )
            await button(page, "Start talking").click()
            await expect(page.get_by_role("alert")).to_contain_text("The microphone is blocked")


async def test_a_microphone_can_join_later(page: Page, server: FakeServer) -> None:
    await button(page, "Type instead").click()
    session = await server.session()
    await phase(page, "live")
    await button(page, "Use microphone").click()
    await expect(button(page, "Mute")).to_be_visible()
    await until(lambda: any(speech.samples(bytes(session.heard)) > 0.05))


async def test_a_page_without_https_says_so_and_still_listens(browser: Browser, server: FakeServer) -> None:
    page = await browser.new_page()
    await page.goto(server.url.replace("127.0.0.1", "insecure.test"))
    await button(page, "Start talking").click()
    await expect(page.get_by_role("alert")).to_contain_text("This page is not secure")
    await button(page, "Continue without microphone").click()
    session = await server.session()
    await phase(page, "live")
    await hears(page, session, "We are closed on Sunday.")


@pytest.mark.parametrize(
    ("status_", "title"),
    [
        (503, "All lines are busy"),
        (429, "Too many calls"),
        (403, "This page is not allowed to call"),
        (415, "The call was not accepted"),
    ],
)
async def test_a_refused_call_says_why(page: Page, server: FakeServer, status_: int, title: str) -> None:
    server.refusal = (status_, {"title": "no", "detail": "words of the server"})
    await button(page, "Start talking").click()
    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text(title)
    if status_ == 415:
        await expect(alert).to_contain_text("words of the server")
    server.refusal = None
    await button(page, "Call again").click()
    await server.session()
    await phase(page, "live")
    await expect(alert).to_be_empty()


async def test_a_server_that_is_away_is_said_to_be_away(page: Page, server: FakeServer) -> None:
    await server.close()
    await button(page, "Start talking").click()
    await expect(page.get_by_role("alert")).to_contain_text("No connection")


async def test_a_lost_connection_comes_back_to_the_same_call(page: Page, server: FakeServer) -> None:
    session = await start(page, server)
    session.send("caller", text="before", final=True)
    await until(lambda: session.of("client"))
    await session.connection.close()  # the path is gone, the call is not
    again = await server.session(1)
    assert again.query["resume"] == "0"
    await phase(page, "live")
    again.send("caller", text="after", final=True)
    words = page.get_by_role("listitem").locator(".words")
    await expect(words).to_have_text(["before", "after"])
    again.heard.clear()
    await until(lambda: len(again.heard) > RATE_HZ)


async def test_a_server_that_lost_the_call_begins_a_new_one_and_the_page_says_so(
    page: Page, server: FakeServer
) -> None:
    session = await start(page, server)
    session.send("caller", text="before", final=True)
    await says(page.get_by_role("listitem").locator(".words"), "before")
    session.call = "forgotten"
    await session.connection.close()
    await server.session(1)
    await expect(page.get_by_text("The connection was lost; this is a new call.")).to_be_visible()


async def test_a_change_of_network_first_tries_to_restart_ice(page: Page, server: FakeServer) -> None:
    session = await start(page, server)
    await page.evaluate("window.dispatchEvent(new Event('online'))")
    await until(lambda: ("PATCH", '"*"') in server.requests)
    assert "a=ice-ufrag:" in session.patches[-1]
    assert "a=candidate:" in session.patches[-1]
    # Stock aiortc cannot; the page then offers anew.
    await server.session(1)
    await phase(page, "live")


async def test_hanging_up_while_the_line_is_away_ends_the_attempts(page: Page, server: FakeServer) -> None:
    session = await start(page, server)
    server.refusal = (503, {"title": "busy"})
    await session.connection.close()
    await says(status(page), "Reconnecting")
    await button(page, "Hang up").click()
    await says(status(page), "Call ended")
    server.refusal = None
    await asyncio.sleep(1.2)  # longer than the first pauses between attempts
    assert len(server.sessions) == 1


async def test_an_unplugged_microphone_is_replaced(page: Page, server: FakeServer) -> None:
    await page.evaluate("""() => {
      const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      window.opened = [];
      navigator.mediaDevices.getUserMedia = async (wanted) => {
        const stream = await open(wanted);
        window.opened.push(stream.getAudioTracks()[0]);
        return stream;
      };
    }""")
    session = await start(page, server)
    await page.evaluate(
        "() => { window.opened[0].stop(); window.opened[0].dispatchEvent(new Event('ended')); }"
    )
    await expect(page.get_by_role("alert")).to_contain_text("The microphone was disconnected")
    await page.wait_for_function("() => window.opened.length === 2 && window.opened[1].readyState === 'live'")
    session.heard.clear()
    await until(lambda: any(speech.samples(bytes(session.heard)) > 0.05))
