"""A thousand offers a second from one address, while somebody is on the phone."""

import asyncio
import json
import sys
from typing import Any
from urllib.parse import urlsplit

from tests import speech
from tests.transports.fakes import eventually
from tests.transports.webrtc import flood
from tests.transports.webrtc.fakes import browser, serving
from transports.webrtc.sender import SPOKEN_HZ

FRAME_MS = 20
RATE_PER_MIN = 6
BURST = 4


async def test_a_flood_of_offers_is_refused_and_the_call_that_is_on_goes_on() -> None:
    words = "We are open from nine in the morning to five in the afternoon, and closed on Sundays."
    frames = list(speech.frames(speech.speech(words, SPOKEN_HZ, mu_law_roundtrip=False), SPOKEN_HZ))
    async with serving(BURST=str(BURST), RATE=str(RATE_PER_MIN)) as served, browser(served) as page:
        call = await served.call()
        await page.open.wait()
        (session,) = served.whip.sessions.values()

        spoken = 0

        async def speak() -> None:
            """The agent, for as long as the flood lasts."""
            nonlocal spoken
            loop = asyncio.get_running_loop()
            due_s = loop.time()
            while True:
                for frame in frames:
                    call.line.send(frame)
                    spoken += 1
                    due_s += FRAME_MS / 1000
                    await asyncio.sleep(max(due_s - loop.time(), 0))

        speaking = asyncio.create_task(speak())
        try:
            await eventually(lambda: len(page.heard) > 10)
            heard, sent, received, spoken = call.count("hear"), session.network.sent, len(page.heard), 0
            made = await poured(served.url)
        finally:
            speaking.cancel()
            await asyncio.wait([speaking])
        heard, sent = call.count("hear") - heard, session.network.sent - sent

        answered = {int(status): count for status, count in made["statuses"].items()}
        assert set(answered) == {201, 429}
        assert sum(answered.values()) == flood.OFFERS
        # The browser that is on the phone was the first of the burst.
        assert answered[201] <= BURST - 1 + made["took_s"] * RATE_PER_MIN / 60 + 1
        assert served.host.bad["webrtc", "rate"] == answered[429]

        # Nobody in the call noticed: both sides are heard throughout, and nothing is lost.
        assert heard >= 0.8 * made["took_s"] * 1000 / FRAME_MS
        assert sent > 0.5 * spoken, "most of it is words, the rest is pauses"
        await eventually(lambda: len(page.heard) - received >= sent)
        assert session.network.lost_in == 0
        assert not call.bad
        assert not call.ended.is_set()


async def poured(url: str) -> dict[str, Any]:
    """What the flood tells of itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.transports.webrtc.flood", str(urlsplit(url).port),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0
    made: dict[str, Any] = json.loads(output)
    return made
