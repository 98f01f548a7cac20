"""The page in a real browser, against a server that does as it is told."""

import asyncio

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests import speech
from tests.browser import RATE_HZ, Console
from tests.transports.webrtc_page.calling import (
    SAME_SPEECH,
    button,
    hears,
    likeness,
    loudest_dbfs,
    phase,
    says,
    start,
    status,
    until,
)
from tests.transports.webrtc_page.conftest import QUESTION
from tests.transports.webrtc_page.fake_server import PAGE, FakeServer

MAX_WEIGHT = 150_000
"""Bytes of the whole page, uncompressed."""
ANSWER = "On Saturday we are open from ten in the morning to one in the afternoon."


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, server: FakeServer) -> Page:
    page = await browser.new_page()
    await page.goto(server.url)
    return page


async def test_the_page_is_light_and_asks_nobody_else(browser: Browser, server: FakeServer) -> None:
    page = await browser.new_page()
    console = Console(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(server.url)
    await expect(page.get_by_role("heading", name="Riverside Clinic")).to_be_visible()
    assert len(asked) == len(set(asked)), "nothing is asked for twice"
    assert all(url.startswith(server.url) for url in asked)
    assert console.errors == []  # the Content-Security-Policy complains here
    assert sum(file.stat().st_size for file in PAGE.iterdir()) <= MAX_WEIGHT


async def test_each_side_hears_the_other(page: Page, server: FakeServer) -> None:
    session = await start(page, server)
    await hears(page, session, ANSWER)
    question = speech.speech(QUESTION, RATE_HZ, mu_law_roundtrip=False)
    await until(lambda: len(session.heard) > 2 * len(question) + 2 * RATE_HZ)  # at least one of them whole
    assert likeness(bytes(session.heard), question) > SAME_SPEECH


async def test_the_conversation_is_shown_as_it_goes(page: Page, server: FakeServer) -> None:
    session = await start(page, server)
    entries = page.get_by_role("listitem")
    session.send("state", state="hearing")
    session.send("caller", text="When are you", final=False)
    await says(status(page), "I hear you")
    await says(entries.locator(".words"), "When are you")
    session.send("caller", text="When are you open?", final=True)
    session.send("state", state="replying")
    await says(status(page), "Thinking")
    session.send("agent", turn=1, text="From nine to five.", kind="speech")
    session.send("state", state="speaking")
    session.send("heard", turn=1, text="From nine", done=False, interrupted=False)
    await says(status(page), "Speaking")
    await says(entries.nth(1).locator(".heard"), "From nine")
    await says(entries.nth(1).locator(".coming"), " to five.")
    session.send("heard", turn=1, text="From nine to five.", done=True, interrupted=False)
    session.send("state", state="idle")
    await says(status(page), "Listening")
    await says(entries.nth(1).locator(".words"), "From nine to five.")


async def test_an_interruption_is_shown_where_the_reply_was_cut(page: Page, server: FakeServer) -> None:
    session = await start(page, server)
    session.send("agent", turn=1, text="We are open from nine to five.", kind="speech")
    session.send("heard", turn=1, text="We are open", done=True, interrupted=True)
    entry = page.get_by_role("listitem")
    await says(entry.locator(".heard"), "We are open")
    await says(entry.locator(".cut"), "You interrupted here")
    await says(entry.locator("del"), "from nine to five.")


async def test_keys_of_the_keypad_reach_the_server(page: Page, server: FakeServer) -> None:
    assert await button(page, "Keypad").count() == 0  # there is no call yet
    session = await start(page, server)
    await button(page, "Keypad").click()
    await button(page, "4").click()
    await button(page, "2").click()
    await button(page, "hash").click()
    await until(lambda: [message["digit"] for message in session.of("dtmf")] == ["4", "2", "#"])
    await says(page.locator(".pressed"), "42#")
    await button(page, "Hang up").evaluate("node => node.click()")
    await expect(page.locator(".keypad")).to_be_hidden()


async def test_what_is_said_is_never_markup(page: Page, server: FakeServer) -> None:
    session = await start(page, server)
    session.send("caller", text="<img src=x onerror=alert(1)>", final=True)
    await says(page.get_by_role("listitem").locator(".words"), "<img src=x onerror=alert(1)>")
    assert await page.locator("img").count() == 0


async def test_the_speaker_falls_silent_as_soon_as_the_agent_yields(page: Page, server: FakeServer) -> None:
    session = await start(page, server)
    muted = "() => document.querySelector('parley-call').shadowRoot.querySelector('audio').muted"
    session.send("state", state="speaking")
    await says(status(page), "Speaking")
    assert await page.evaluate(muted) is False
    session.send("state", state="yielded")
    await says(status(page), "Go ahead")
    assert await page.evaluate(muted) is True
    session.send("state", state="speaking")  # it was only a cough
    await page.wait_for_function(f"() => !({muted})()")


async def test_a_turns_time_is_broken_down(page: Page, server: FakeServer) -> None:
    session = await start(page, server)
    stages = {
        "endpointing": 300,
        "stt_final": 40,
        "llm_first_sentence": 120,
        "tts_first_audio": 80,
        "response": 540,
    }
    session.send("agent", turn=1, text=ANSWER, kind="speech")
    session.send("latency", turn=1, stages_ms=stages, providers={"llm": "embedded"})
    summary = page.locator("summary")
    await expect(summary).to_contain_text("Answered in")
    await summary.click()
    rows = page.locator(".latency tr")
    await expect(rows.filter(has_text="End of speech")).to_contain_text("300 ms")
    await expect(rows.filter(has_text="Model embedded")).to_contain_text("120 ms")
    # Opened details stay open, and keep the focus, while words go on being heard.
    session.send("heard", turn=1, text="On Saturday", done=False, interrupted=False)
    await says(page.locator(".heard"), "On Saturday")
    await expect(summary).to_be_focused()
    await expect(rows.first).to_be_visible()


@pytest.mark.parametrize("kind", ["greeting", "reprompt", "not_understood", "goodbye"])
async def test_what_the_agent_says_unasked_has_no_time(page: Page, server: FakeServer, kind: str) -> None:
    """There is no wait that it would answer: the voice's few milliseconds would look like one."""
    session = await start(page, server)
    session.send("agent", turn=1, text="Pardon?", kind=kind)
    session.send("latency", turn=1, stages_ms={"tts_first_audio": 12}, providers={})
    session.send("agent", turn=2, text=ANSWER, kind="speech")
    session.send("latency", turn=2, stages_ms={"response": 540, "endpointing": 300}, providers={})
    await expect(page.locator("summary")).to_have_count(1)
    await expect(page.get_by_role("listitem").last.locator("summary")).to_be_visible()


async def test_hanging_up_tells_the_server_and_frees_the_microphone(page: Page, server: FakeServer) -> None:
    await page.evaluate("""() => {
      const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = async (wanted) => (window.taken = await open(wanted));
    }""")
    session = await start(page, server)
    await button(page, "Hang up").click()
    await says(status(page), "Call ended")
    await expect(page.get_by_text("You hung up.")).to_be_visible()
    await until(session.ended.is_set)
    assert ("DELETE", "0") in server.requests
    assert await page.evaluate("window.taken.getTracks().map((track) => track.readyState)") == ["ended"]
    assert await page.evaluate("document.querySelector('parley-call').stream") is None
    # And again: everything can be had a second time.
    await button(page, "Call again").click()
    await server.session(1)
    await phase(page, "live")


async def test_the_agent_can_end_the_call(page: Page, server: FakeServer) -> None:
    session = await start(page, server)
    session.send("state", state="ended")
    session.send("bye", cause="agent_hung_up")
    await expect(page.get_by_text("The agent hung up.")).to_be_visible()


@pytest.mark.parametrize("leave", ["reload", "close", "elsewhere"])
async def test_leaving_the_page_ends_the_call(page: Page, server: FakeServer, leave: str) -> None:
    session = await start(page, server)
    if leave == "reload":
        await page.reload()
    elif leave == "close":
        await page.close(run_before_unload=True)
    else:
        await page.goto("about:blank")
    await until(lambda: session.ended.is_set() or session.of("hangup"))
    await until(lambda: ("DELETE", "0") in server.requests)


async def test_two_tabs_do_not_disturb_each_other(browser: Browser, server: FakeServer) -> None:
    context = await browser.new_context()
    first, second = await context.new_page(), await context.new_page()
    await first.goto(server.url)
    await second.goto(server.url)
    one = await start(first, server, 0)
    two = await start(second, server, 1)
    one.send("caller", text="one", final=True)
    two.send("caller", text="two", final=True)
    await says(first.get_by_role("listitem").locator(".words"), "one")
    await says(second.get_by_role("listitem").locator(".words"), "two")
    await button(first, "Hang up").click()
    await until(one.ended.is_set)
    before = len(two.heard)
    await until(lambda: len(two.heard) > before + RATE_HZ // 2)
    assert not two.ended.is_set()
    assert await second.evaluate("document.querySelector('parley-call').phase") == "live"


async def test_muting_sends_silence(page: Page, server: FakeServer) -> None:
    session = await start(page, server)
    await until(lambda: loudest_dbfs(bytes(session.heard)) > -40)
    mute = button(page, "Mute")
    await mute.click()
    await expect(mute).to_have_attribute("aria-pressed", "true")
    await says(status(page), "You are muted")
    await asyncio.sleep(0.3)
    session.heard.clear()
    await until(lambda: len(session.heard) > RATE_HZ * 2)
    assert loudest_dbfs(bytes(session.heard)) < -70
    await mute.click()
    await until(lambda: loudest_dbfs(bytes(session.heard)) > -40)


async def test_push_to_talk_opens_the_microphone_only_while_space_is_held(
    page: Page, server: FakeServer
) -> None:
    await button(page, "Settings").click()
    await page.get_by_role("switch", name="Push to talk").check()
    await button(page, "Close").click()
    session = await start(page, server)
    await says(status(page), "Hold to talk")
    hold = button(page, "Hold to talk")
    await expect(hold).to_be_focused()  # not the red button, which space would press
    await until(lambda: len(session.heard) > RATE_HZ * 2)
    assert loudest_dbfs(bytes(session.heard)) < -70
    await page.keyboard.down("Space")
    await says(status(page), "Listening")
    await until(lambda: loudest_dbfs(bytes(session.heard)) > -40)
    await page.keyboard.up("Space")
    await expect(hold).to_have_attribute("aria-pressed", "false")
    await asyncio.sleep(0.3)
    session.heard.clear()
    await until(lambda: len(session.heard) > RATE_HZ)
    assert loudest_dbfs(bytes(session.heard)) < -70


async def test_typing_needs_no_microphone(page: Page, server: FakeServer) -> None:
    await page.evaluate("""() => {
      navigator.mediaDevices.getUserMedia = () => { throw new Error("asked for the microphone"); };
    }""")
    await button(page, "Type instead").click()
    session = await server.session()
    await says(status(page), "Type your question below")
    message = page.get_by_role("textbox", name="Type a message")
    await expect(message).to_be_focused()
    await message.fill("  where are you  ")
    await message.press("Enter")
    await until(lambda: session.of("text"))
    assert session.of("text")[0]["text"] == "where are you"
    await expect(message).to_have_value("")
    await says(page.get_by_role("listitem").locator(".words"), "where are you")
    await hears(page, session, "Twelve River Street.")


async def test_the_language_can_change_before_and_during_a_call(page: Page, server: FakeServer) -> None:
    await page.get_by_label("Language").first.select_option("es")
    await expect(button(page, "Empezar a hablar")).to_be_visible()
    await page.get_by_label("Voz").first.select_option("Inés")
    await button(page, "Empezar a hablar").click()
    session = await server.session()
    assert session.query == {"language": "es", "voice": "Inés"}
    await phase(page, "live")
    await button(page, "Ajustes").click()
    await page.get_by_role("dialog").get_by_label("Idioma").select_option("en")
    await until(lambda: session.of("language"))
    assert session.of("language")[0]["language"] == "en"
    await expect(page.get_by_role("heading", name="Settings")).to_be_visible()


async def test_the_server_learns_how_the_call_sounds_here(page: Page, server: FakeServer) -> None:
    session = await start(page, server)

    def received() -> int:
        return sum(each["metrics"].get("received", 0) for each in session.of("client"))

    # Packets since the last report, of 50 a second.
    await until(lambda: len(session.of("client")) >= 3 and received() >= 100)
    metrics = session.of("client")[-1]["metrics"]
    assert metrics["lost"] == 0
    assert 0 <= metrics["rtt_ms"] < 5_000
    assert 0 < metrics["jitter_buffer_ms"] < 5_000


async def test_messages_of_no_known_shape_harm_nothing(page: Page, server: FakeServer) -> None:
    session = await start(page, server)
    console = Console(page)
    for text in (
        "",
        "nonsense",
        "[]",
        '{"v":1,"type":"latency","turn":1}',
        '{"v":9,"type":"bye"}',
        "x" * 60_000,
    ):
        session.send_raw(text)
    session.send("caller", text="still here", final=True)
    await says(page.get_by_role("listitem").locator(".words"), "still here")
    assert console.errors == []
