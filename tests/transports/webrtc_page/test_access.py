"""Everybody can use the page: contrast, names, keyboard, motion, small screens."""

from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser import RATE_HZ, chromium, connected
from tests.transports.webrtc_page.calling import button, phase, start, until
from tests.transports.webrtc_page.fake_server import FakeServer, FakeSession

CONTRAST = """
() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const luminance = ([r, g, b]) => [r, g, b]
    .map((each) => each / 255)
    .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
    .reduce((sum, each, at) => sum + each * [0.2126, 0.7152, 0.0722][at], 0);
  const over = (top, under) => [0, 1, 2].map((at) => (top[at] * top[3] + under[at] * (255 - top[3])) / 255);
  const ground = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement ?? at.getRootNode().host) {
      const layer = rgba(getComputedStyle(at).backgroundColor);
      layers.unshift(layer);
      if (layer[3] === 255) break;
    }
    return layers.reduce((under, layer) => over(layer, under), [255, 255, 255]);
  };
  const found = [];
  for (const node of document.querySelector("parley-call").shadowRoot.querySelectorAll("*")) {
    const own = [...node.childNodes].some((each) => each.nodeType === 3 && each.data.trim());
    if (!own || !node.checkVisibility() || node.closest(".hidden-name, option, :disabled")) continue;
    const under = ground(node);
    const [a, b] = [luminance(over(rgba(getComputedStyle(node).color), under)), luminance(under)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push([node.className || node.tagName, node.textContent, ratio.toFixed(2)]);
  }
  return found;
}
"""
"""Texts with less than 4.5:1 to their background (WCAG 2.2, 1.4.3)."""

NAMELESS = """
() => [...document.querySelector("parley-call").shadowRoot.querySelectorAll("button, input, select, summary")]
  .filter((node) => node.checkVisibility())
  .filter((node) =>
    !(node.getAttribute("aria-label") || node.labels?.[0]?.textContent || node.textContent).trim())
  .map((node) => node.outerHTML)
"""

SMALL = """
() => [...document.querySelector("parley-call").shadowRoot.querySelectorAll("button, select, input, summary")]
  .filter((node) => node.checkVisibility())
  .map((node) => [node.className || node.id, node.getBoundingClientRect()])
  .filter(([, box]) => box.width < 24 || box.height < 24)
  .map(([name]) => name)
"""
"""Targets under 24 px (WCAG 2.2, 2.5.8)."""


async def everything(page: Page, server: FakeServer) -> FakeSession:
    """A call that shows each kind of entry."""
    session = await start(page, server)
    session.send("agent", turn=1, text="We are open from nine to five.", kind="speech")
    session.send("heard", turn=1, text="We are open", done=True, interrupted=True)
    session.send("latency", turn=1, stages_ms={"endpointing": 300, "response": 500}, providers={})
    session.send("caller", text="and on sunday", final=False)
    session.send("tool", turn=2, name="look_up")
    session.send("agent", turn=2, text="We are closed on Sunday.", kind="speech")
    session.send("heard", turn=2, text="We are", done=False, interrupted=False)
    session.send("error", text="The model is slow.")
    session.send("state", state="hearing")
    await expect(page.get_by_text("The model is slow.")).to_be_visible()
    await page.locator("summary").click()
    return session


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_texts_can_be_read_and_controls_have_names(
    browser: Browser, server: FakeServer, scheme: Any
) -> None:
    page = await browser.new_page(color_scheme=scheme)
    await page.goto(server.url)
    await expect(button(page, "Start talking")).to_be_enabled()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Riverside Clinic")

    async def well() -> None:
        assert await page.evaluate(CONTRAST) == []
        assert await page.evaluate(NAMELESS) == []
        assert await page.evaluate(SMALL) == []

    await well()
    await everything(page, server)
    await well()
    await button(page, "Settings").click()
    await well()
    await page.keyboard.press("Escape")
    await button(page, "Keypad").click()
    await well()
    await page.keyboard.press("Escape")
    await button(page, "Hang up").click()
    await expect(button(page, "Call again")).to_be_visible()
    server.refusal = (503, {"title": "busy"})
    await button(page, "Call again").click()
    await expect(page.get_by_role("alert")).to_contain_text("All lines are busy")
    await well()


async def test_a_call_needs_only_the_keyboard(browser: Browser, server: FakeServer) -> None:
    page = await browser.new_page()
    await page.goto(server.url)
    talk = button(page, "Start talking")
    await expect(talk).to_be_visible()
    for _ in range(12):
        await page.keyboard.press("Tab")
        if await talk.evaluate("node => node.getRootNode().activeElement === node"):
            break
    await page.keyboard.press("Enter")
    session = await server.session()
    await phase(page, "live")
    await expect(button(page, "Hang up")).to_be_focused()
    await page.keyboard.press("Enter")
    await phase(page, "ended")
    assert session.query["language"] == "en"


async def test_the_keypad_needs_only_the_keyboard(browser: Browser, server: FakeServer) -> None:
    page = await browser.new_page()
    await page.goto(server.url)
    session = await start(page, server)
    dial = button(page, "Keypad")
    await dial.focus()
    await page.keyboard.press("Enter")
    await expect(button(page, "1")).to_be_focused()
    await page.keyboard.press("Enter")  # the key that has the focus
    await page.keyboard.type("90*x")
    await page.keyboard.press("Control+5")
    await expect(button(page, "star")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(dial).to_be_focused()
    await page.keyboard.type("7")  # it is closed
    session.send("error", text="done")
    await expect(page.get_by_text("done")).to_be_visible()
    await until(lambda: len(session.of("dtmf")) >= 4)
    assert [message["digit"] for message in session.of("dtmf")] == ["1", "9", "0", "*"]


async def test_a_screen_reader_hears_of_the_call_not_of_every_word(
    browser: Browser, server: FakeServer
) -> None:
    """Live regions would talk over the agent, and into the microphone."""
    page = await browser.new_page()
    await page.goto(server.url)
    await everything(page, server)
    live = page.locator("[aria-live], [role=status], [role=alert], [role=log]")
    assert await live.all_text_contents() == ["", ""]
    await button(page, "Hang up").click()
    await expect(page.get_by_role("status")).to_have_text("Call ended")


@pytest.mark.parametrize("size", [(320, 568), (390, 844), (844, 390), (768, 1024), (1280, 720), (1920, 1080)])
async def test_nothing_is_cut_off_at_any_size(
    browser: Browser, server: FakeServer, size: tuple[int, int]
) -> None:
    page = await browser.new_page(viewport={"width": size[0], "height": size[1]})
    await page.goto(server.url)
    await expect(button(page, "Start talking")).to_be_visible()
    wide = "document.documentElement.scrollWidth"
    assert await page.evaluate(wide) <= size[0]
    await everything(page, server)
    assert await page.evaluate(wide) <= size[0]
    await button(page, "Keypad").click()
    for name in ("Hang up", "Mute", "Keypad", "Send", "Settings", "1", "hash"):
        box = await button(page, name).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["y"] >= 0
        assert box["x"] + box["width"] <= size[0]
        assert box["y"] + box["height"] <= size[1]
    words = await page.locator(".scroll").bounding_box()
    assert words is not None
    assert words["height"] >= 100


@pytest.mark.parametrize("size", [(390, 844), (1440, 900)])
async def test_help_and_settings_fit_on_a_phone_and_on_a_desktop(
    browser: Browser, server: FakeServer, size: tuple[int, int]
) -> None:
    fits = "node => node.scrollWidth <= node.clientWidth && node.scrollHeight <= node.clientHeight"
    page = await browser.new_page(viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce")
    await page.goto(server.url)
    await page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia ="
        " () => Promise.reject(new DOMException('', 'NotAllowedError')); }"
    )
    await button(page, "Start talking").click()
    await expect(button(page, "Try again")).to_be_visible()
    assert await page.locator(".stage").evaluate(fits)
    await button(page, "Settings").click()
    await expect(page.get_by_label("Show response times")).to_be_visible()
    assert await page.get_by_role("dialog").evaluate(fits)


async def test_a_waterfall_that_is_opened_comes_into_view(browser: Browser, server: FakeServer) -> None:
    page = await browser.new_page(viewport={"width": 390, "height": 844})
    await page.goto(server.url)
    session = await start(page, server)
    for turn in range(1, 8):
        session.send("caller", text=f"question {turn}", final=True)
        session.send("agent", turn=turn, text="We are open from nine to five.", kind="speech")
        session.send("heard", turn=turn, text="We are open from nine to five.", done=True, interrupted=False)
    session.send("latency", turn=7, stages_ms={"endpointing": 300, "response": 500}, providers={})
    await page.locator("summary").click()
    await expect(page.get_by_role("rowheader", name="Total")).to_be_in_viewport()


async def orb_moves(browser: Browser, url: str) -> dict[str, bool]:
    """By what the caller's system says about motion."""
    changed = {}
    for motion in ("reduce", "no-preference"):
        page = await browser.new_page(reduced_motion="reduce" if motion == "reduce" else "no-preference")
        await page.goto(url)
        await expect(button(page, "Start talking")).to_be_visible()
        await page.wait_for_timeout(500)
        canvas = page.locator("canvas")
        before = await canvas.screenshot()
        await page.wait_for_timeout(700)
        changed[motion] = await canvas.screenshot() != before
        await page.close()
    return changed


@pytest.mark.parametrize("webgl", [True, False], ids=["WebGL", "no WebGL"])
async def test_the_orb_moves_only_where_motion_is_welcome(
    webgl: bool, browser: Browser, server: FakeServer
) -> None:
    if webgl:
        with chromium(bytes(2 * RATE_HZ), webgl=True) as devtools:
            async with connected(devtools) as another:
                changed = await orb_moves(another, server.url)
    else:
        changed = await orb_moves(browser, server.url)
    assert changed == {"reduce": False, "no-preference": True}
