"""`<parley-call>` on somebody else's page: another origin, a strict policy of its own, one script tag."""

from collections.abc import AsyncIterator

import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Page, expect

from tests.browser import Console
from tests.transports.webrtc_page.calling import button, phase, says, status, until
from tests.transports.webrtc_page.fake_server import FakeServer


class Site:
    """A site that embeds the element and mints tokens for its visitors."""

    def __init__(self, parley: str) -> None:
        self.parley = parley
        self.element = "<parley-call></parley-call>"
        self.minted = 0
        self.url = ""

    async def page(self, _request: web.Request) -> web.Response:
        policy = (
            f"default-src 'none'; script-src {self.parley} 'self'; connect-src {self.parley} 'self'; "
            "require-trusted-types-for 'script'"
        )
        text = (
            "<!doctype html><title>A site</title>"
            f'<script type="module" src="{self.parley}page/parley-call.js"></script>{self.element}'
        )
        return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": policy})

    async def token(self, _request: web.Request) -> web.Response:
        self.minted += 1
        return web.json_response({"token": "granted"}, status=201)


@pytest_asyncio.fixture(loop_scope="session")
async def site(server: FakeServer) -> AsyncIterator[Site]:
    site = Site(server.url)
    app = web.Application()
    app.add_routes([web.get("/", site.page), web.post("/parley-token", site.token)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    # Another name for the same machine: another origin, which is still a secure one.
    site.url = f"http://localhost:{runner.addresses[0][1]}/"
    yield site
    await runner.cleanup()


async def visit(browser: Browser, site: Site, element: str) -> Page:
    site.element = element
    page = await browser.new_page()
    await page.goto(site.url)
    return page


async def test_one_script_tag_is_all_it_takes(browser: Browser, server: FakeServer, site: Site) -> None:
    page = await visit(browser, site, '<parley-call token-url="/parley-token" theme="dark"></parley-call>')
    console = Console(page)
    await button(page, "Start talking").click()
    session = await server.session()
    await phase(page, "live")
    assert site.minted == 1
    session.send("caller", text="from afar", final=True)
    await says(page.get_by_role("listitem").locator(".words"), "from afar")
    await button(page, "Hang up").click()
    await until(session.ended.is_set)
    assert ("DELETE", "0") in server.requests
    # No icon is not the element's fault.
    assert [error for error in console.errors if "favicon" not in error] == []


async def test_the_site_can_drive_it_and_hears_of_everything(
    browser: Browser, server: FakeServer, site: Site
) -> None:
    page = await visit(browser, site, '<parley-call token="granted" language="es"></parley-call>')
    await expect(button(page, "Empezar a hablar")).to_be_visible()
    await page.evaluate("""() => {
      window.told = [];
      for (const name of ["parley-phase", "parley-message", "parley-end"])
        document.addEventListener(name, ({ detail }) =>
          window.told.push([name, detail.type ?? detail.cause ?? detail]));
    }""")
    call = "document.querySelector('parley-call')"
    await page.evaluate(f"{call}.start({{ microphone: false }})")
    session = await server.session()
    await phase(page, "live")
    assert session.query["language"] == "es"
    assert await page.evaluate(f"{call}.sendText('hola')") is True
    await until(lambda: session.of("text"))
    assert (await page.evaluate(f"{call}.transcript"))[0]["text"] == "hola"
    await page.evaluate(f"{call}.hangUp()")
    told = await page.evaluate("window.told")
    # The greeting over the data channel may come before or after the connection is said to be up.
    assert ["parley-message", "hello"] in told
    assert [each for each in told if each[0] != "parley-message"] == [
        ["parley-phase", "connecting"], ["parley-phase", "live"], ["parley-phase", "ended"],
        ["parley-end", "hung_up"],
    ]  # fmt: skip


async def test_a_provider_of_tokens_is_asked_for_each_offer(
    browser: Browser, server: FakeServer, site: Site
) -> None:
    page = await visit(browser, site, "<parley-call></parley-call>")
    await page.evaluate("""() => {
      window.asked = 0;
      document.querySelector("parley-call").tokenProvider = async () => {
        window.asked += 1;
        return "granted";
      };
    }""")
    await button(page, "Start talking").click()
    session = await server.session()
    await phase(page, "live")
    await session.connection.close()
    await server.session(1)
    assert await page.evaluate("window.asked") == 2


async def test_at_its_own_height_nothing_has_to_be_scrolled(
    browser: Browser, server: FakeServer, site: Site
) -> None:
    page = await visit(browser, site, '<parley-call token-url="/parley-token"></parley-call>')
    await expect(button(page, "Start talking")).to_be_enabled()
    for width in (360, 760):
        await page.set_viewport_size({"width": width, "height": 900})
        stage = page.locator(".stage")
        await expect(stage).to_have_js_property(
            "scrollHeight", await stage.evaluate("node => node.clientHeight")
        )


async def test_taking_the_element_away_ends_its_call(
    browser: Browser, server: FakeServer, site: Site
) -> None:
    page = await visit(browser, site, '<parley-call token="granted"></parley-call>')
    await button(page, "Start talking").click()
    session = await server.session()
    await phase(page, "live")
    await page.evaluate("document.querySelector('parley-call').remove()")
    await until(session.ended.is_set)


async def test_two_elements_on_one_page_are_two_calls(
    browser: Browser, server: FakeServer, site: Site
) -> None:
    page = await visit(
        browser, site, "".join(f'<parley-call id="{name}" token="granted"></parley-call>' for name in "ab")
    )
    first, second = page.locator("#a"), page.locator("#b")
    await first.get_by_role("button", name="Start talking").click()
    await says(first.locator(".status"), "Listening")
    await expect(second.locator(".status")).to_have_text("Ready when you are")
    assert len(server.sessions) == 1
    assert await status(page).count() == 2
