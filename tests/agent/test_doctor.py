"""`parley doctor`: what it finds, and its exit status."""

import argparse
import os
import re
import socket
from pathlib import Path

import pytest

from agent import doctor
from agent.doctor import Doctor, examine
from agent.settings import variables


@pytest.fixture(autouse=True)
def quiet_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("PARLEY_", "TWILIO_", "TELNYX_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PARLEY_TRANSPORTS", "twilio")
    monkeypatch.setenv("PARLEY_HOST", "127.0.0.1")
    monkeypatch.setenv("PARLEY_PORT", "0")
    monkeypatch.setenv("PARLEY_SIDE_PORT", "0")


def found(status: str, agent_file: Path | None = None) -> list[str]:
    return [finding.what for finding in examine(agent_file) if finding.status == status]


def status_of() -> int:
    return Doctor().run(argparse.Namespace(agent_file=None))


def test_a_sound_machine_passes_and_is_told_of_missing_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert found("fail") == []
    assert any("TWILIO_AUTH_TOKEN" in what for what in found("warn"))
    assert status_of() == 0
    assert capsys.readouterr().out.splitlines()[0].split()[0] == "ok"


def test_keys_that_are_set_are_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "t")
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", "AC1")
    assert "twilio secrets" in found("ok")


def test_a_port_in_use_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        monkeypatch.setenv("PARLEY_PORT", str(held.getsockname()[1]))
        assert [what for what in found("fail") if "public port" in what]
        assert status_of() == 1


def test_a_plugin_that_is_not_installed_fails_and_the_rest_is_still_examined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PARLEY_TRANSPORTS", "carrier")
    (what,) = found("fail")
    assert "carrier" in what
    assert any("side port" in line for line in found("ok"))


def test_a_wrong_agent_file_fails_with_each_mistake(tmp_path: Path) -> None:
    wrong = tmp_path / "agent.yaml"
    wrong.write_text("name: Desk\nlanguages: []\n")
    assert len(found("fail", wrong)) > 1


def test_tls_files_that_cannot_be_read_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CERTIFICATE", "KEY"):
        path = tmp_path / f"{name}.pem"
        path.write_text("nonsense")
        monkeypatch.setenv(f"PARLEY_TLS_{name}", str(path))
    (what,) = found("fail")
    assert what.startswith("TLS")


def test_wrong_settings_fail_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_MAX_CALLS", "none")
    (what,) = found("fail")
    assert "PARLEY_MAX_CALLS" in what


def test_a_misspelt_variable_is_noticed_and_others_own_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_MAX_CALL", "3")
    monkeypatch.setenv("PARLEY_TWILIO_MODE", "media")
    noticed = [what for what in found("warn") if "did you mean" in what]
    assert noticed == ["PARLEY_MAX_CALL is not read by the server: did you mean PARLEY_MAX_CALLS?"]


def test_every_variable_that_the_core_and_the_providers_read_is_known() -> None:
    root = Path(__file__).parents[2]
    named = {
        name
        for package in ("agent", "providers")
        for path in (root / package).rglob("*.py")
        if path.name != "doctor.py"
        for name in re.findall(r'"(PARLEY_[A-Z_]*[A-Z])"', path.read_text())
    }
    assert len(named) > 20
    # Transports check names with their own prefix at start.
    ours = {name for name in named if not name.startswith("PARLEY_WEBRTC_")}
    assert ours <= {*variables(), *doctor._READ_ELSEWHERE}


def test_a_misspelt_variable_that_is_no_setting_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_PEER", "http://127.0.0.1:9465")
    assert "PARLEY_PEER is not read by the server: did you mean PARLEY_PEERS?" in found("warn")


def test_siblings_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_PEERS", "http://127.0.0.1:9465")
    assert "metrics together with 1 other processes" in found("ok")
    monkeypatch.setenv("PARLEY_PEERS", "127.0.0.1:9465")
    assert [what for what in found("fail") if "PARLEY_PEERS" in what]


def test_a_web_page_without_a_secret_is_for_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_TRANSPORTS", "webrtc")
    assert "webrtc: PARLEY_WEBRTC_SECRET not set: only loopback callers" in found("warn")
    monkeypatch.setenv("PARLEY_WEBRTC_SECRET", "s" * 32)
    assert "webrtc secrets" in found("ok")
