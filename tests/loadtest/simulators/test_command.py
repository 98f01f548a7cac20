"""`parley simulate` as people use it: any set of services, from one command."""

import argparse
import asyncio
import os
import signal
import socket
from typing import Any, Self

import aiohttp
import pytest

from agent.clock import LoopClock
from agent.errors import ConfigError
from loadtest.simulators.command import KINDS, Simulate, simulate


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    Simulate().add_arguments(parser)
    return parser.parse_args(words)


class Running:
    """The command in this process, ended by a signal as a shell would."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *words: str) -> None:
        self._capsys = capsys
        self._words = words
        self.lines: list[str] = []

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(simulate(parse(*self._words), LoopClock))
        async with asyncio.timeout(20):
            while not self._task.done():
                printed = self._capsys.readouterr()
                self.lines += printed.out.splitlines()
                if "ready" in printed.err:
                    return self
                await asyncio.sleep(0.01)
        await self._task
        raise AssertionError("ended by itself")

    async def __aexit__(self, *_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(20):
            await self._task

    def url(self, name: str) -> str:
        (line,) = (line for line in self.lines if line.endswith(f"# {name}") or line.startswith(f"# {name}:"))
        return line.removeprefix("export ").partition("=" if "export" in line else ": ")[2].split()[0]


async def test_a_set_is_started_and_told_as_a_shell_can_evaluate_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with Running(capsys, "openai", "aura", "--scale", "0", "--short") as running:
        assert running.lines[0].startswith("export OPENAI_BASE_URL=http://127.0.0.1:")
        async with aiohttp.ClientSession() as session:
            body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
            answer = await session.post(running.url("openai") + "/chat/completions", json=body)
            assert (await answer.json())["choices"][0]["message"]["content"].startswith("We are open")
            speech = await session.post(running.url("aura") + "/v1/speak", json={"text": "Hello."})
            assert speech.status == 200
            await speech.read()


async def test_faults_and_delays_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("openai", "--faults", "1", "--fault", "server_error", "--delay", "openai.first_token=none")
    async with Running(capsys, *words) as running, aiohttp.ClientSession() as session:
        base = running.url("openai")
        answer = await session.post(f"{base}/chat/completions", json={})
        assert answer.status in (400, 503)
        shown: dict[str, Any] = await (await session.get(base.replace("/v1", "/faults"))).json()
        assert shown["kinds"] == ["server_error"]
        shown = await (await session.get(base.replace("/v1", "/profile"))).json()
        assert shown["first_token"]["median_ms"] == 0


async def test_a_taken_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"openai: cannot listen on port {port}"):
            await simulate(parse(f"openai:{port}"), LoopClock)


@pytest.mark.parametrize("delay", ["openai.last_token=none", "openai.first_token=gpt-9"])
async def test_a_wrong_delay_is_told(delay: str) -> None:
    with pytest.raises(ConfigError, match=r"--delay openai\..*: no "):
        await simulate(parse("openai", "--delay", delay), LoopClock)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["opneai"],
        ["openai:x"],
        ["openai:70000"],
        ["openai", "--faults", "2"],
        ["openai", "--fault", "explode"],
        ["openai", "--scale", "-1"],
        ["openai", "--delay", "openai=none"],
    ],
)
def test_wrong_usage_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(*words)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name in KINDS if name != "deepgram"])
async def test_every_kind_can_be_built_and_started(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with Running(capsys, name) as running, aiohttp.ClientSession() as session:
        url = running.url(name).replace("ws", "http", 1).removesuffix("/v1")
        assert (await session.get(f"{url}/faults")).status == 200


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("openai", "--fault", "garbage"), "--fault says which; add --faults SHARE"),
        (
            ("openai", "--delay", "cartesia.first_audio=none"),
            "--delay cartesia.first_audio=none: cartesia is not started",
        ),
    ],
)
async def test_what_would_have_no_effect_is_refused(words: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        await simulate(parse(*words), LoopClock)
