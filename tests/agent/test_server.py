"""The process in one piece, over real sockets, with providers and a transport of the test's own."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from agent.agentfile import load_agent
from agent.errors import ConfigError, ProviderUnavailable, Refused
from agent.plugins import TRANSPORTS, TransportContext
from agent.server import EXIT_CUT, MAX_BODY_BYTES, ONE_SIGNAL_MS, Server
from agent.settings import Settings
from tests.agent.fakes import FakeLine, FakeProvider
from tests.certificates import self_signed

WAIT_S = 20.0


class FakeTransport:
    name = "fake"

    def __init__(self, context: TransportContext) -> None:
        self.host = context.host
        self.closed = 0

    def routes(self) -> Iterable[web.RouteDef]:
        return [web.post("/fake/echo", self._echo), web.post("/fake/broken", self._broken)]

    async def close(self) -> None:
        self.closed += 1

    async def _echo(self, request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def _broken(self, request: web.Request) -> web.Response:
        raise RuntimeError("secret detail")


class SlowProvider(FakeProvider):
    """Warm when told."""

    def __init__(self) -> None:
        self.may_warm = asyncio.Event()
        self.error: Exception | None = None
        self.closed = 0

    async def warm(self) -> None:
        await self.may_warm.wait()
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        self.closed += 1


class Running:
    """A server that runs as a task, and a client."""

    def __init__(self, server: Server, provider: SlowProvider, client: aiohttp.ClientSession) -> None:
        self.server = server
        self.provider = provider
        self.client = client
        self.task: asyncio.Task[int]

    def url(self, path: str, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.server.public_address[1]}{path}"

    def side(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.side_address[1]}{path}"

    async def ready(self) -> tuple[int, str]:
        async with self.client.get(self.side("/readyz")) as answer:
            return answer.status, str((await answer.json(content_type=None)).get("detail", ""))

    async def until(self, expected: tuple[int, str]) -> None:
        """Ask `/readyz` until it answers so."""
        async with asyncio.timeout(WAIT_S):
            while await self.ready() != expected:  # noqa: ASYNC110  # asked over HTTP, as an orchestrator does
                await asyncio.sleep(0.01)

    def call(self, call_id: str) -> FakeLine:
        line = FakeLine(call_id)
        self.server.calls.answer_media(line, self.server.calls.reserve())
        return line

    async def stopped(self) -> int:
        return await asyncio.wait_for(asyncio.shield(self.task), WAIT_S)


@asynccontextmanager
async def running(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> AsyncIterator[Running]:
    provider = SlowProvider()

    def load(group: str, name: str) -> Any:
        return FakeTransport if group == TRANSPORTS else lambda _: provider

    monkeypatch.setattr("agent.server.load", load)
    options = {"host": "127.0.0.1", "port": 0, "side_port": 0, "transports": ("fake",), **settings}
    server = Server(Settings(**options), load_agent(None))
    listening = asyncio.Event()
    async with aiohttp.ClientSession() as client:
        run = Running(server, provider, client)
        run.task = asyncio.create_task(server.run(listening.set))
        waiting = asyncio.create_task(listening.wait())
        await asyncio.wait((run.task, waiting), timeout=WAIT_S, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        try:
            yield run
        finally:
            server.stop(cut=True)
            await asyncio.wait((run.task,), timeout=WAIT_S)


async def test_it_listens_first_and_is_ready_when_the_providers_are_warm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(monkeypatch) as run:
        assert await run.ready() == (503, "providers are warming up")
        run.call("CA1")  # a call that comes early is taken all the same
        run.provider.may_warm.set()
        await run.until((200, ""))


async def test_a_provider_that_cannot_be_warmed_is_the_chains_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as run:
        run.provider.error = ProviderUnavailable("fake", "refused")
        run.provider.may_warm.set()
        await run.until((200, ""))


async def test_a_fault_while_warming_up_is_seen_and_keeps_it_unready(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as run:
        run.provider.error = RuntimeError("a bug")
        run.provider.may_warm.set()
        await run.until((503, "warm-up failed: RuntimeError; see the log"))


async def test_a_signal_lets_live_calls_finish_and_exits_with_0(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as run:
        run.provider.may_warm.set()
        run.call("CA1")
        run.server._signalled()
        await asyncio.sleep(0.05)
        assert await run.ready() == (503, "draining")
        with pytest.raises(Refused):
            run.server.calls.reserve()
        assert not run.task.done()
        await run.server.calls.hang_up("CA1", "caller_hung_up")
        assert await run.stopped() == 0
        # One object serves as all three providers here.
        assert run.provider.closed == 3
        (transport,) = run.server._transports
        assert isinstance(transport, FakeTransport)
        assert transport.closed == 1


async def test_calls_that_outlast_the_drain_are_cut_and_the_status_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(monkeypatch, drain_s=0.05) as run:
        line = run.call("CA1")
        run.server._signalled()
        assert await run.stopped() == EXIT_CUT
        assert line.hung_up
        assert line.closed


async def test_a_second_signal_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch, drain_s=3600.0) as run:
        run.call("CA1")
        run.server._signalled()
        await asyncio.sleep(ONE_SIGNAL_MS / 1000 + 0.01)
        run.server._signalled()
        assert await run.stopped() == EXIT_CUT


async def test_a_signal_that_a_wrapper_passes_on_as_well_cuts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch, drain_s=3600.0) as run:
        line = run.call("CA1")
        run.server._signalled()
        run.server._signalled()
        await asyncio.sleep(0.05)
        assert not line.hung_up
        assert not run.task.done()


async def test_a_port_that_is_taken_is_the_operators_to_solve(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        running(monkeypatch) as first,
        running(monkeypatch, side_port=first.server.side_address[1]) as second,
    ):
        with pytest.raises(ConfigError, match="cannot listen on 127"):
            await second.stopped()
        # The public port had been opened before: it is closed again.
        with pytest.raises(aiohttp.ClientConnectorError):
            await second.client.get(second.url("/"))


async def test_errors_on_the_public_port_are_problem_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as run:
        for method, path, body, status in (
            ("GET", "/nope", b"", 404),
            ("GET", "/fake/echo", b"", 405),
            ("POST", "/fake/echo", b"x" * (MAX_BODY_BYTES + 1), 413),
            ("POST", "/fake/broken", b"", 500),
        ):
            async with run.client.request(method, run.url(path), data=body) as answer:
                assert (answer.status, answer.content_type) == (status, "application/problem+json"), path
                assert "secret detail" not in await answer.text()
        async with run.client.post(run.url("/fake/echo"), data=b"x" * MAX_BODY_BYTES) as answer:
            assert answer.status == 200
        async with run.client.get(run.url("/")) as answer:
            assert (answer.status, answer.content_type) == (200, "text/plain")


async def test_a_certificate_and_a_key_make_the_public_port_speak_tls(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    self_signed(certificate, key)
    async with running(monkeypatch, tls_certificate=certificate, tls_key=key) as run:
        trusting = ssl.create_default_context(cafile=str(certificate))
        async with run.client.get(run.url("/", "https"), ssl=trusting) as answer:
            assert answer.status == 200
        old = ssl.create_default_context(cafile=str(certificate))
        old.set_ciphers("DEFAULT@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(aiohttp.ClientConnectorError):
            await run.client.get(run.url("/", "https"), ssl=old)


async def test_a_certificate_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nonsense = tmp_path / "cert.pem"
    nonsense.write_text("nonsense")
    async with running(monkeypatch, tls_certificate=nonsense, tls_key=nonsense) as run:
        with pytest.raises(ConfigError, match=r"cert\.pem"):
            await run.stopped()


async def test_a_plugin_that_breaks_on_import_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(group: str, name: str) -> Any:
        raise ImportError("no codec library")

    monkeypatch.setattr("agent.server.load", load)
    with pytest.raises(ConfigError, match="'embedded' cannot be loaded: no codec library"):
        Server(Settings(), load_agent(None))
