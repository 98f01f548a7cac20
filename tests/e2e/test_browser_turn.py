"""A real browser that can reach nothing but a TURN server calls through it: coturn, with the credentials that
our server hands out.
"""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aioice.stun import TransactionFailed
from aioice.turn import create_turn_endpoint
from playwright.async_api import expect

from agent.clock import LoopClock
from agent.plugins import TRANSPORTS, names
from tests.browser import needs_chromium
from tests.e2e.browser_stage import PATIENCE_S, asked, staged
from tests.e2e.test_calls import ANSWERS
from transports.webrtc.turn import IceServers

TURNSERVER = shutil.which("turnserver") or ""
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not TURNSERVER, reason="needs Debian's coturn"),
    pytest.mark.skipif("webrtc" not in names(TRANSPORTS), reason="needs the webrtc transport installed"),
]

SECRET = "a secret of both servers"
ADDRESS = "Where are you?"
ONLY_RELAYED = """
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(wanted) {
    super({ ...wanted, iceTransportPolicy: "relay" });
    window.connection = this;
  }
};
"""
USED_PATH = """
async () => {
  const report = await window.connection.getStats();
  const pair = [...report.values()].find((each) => each.type === "candidate-pair" && each.nominated);
  const local = report.get(pair.localCandidateId);
  return [local.candidateType, local.relayProtocol, local.url];
}
"""


class Relayed(asyncio.DatagramProtocol):
    """A peer with a relayed address."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()


@asynccontextmanager
async def coturn(directory: Path) -> AsyncIterator[int]:
    """A TURN server on a free loopback port, which is yielded."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = await asyncio.create_subprocess_exec(
        TURNSERVER, "-n", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", f"--listening-port={port}",
        "--allow-loopback-peers", "--use-auth-secret", f"--static-auth-secret={SECRET}",
        "--realm=parley.test", "--fingerprint", "--no-tls", "--no-dtls", "--no-cli", "--no-rfc5780",
        "--log-file=stdout", f"--pidfile={directory / 'turn.pid'}", f"--userdb={directory / 'turndb'}",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                assert process.returncode is None, "coturn ended before it listened"
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.05)
                    continue
                writer.close()
                await writer.wait_closed()
                break
        yield port
    finally:
        process.terminate()
        await process.wait()


@needs_chromium
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_browser_behind_a_strict_firewall_calls_through_turn(transport: str, tmp_path: Path) -> None:
    async with coturn(tmp_path) as port:
        turn = f"turn:127.0.0.1:{port}?transport={transport}"
        async with staged(
            asked(60.0), PARLEY_WEBRTC_ICE_SERVERS=turn, PARLEY_WEBRTC_TURN_SECRET=SECRET
        ) as stage:
            page = stage.page
            await page.add_init_script(ONLY_RELAYED)
            await page.goto(stage.server.url)
            await stage.start()
            assert await page.evaluate(USED_PATH) == ["relay", transport, turn]
            await stage.type(ADDRESS)
            answer = page.get_by_role("listitem").filter(has_text=ANSWERS[ADDRESS])
            await expect(answer.locator(".heard")).to_have_text(ANSWERS[ADDRESS], timeout=1000 * PATIENCE_S)
            await page.get_by_role("button", name="Hang up").click()
            await stage.until_live(0)


@pytest.mark.parametrize(
    ("age_s", "secret"), [(0, SECRET), (7200, SECRET), (0, "another secret")], ids=["good", "old", "forged"]
)
async def test_credentials_hold_for_their_time_and_no_longer(age_s: int, secret: str, tmp_path: Path) -> None:
    async with coturn(tmp_path) as port:
        servers = IceServers((f"turn:127.0.0.1:{port}",), secret, ttl_s=3600)
        (told,) = servers.for_browser("webrtc", LoopClock().unix_s() - age_s)
        allocation = create_turn_endpoint(Relayed, ("127.0.0.1", port), told["username"], told["credential"])
        async with asyncio.timeout(PATIENCE_S):
            if age_s or secret != SECRET:
                with pytest.raises(TransactionFailed, match="401"):
                    await allocation
                return
            relay, relayed = await allocation
            assert relay.get_extra_info("sockname")[0] == "127.0.0.1"
            relay.close()
            await relayed.gone.wait()
