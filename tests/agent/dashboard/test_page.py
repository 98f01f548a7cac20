"""The page in a real browser."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from playwright.async_api import Browser, expect

from agent.dashboard import Dashboard, feed
from agent.dashboard.page_files import FOLDER
from agent.latency import Stage
from tests.agent.dashboard.scene import Theatre, side_port
from tests.browser import Console

TOKEN = "wall-token"


async def test_the_wall_shows_what_is_going_on(browser: Browser) -> None:
    async with side_port() as (stage, client):
        stage.hour()
        stage.ended_call("c0ffee", 3)
        stage.live(4)
        page = await browser.new_page(viewport={"width": 1920, "height": 1080})
        console, asked = Console(page), set[str]()
        page.on("request", lambda request: asked.add(request.url))
        await page.goto(str(client.make_url("/")))
        await expect(page.get_by_role("heading", name="Riverside Clinic")).to_be_visible()
        await expect(page.locator("#status")).to_have_text("answering calls")
        await expect(page.locator("#tile-calls [data-value]")).to_have_text("4")
        await expect(page.locator("#budgets .budget-row")).to_have_count(7)
        await expect(page.locator("#providers .provider")).to_have_count(3)
        assert await page.locator("#turns .turn").count() > 10
        assert len(await page.locator("#hour .p50").get_attribute("d") or "") > 1_000
        # A wall has no scroll bar.
        assert await page.evaluate("document.documentElement.scrollHeight <= innerHeight")
        assert console.errors == []
        assert all(url.startswith(str(client.make_url("/"))) for url in asked)


async def test_a_blown_budget_is_marked_at_its_stage_its_turn_and_in_its_call(browser: Browser) -> None:
    async with side_port() as (stage, client):
        record = stage.ended_call("c0ffee", 3)
        late = record.turns[1]
        late.blown[Stage.LLM_FIRST_TOKEN] = "filler"
        del late.stages[Stage.LLM_FIRST_SENTENCE]
        stage.turns.budget_blown(record, Stage.LLM_FIRST_TOKEN, "filler")
        page = await browser.new_page(viewport={"width": 1920, "height": 1080})
        console = Console(page)
        await page.goto(str(client.make_url("/")))
        row = page.locator('#budgets .budget-row[data-stage="llm_first_token"]')
        await expect(row.locator(".over")).to_have_text("▲ 1")
        assert "over budget: filler 1" in (await row.get_attribute("title") or "")
        await expect(page.locator("#budgets .over")).to_have_count(1)
        marked = page.locator("#turns .turn").filter(has_text="▲")
        await expect(marked).to_have_count(1)
        await expect(marked).to_have_attribute("title", "over budget: llm first token (filler)")
        # The wait that the filler ended is a part of the bar all the same.
        await expect(marked.locator('.parts [data-part="llm_first_sentence"]')).to_have_count(1)
        await marked.click()
        tags = page.locator("#call .tag").filter(has_text="over budget: llm first token (filler)")
        await expect(tags).to_have_count(1)
        assert console.errors == []


async def test_on_a_text_line_the_models_part_is_the_wait_for_its_first_token(browser: Browser) -> None:
    async with side_port() as (stage, client):
        record = stage.ended_call("c0ffee", 1)
        stages = {Stage.LLM_FIRST_TOKEN: 90.0, Stage.RESPONSE: 100.0, Stage.ADDED: 10.0}
        record.turns[0].stages = stages
        page = await browser.new_page()
        await page.goto(str(client.make_url("/")))
        parts = page.locator("#turns .turn .parts i")
        await expect(parts).to_have_count(2)
        assert [await part.get_attribute("data-part") for part in await parts.all()] == [
            "llm_first_sentence", "added",
        ]  # fmt: skip


async def test_words_that_were_asked_for_early_are_told_beside_the_providers(browser: Browser) -> None:
    async with side_port() as (stage, client):
        for call, used in zip(stage.live(3), (True, True, False), strict=True):
            call.record.counters.count_early_finalize(used=used)
        await stage.process.calls.hang_up("LIVE0", "completed")
        page = await browser.new_page()
        await page.goto(str(client.make_url("/")))
        await expect(page.locator("#providers [data-early]")).to_have_text("asked early: 2 of 3 used")


async def test_the_present_follows_by_itself(browser: Browser) -> None:
    async with side_port() as (stage, client):
        page = await browser.new_page()
        await page.goto(str(client.make_url("/")))
        await expect(page.locator("#calls")).to_contain_text("Nobody is calling")
        stage.live(12)
        await expect(page.locator("#calls .cells button")).to_have_count(12)
        await stage.process.calls.hang_up("LIVE0", "completed")
        await expect(page.locator("#calls .cells button")).to_have_count(11)


async def test_a_click_shows_the_call_with_words_and_who_spoke_when(browser: Browser) -> None:
    async with side_port() as (stage, client):
        stage.ended_call("c0ffee", 4)
        page = await browser.new_page()
        console = Console(page)
        await page.goto(str(client.make_url("/")))
        await page.locator("#turns .turn").first.click()
        drawer = page.locator("#call")
        await expect(drawer.get_by_role("heading", name="Call c0ffee")).to_be_visible()
        await expect(drawer.locator(".said.caller").first).to_have_text("what are your opening hours")
        await expect(drawer.locator(".said.agent.cut")).to_have_count(1)
        assert await drawer.locator(".timeline .caller").count() >= 4
        assert await drawer.locator(".timeline .agent").count() >= 4
        await page.keyboard.press("Escape")
        await expect(drawer).to_be_hidden()
        # The call's own address leads back to it.
        await page.goto(str(client.make_url("/")) + "#c0ffee")
        await page.reload()
        await expect(drawer).to_be_visible()
        assert console.errors == []


async def test_words_of_callers_are_text_never_markup(browser: Browser) -> None:
    async with side_port() as (stage, client):
        record = stage.ended_call("c0ffee", 1)
        record.turns[0].caller = "<img src=x onerror=document.title='owned'><b>hi</b>"
        page = await browser.new_page()
        await page.goto(str(client.make_url("/")) + "#c0ffee")
        await expect(page.locator(".said.caller")).to_have_text(record.turns[0].caller)
        assert await page.title() == "Riverside Clinic"


async def test_it_says_when_the_server_is_gone_and_comes_back(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MAX_WATCHERS", 1)
    async with side_port() as (stage, client):
        page = await browser.new_page()
        await page.goto(str(client.make_url("/")))
        await expect(page.locator("#status")).to_have_text("answering calls")
        monkeypatch.setattr(feed, "MAX_WATCHERS", 0)
        for task in tuple(stage.dashboard._handlers):
            task.cancel()
        await expect(page.locator("#status")).to_have_text("no connection to the server")
        monkeypatch.setattr(feed, "MAX_WATCHERS", 1)
        await expect(page.locator("#status")).to_have_text("answering calls")


async def test_a_locked_dashboard_asks_for_its_token(browser: Browser) -> None:
    stage = Theatre()

    @web.middleware
    async def guard(request: web.Request, handler: Any) -> web.StreamResponse:
        guarded = request.path.startswith(("/dashboard/feed", "/dashboard/calls"))
        if guarded and request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise web.HTTPUnauthorized
        answer: web.StreamResponse = await handler(request)
        return answer

    app = web.Application(middlewares=[guard])
    Dashboard(stage.sources).mount(app)
    async with TestClient(TestServer(app)) as client:
        page = await browser.new_page()
        await page.goto(str(client.make_url("/")))
        await page.locator("#token input").fill(TOKEN)
        await page.get_by_role("button", name="Open").click()
        await expect(page.locator("#status")).to_have_text("answering calls")
    await stage.process.close()


async def test_dark_and_light(browser: Browser) -> None:
    async with side_port() as (_, client):
        grounds = set()
        for scheme in ("dark", "light"):
            context = await browser.new_context(color_scheme=scheme)
            page = await context.new_page()
            await page.goto(str(client.make_url("/")))
            grounds.add(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
            await context.close()
        assert len(grounds) == 2


def test_the_page_is_light_and_plain() -> None:
    files = list(Path(FOLDER).iterdir())
    assert sum(file.stat().st_size for file in files) < 60_000
    for file in files:
        if file.suffix == ".js":
            assert "innerHTML" not in file.read_text()


async def test_a_slow_page_is_asleep_when_nobody_looks_at_it(browser: Browser) -> None:
    """The feed of a page that was closed ends, and with it the work for it."""
    async with side_port() as (stage, client):
        page = await browser.new_page()
        await page.goto(str(client.make_url("/")))
        await expect(page.locator("#status")).to_have_text("answering calls")
        await page.close()
        async with asyncio.timeout(20):
            while stage.dashboard.watchers:  # noqa: ASYNC110  # the server's own state, which tells nobody
                await asyncio.sleep(0.02)
