"""`parley call` as people and scripts use it: what it prints, what it saves, how it exits."""

import argparse
import asyncio
import json
import wave
from pathlib import Path

import pytest

from loadtest.callers.local_server import free_ports
from loadtest.callers.plan import Line
from loadtest.commands import Call, barge_ins
from loadtest.demo import DIALOGUE
from tests.loadtest.callers.test_recording import write
from tests.loadtest.fakes import tone
from tests.loadtest.server import SmallServer, serving


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    Call().add_arguments(parser)
    return parser.parse_args(words)


async def run(server: SmallServer, *words: str) -> int:
    args = parse("--url", server.url, "--side-url", server.url, "--timeout", "0.5", *words)
    return await asyncio.to_thread(Call().run, args)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real time is dear: no second of waiting for the agent to hang up by itself."""
    monkeypatch.setattr("loadtest.callers.caller.LINGER_MS", 60.0)


@pytest.fixture
def hello(tmp_path: Path) -> str:
    return str(write(tmp_path / "hello.wav", tone(200)))


async def test_an_answered_call_prints_both_sides_saves_the_sound_and_exits_with_0(
    tmp_path: Path, hello: str, capsys: pytest.CaptureFixture[str]
) -> None:
    turns = [
        {"caller": "", "agent": "Welcome.", "kind": "greeting", "interrupted": False, "stages": {}},
        {"caller": "hello", "agent": "Yes?", "kind": "speech", "stages": {"response": 201.0}},
    ]
    wav, figures = tmp_path / "call.wav", tmp_path / "call.json"
    async with serving(SmallServer(side={"turns": turns})) as server:
        status = await run(server, hello, "--wav", str(wav), "--json", str(figures))
    assert status == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(" caller  hello.wav")
    # Everything that the server has by then is printed with the answer: here it had it all from the start.
    assert "Welcome. Yes?" in lines[0]
    assert lines[0].startswith("  agent  ")
    assert lines[2].startswith("  agent  ")
    assert lines[2].endswith(" ms]")
    with wave.open(str(wav)) as file:
        assert file.getnchannels() == 2
        assert file.getnframes() > 2 * 8000
    found = json.loads(figures.read_text())
    assert found["call"]["turns"][0]["answered"] is True
    assert found["call"]["call_id"] == server.asked_for[0]
    assert found["server"]["turns"] == turns


async def test_without_a_side_port_the_transcript_says_how_much_was_heard(
    hello: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(SmallServer()) as server:
        assert await run(server, hello) == 0
    out = capsys.readouterr().out
    assert out.count("(audio heard, 0.2 s)") == 2


async def test_an_unanswered_turn_exits_with_1_and_says_which(
    hello: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(SmallServer(answers=False)) as server:
        assert await run(server, hello) == 1
    captured = capsys.readouterr()
    assert captured.err == "unanswered: hello.wav\n"
    assert "(no answer)" in captured.out


async def test_a_relay_call_prints_the_text_itself(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(SmallServer(relay=True)) as server:
        assert await run(server, "Hi", "--via", "twilio-relay") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == " caller  Hi"
    assert lines[2].startswith("  agent  Yes.")


async def test_a_call_that_was_not_taken_exits_with_3_and_one_line(
    hello: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(SmallServer(status=503)) as server:
        assert await run(server, hello) == 3
    assert capsys.readouterr().err == (
        "parley call: the server takes no call now (503): it is full, overloaded or draining\n"
    )
    (port,) = free_ports(1)
    assert await run(SmallServer(url=f"http://127.0.0.1:{port}"), hello) == 3
    assert capsys.readouterr().err == (
        f"parley call: nothing listens at http://127.0.0.1:{port}: start it with `make serve`\n"
    )


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["nowhere.wav"], "nowhere.wav"),
        (["dtmf:12x"], "keys are 0-9 * # A-D"),
        (["a.wav", "--via", "twilio-relay"], "a relay call carries text"),
        (["hi", "--via", "twilio-relay", "--wav", "x.wav"], "no sound to save"),
        (["dtmf:1", "--wav", "/nowhere/x.wav"], "there is no such folder"),
        (["dtmf:1", "--telnyx-key", "zz"], "32-byte ed25519 seed"),
    ],
)
async def test_wrong_usage_exits_with_2_before_any_call(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(SmallServer(url="http://127.0.0.1:1"), *words) == 2
    assert complaint in capsys.readouterr().err


def test_barge_in_applies_to_every_sentence_but_the_first() -> None:
    assert barge_ins(["a", "b", "c"], 800) == [Line("a"), Line("b", 800), Line("c", 800)]
    assert barge_ins(["a", "b"], None) == [Line("a"), Line("b")]


def test_the_demo_holds_a_barge_in_and_a_goodbye() -> None:
    assert any(line.barge_in_after_ms for line in DIALOGUE)
    assert DIALOGUE[-1].words.lower() == "goodbye"


def test_numbers_below_zero_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("hi", "--barge-in-after", "-1")
    assert "expected 0 or more" in capsys.readouterr().err
