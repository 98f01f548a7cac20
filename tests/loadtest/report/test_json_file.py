import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from agent.errors import ConfigError
from loadtest.report.json_file import as_json, read_json, write_json
from loadtest.scenarios.result import EventResult
from tests.loadtest.scenarios.runs import point, result, step


def test_everything_measured_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.json"
    run = result(step(), step(20, bottlenecks=["late"]), timeline=[point(1.0)], ended="interrupted")
    run.events.append(EventResult(3.0, "kill_server", recovery_s=math.inf))
    write_json(path, run)
    found = read_json(path)
    assert [each["valid"] for each in found["steps"]] == [True, False]
    assert found["valid"] is False
    assert found["steps"][0]["callers"]["turns"] == 100
    assert found["steps"][0]["samples"]["voice_to_voice_ms"][0] == 500.0
    assert found["timeline"] == [point(1.0)]
    assert found["ended"] == "interrupted"
    assert found["events"][0]["recovery_s"] is None, "JSON has no infinity"
    assert found["events"][0]["story"] == "the run ended with it"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 99}'])
def test_what_is_no_report_is_said_to_be_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"run.json: is no(t JSON| report)"):
        read_json(path)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda found: found.pop("scenario"), "scenario: field required"),
        (lambda found: found.pop("machine"), "machine: field required"),
        (lambda found: found.update(steps="none"), "steps: "),
        (lambda found: found["steps"].append("none"), "steps.1: "),
        (lambda found: found["steps"][0].pop("samples"), "steps.0.samples: field required"),
        (
            lambda found: found["steps"][0]["samples"].update(jitter_ms=["slow"]),
            "steps.0.samples.jitter_ms.0: ",
        ),
    ],
)
def test_a_report_that_is_not_whole_is_named_with_what_is_missing(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], field: str
) -> None:
    found = as_json(result(step()))
    change(found)
    path = tmp_path / "run.json"
    path.write_bytes(orjson.dumps(found))
    with pytest.raises(ConfigError, match=f"run.json: is no whole report: {field}"):
        read_json(path)


def test_files_that_are_not_there_or_cannot_be_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read"):
        read_json(tmp_path / "none.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_json(tmp_path / "file" / "run.json", result())
