"""The command line: what it prints and how it exits. `parley serve` as a real process."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from agent.agentfile import load_agent
from agent.cli import main
from agent.serve import banner
from agent.settings import Settings

RUN = "import sys; from agent.cli import main; sys.exit(main())"
PLATFORM = ("PARLEY_", "TWILIO_", "TELNYX_")
START_S = 20.0
"""A second is the aim; a busy machine takes longer."""


def clean_environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(PLATFORM)}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(PLATFORM):
            monkeypatch.delenv(name)


async def parley(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUN, *arguments,
        env=clean_environ(), stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


def serve(*arguments: str) -> tuple[str, ...]:
    return (
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--side-port",
        "0",
        "--transports",
        "twilio",
        *arguments,
    )


def test_an_unknown_command_is_told_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sing"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert all(name in said for name in ("serve", "doctor", "call"))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("serve", "--port", "99999"), "PARLEY_PORT"),
        (("serve", "--max-calls", "0"), "PARLEY_MAX_CALLS"),
        (("serve", "--side-host", "0.0.0.0"), "PARLEY_SIDE_TOKEN"),
        (("serve", "--tls-key", "key.pem"), "PARLEY_TLS_CERTIFICATE"),
        (("serve", "--public-url", "voice.example.com"), "PARLEY_PUBLIC_URL"),
        (("serve", "--agent", "/nonexistent/agent.yaml"), "/nonexistent/agent.yaml"),
    ],
)
def test_a_wrong_setting_is_one_line_and_status_2(
    arguments: tuple[str, ...], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(list(arguments)) == 2
    said = capsys.readouterr().err
    assert named in said
    assert len(said.splitlines()) == 1


def test_a_log_level_that_is_none_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PARLEY_LOG_LEVEL", "loud")
    assert main(["doctor"]) == 2
    assert "PARLEY_LOG_LEVEL='loud'" in capsys.readouterr().err


def test_the_banner_tells_where_to_call_and_who_may() -> None:
    agent = load_agent(None)
    text = banner(
        Settings(transports=("twilio", "webrtc", "carrier")), agent, ("::", 8080), ("127.0.0.1", 9464)
    )
    assert agent.name in text
    assert "http://[::]:8080" in text
    assert "http://127.0.0.1:9464" in text
    assert "watch    http://127.0.0.1:9464/\n" in text  # the dashboard
    assert "TWILIO_AUTH_TOKEN is not set" in text
    assert "webrtc   callers on this machine only, since PARLEY_WEBRTC_SECRET is not set" in text
    signed = Settings(
        transports=("twilio",), public_url="https://voice.example.com",
        environ={"TWILIO_AUTH_TOKEN": "secret-value"},
    )  # fmt: skip
    text = banner(signed, agent, ("0.0.0.0", 8080), ("127.0.0.1", 9464))
    assert "signatures required" in text
    assert "https://voice.example.com" in text
    assert "secret-value" not in text


def test_the_dashboards_address_can_be_opened_on_this_machine() -> None:
    agent, settings = load_agent(None), Settings(transports=(), side_token="side-secret")
    for host, shown in (("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("10.0.0.5", "10.0.0.5")):
        text = banner(settings, agent, ("127.0.0.1", 8080), (host, 9464))
        assert f"watch    http://{shown}:9464/  (asks for PARLEY_SIDE_TOKEN)" in text
    assert "side-secret" not in text


@pytest.mark.parametrize(
    ("public", "side", "command"),
    [
        (("0.0.0.0", 8080), ("127.0.0.1", 9464), "parley call"),
        (("::", 9000), ("127.0.0.1", 9464), "parley call --url http://[::1]:9000"),
        (("127.0.0.1", 8080), ("10.0.0.5", 9465), "parley call --side-url http://10.0.0.5:9465"),
        (("10.0.0.5", 8080), ("::", 9464), "parley call --url http://10.0.0.5:8080"),
    ],
)
def test_the_banner_says_how_to_call_it_from_here(
    public: tuple[str, int], side: tuple[str, int], command: str
) -> None:
    text = banner(Settings(transports=()), load_agent(None), public, side)
    assert text.endswith(f'  try      {command} "what are your opening hours?"')


async def test_a_port_in_use_is_one_line_and_status_2() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        process = await parley(*serve("--port", str(port)))
        out, err = await asyncio.wait_for(process.communicate(), START_S)
    assert process.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in err.decode()
    assert b"Traceback" not in err
    assert out == b""


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serve_starts_gets_ready_and_stops_on_a_signal(number: signal.Signals) -> None:
    process = await parley(*serve())
    assert process.stdout is not None
    try:
        side = ""
        while not side:
            line = (await asyncio.wait_for(process.stdout.readline(), START_S)).decode()
            assert line, "the server ended before it listened"
            side = line.split()[1] if line.split()[:1] == ["side"] else ""
        async with aiohttp.ClientSession() as client, asyncio.timeout(START_S):
            while True:
                async with client.get(f"{side}/readyz") as answer:
                    if answer.status == 200:
                        break
                await asyncio.sleep(0.05)
        process.send_signal(number)
        _, err = await asyncio.wait_for(process.communicate(), START_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == 0
    assert b"Traceback" not in err
    assert b"draining" in err


def test_the_agent_file_flag_reads_that_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "agent.yaml"
    wrong.write_text("name: Desk\nlanguages: []\n")
    assert main(["serve", "--agent", str(wrong)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) > 1
    assert all(str(wrong) in line or "agent.yaml" in line for line in said)
