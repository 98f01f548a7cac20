"""A real browser keeps its call while the network under it changes or fails.

Slow (real time): browsers take seconds to notice.
"""

import asyncio
from typing import Any

import pytest
from playwright.async_api import expect

from agent.plugins import TRANSPORTS, names
from tests.browser import needs_chromium
from tests.e2e.browser_stage import PATIENCE_S, Stage, asked, in_phase, sentence, staged
from tests.e2e.test_browser import SAME_SOUND, alike, is_answered, said_by_us
from tests.e2e.test_calls import ANSWERS
from tests.e2e.udp_path import path_under

pytestmark = [
    pytest.mark.e2e,
    needs_chromium,
    pytest.mark.skipif("webrtc" not in names(TRANSPORTS), reason="needs the webrtc transport installed"),
]

ADDRESS = "Where are you?"


async def hellos(stage: Stage, count: int) -> list[str]:
    """Wait for the server's hello over each of `count` sessions. Returns the calls that they name."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found := await stage.told("hello")) < count:  # noqa: ASYNC110  in the browser
            await asyncio.sleep(0.05)
    return [hello["call"] for hello in found]


async def goes_on(stage: Stage) -> None:
    """The call that was answered first is the one that is on, over a second session, and it works."""
    first, second = await hellos(stage, 2)
    assert first == second
    await in_phase(stage.page, "live")
    await stage.type(ADDRESS)
    answer = stage.page.get_by_role("listitem").filter(has_text=ANSWERS[ADDRESS])
    await expect(answer.locator(".heard")).to_have_text(ANSWERS[ADDRESS], timeout=1000 * PATIENCE_S)
    calls = await stage.ask("calls")
    assert len(calls["live"]) == 1
    assert calls["recent"] == []
    await stage.page.get_by_role("button", name="Hang up").click()
    await stage.until_live(0)
    assert len((await stage.ask("calls"))["recent"]) == 1


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
        assert len(await stage.told("hello")) == 1
        assert await stage.live_calls() == 1


async def test_a_path_that_is_gone_for_good_is_replaced_and_the_call_goes_on() -> None:
    async with staged(asked(120.0)) as stage, path_under(stage.page) as path:
        page = stage.page
        path.refuse_restarts = True
        await stage.start()
        await hellos(stage, 1)  # the page is live once packets pass, the channel a moment later
        async with page.expect_request(lambda request: "resume=" in request.url, timeout=60_000) as again:
            path.cut = True
            await in_phase(page, "reconnecting")
            path.cut = False  # there is another network, but the old connection has been given up
        await again.value
        await goes_on(stage)
        assert path.restarts == 1


async def test_a_working_path_that_is_given_up_does_not_end_the_call() -> None:
    async with staged(asked(120.0)) as stage, path_under(stage.page) as path:
        path.refuse_restarts = True
        await stage.start()
        await hellos(stage, 1)  # the page is live once packets pass, the channel a moment later
        await stage.page.evaluate("window.dispatchEvent(new Event('online'))")
        await goes_on(stage)


@pytest.mark.timeout(300)  # up to four attempts
async def test_speech_is_understood_both_ways_while_one_packet_in_twenty_is_lost() -> None:
    answers = await said_by_us()
    async with staged(asked(120.0), listen=True) as stage, path_under(stage.page) as path:
        path.loss = 0.05
        await stage.start()
        # The best of four: a shared machine starves now the recogniser, now the browser's sound.
        for _ in range(4):
            await stage.record()
            await stage.speak(sentence(ADDRESS))
            understood = await is_answered(stage, ADDRESS, len(ANSWERS[ADDRESS]))
            found = alike(await stage.side(1), answers)
            print(understood, found, f"{path.lost} of {path.lost + path.passed} packets lost")
            if (
                understood
                and max(found, key=lambda each: found[each]) == ADDRESS
                and found[ADDRESS] > SAME_SOUND
            ):
                break
        else:
            raise AssertionError("never understood")
        assert path.lost > 10
