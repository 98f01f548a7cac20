"""The container's files fit the code. They cannot be run in every place where the tests run."""

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from agent.settings import Settings

ROOT = Path(__file__).parent.parent


def compose() -> dict[str, Any]:
    service: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["parley"]
    return service


def test_every_package_gets_into_the_image() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = [name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]]
    let_in = (ROOT / ".dockerignore").read_text().splitlines()
    assert [name for name in packages if f"!{name}" not in let_in] == []


def test_the_image_has_a_python_that_all_tests_ran_on() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    images = re.findall(r"^FROM python:([\d.]+)-", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert images
    for version in images:
        assert f"Programming Language :: Python :: {version}" in project["classifiers"]


def test_the_ports_are_the_servers_own() -> None:
    settings = Settings()
    published = {int(str(port).rpartition(":")[2]) for port in compose()["ports"]}
    assert {settings.port, settings.side_port} <= published
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"EXPOSE {settings.port}\n" in dockerfile
    assert re.search(rf"PARLEY_SIDE_PORT'\) or {settings.side_port}\b", dockerfile)


def test_a_drain_ends_before_compose_kills() -> None:
    service = compose()
    minutes = re.fullmatch(r"(\d+)m", service["stop_grace_period"])
    assert minutes is not None
    # Cutting the calls that are left takes two seconds, closing the ports two more.
    assert float(service["environment"]["PARLEY_DRAIN_S"]) <= int(minutes[1]) * 60 - 10


def test_the_server_is_not_root_and_gets_its_signals_itself() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    last_stage = dockerfile[dockerfile.rindex("\nFROM ") :]
    assert re.search(r"^USER [1-9]\d*$", last_stage, re.MULTILINE)
    assert '\nENTRYPOINT ["parley"]\n' in last_stage
