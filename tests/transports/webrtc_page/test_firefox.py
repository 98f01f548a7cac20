"""The page in Debian's Firefox, driven by WebDriver BiDi over its own WebSocket.

Sound that comes out cannot be checked: without an audio device Firefox keeps its audio contexts asleep. That
packets arrive and are decoded in time is.

Each test may begin anew once, with a new browser: one run in a hundred or so, a headless Firefox on a shared
machine stops talking in mid-call, which no load on the machine reproduces.
"""

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import websockets

from tests import speech
from tests.browser import RATE_HZ
from tests.transports.fakes import eventually
from tests.transports.webrtc.fakes import serving
from tests.transports.webrtc_page.calling import until
from tests.transports.webrtc_page.fake_server import FakeServer

FIREFOX = shutil.which("firefox-esr") or ""
pytestmark = [
    pytest.mark.skipif(not FIREFOX, reason="needs Debian's firefox-esr"),
    pytest.mark.flaky(reruns=1),
]
PREFERENCES = {
    "media.navigator.streams.fake": "true",  # a microphone that hums
    "media.navigator.permission.disabled": "true",
    "media.autoplay.default": "0",
    "media.peerconnection.ice.loopback": "true",
    # Shown anyway once a real microphone is allowed; a container has nobody to resolve mDNS names.
    "media.peerconnection.ice.obfuscate_host_addresses": "false",
    "datareporting.policy.dataSubmissionEnabled": "false",
    "app.normandy.enabled": "false",
    "app.update.disabledForTesting": "true",
    "network.captive-portal-service.enabled": "false",
    # What becomes of the machine's other links is no matter of a call over loopback.
    "network.manage-offline-status": "false",
    "network.notify.changed": "false",
}
START_S = 30.0
CALL = "document.querySelector('parley-call')"


class Firefox:
    """One tab of a running Firefox."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._sent = 0
        self._tab = ""
        self.errors: list[str] = []

    async def command(self, method: str, **params: Any) -> Any:
        """Send a BiDi command and return its result."""
        self._sent += 1
        await self._socket.send(json.dumps({"id": self._sent, "method": method, "params": params}))
        async with asyncio.timeout(START_S):
            while True:
                message = json.loads(await self._socket.recv())
                if message.get("id") == self._sent:
                    assert message["type"] == "success", message
                    return message["result"]
                entry = message.get("params", {})
                if message.get("method") == "log.entryAdded" and entry["level"] == "error":
                    self.errors.append(str(entry["text"]))

    async def open(self, url: str) -> None:
        """Load a page."""
        await self.command("session.new", capabilities={})
        await self.command("session.subscribe", events=["log.entryAdded"])
        self._tab = (await self.command("browsingContext.getTree"))["contexts"][0]["context"]
        await self.command("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    async def run(self, script: str) -> Any:
        """The value of an expression, as after a click."""
        made = await self.command(
            "script.evaluate", expression=script, target={"context": self._tab}, awaitPromise=True,
            userActivation=True,
        )  # fmt: skip
        assert made["type"] == "success", made
        return made["result"].get("value")

    async def is_so(self, script: str) -> None:
        """Wait until an expression is true."""
        async with asyncio.timeout(START_S):
            while not await self.run(script):  # noqa: ASYNC110  it is the browser that changes
                await asyncio.sleep(0.05)


@asynccontextmanager
async def firefox(profile: Path) -> AsyncIterator[Firefox]:
    lines = [f'user_pref("{name}", {value});' for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines))
    process = await asyncio.create_subprocess_exec(
        FIREFOX, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "HOME": str(profile)},
    )  # fmt: skip
    assert process.stderr is not None
    reading: asyncio.Task[bytes] | None = None
    try:
        async with asyncio.timeout(START_S):
            while not (found := re.search(rb"listening on (ws://\S+)", await process.stderr.readline())):
                assert process.returncode is None, "firefox ended before it listened"
        # Its further words must not fill the pipe.
        reading = asyncio.create_task(process.stderr.read(), name="firefox-words")
        async with websockets.connect(f"{found[1].decode()}/session", max_size=None) as socket:
            yield Firefox(socket)
    finally:
        process.terminate()
        await process.wait()
        if reading is not None:
            await reading


async def whole_second(server: FakeServer) -> dict[str, float]:
    """The metrics of a second with a packet every 20 ms, from whatever session carries the call now."""

    def found() -> list[dict[str, float]]:
        told = [each["metrics"] for session in server.sessions for each in session.of("client")]
        return [each for each in told if each.get("received", 0) >= 40]

    try:
        await until(found)
    except TimeoutError:
        sessions = [(each.connection.connectionState, each.messages[-3:]) for each in server.sessions]
        pytest.fail(f"no whole second was reported: {sessions}, {server.requests}")
    return found()[0]


async def test_a_call_from_firefox(server: FakeServer, tmp_path: Path) -> None:
    async with firefox(tmp_path) as browser:
        await browser.open(server.url)
        await browser.is_so(f"{CALL}.shadowRoot?.querySelector('.title')?.textContent === 'Riverside Clinic'")
        await browser.run(f"{CALL}.start()")
        session = await server.session()
        await browser.is_so(f"{CALL}.phase === 'live'")
        session.voice.play(speech.speech("Hello, this is the clinic.", RATE_HZ, mu_law_roundtrip=False))
        session.send("agent", turn=1, text="Hello, this is the clinic.", kind="greeting")
        session.send("heard", turn=1, text="Hello, this", done=False, interrupted=False)
        await browser.is_so(f"{CALL}.shadowRoot.querySelector('.heard')?.textContent === 'Hello, this'")
        await until(
            lambda: speech.level_dbfs(bytes(session.heard[-RATE_HZ:])) > -40 if session.heard else False
        )
        measured = await whole_second(server)
        assert measured["lost"] == 0
        assert await browser.run(f"{CALL}.shadowRoot.querySelector('audio').paused") is False
        await browser.run(f"{CALL}.hangUp()")
        await until(server.sessions[-1].ended.is_set)
        assert ("DELETE", str(server.sessions[-1].number)) in server.requests
        assert browser.errors == []


async def test_firefox_talks_to_the_real_transport_over_one_bundle(tmp_path: Path) -> None:
    async with serving() as served, firefox(tmp_path) as browser:
        await browser.open(served.url)
        await browser.is_so(f"{CALL}.shadowRoot?.querySelector('.title')?.textContent === 'Desk'")
        await browser.run(f"{CALL}.start()")
        async with asyncio.timeout(START_S):
            await served.host.answered.wait()
        call = served.host.calls[0]
        await browser.is_so(f"{CALL}.phase === 'live'")
        await eventually(lambda: call.count("hear") > 20)
        # The data channel came over the bundle although its section was on port 0.
        await browser.is_so(f"{CALL}.sendText('Are you open on Sunday?')")
        await eventually(lambda: ("typed", "Are you open on Sunday?") in call.events)
        await browser.run(f"{CALL}.hangUp()")
        await eventually(call.ended.is_set)
        assert not call.bad
        assert browser.errors == []
