import argparse
from pathlib import Path

import pytest

from agent.errors import ConfigError
from loadtest import bench_command
from loadtest.bench_command import ENDED, FAILED, INVALID, PASSED, Bench, status
from loadtest.report.json_file import write_json
from loadtest.scenarios.load import names
from loadtest.scenarios.schema import Scenario
from tests.loadtest.scenarios.runs import result, step


def bench(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    command = Bench()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(each) for each in arguments]))


def test_list_has_a_line_for_each_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("list") == PASSED
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == names()


def test_compare_prints_what_changed_and_fails_on_a_regression(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = tmp_path / "a.json", tmp_path / "b.json"
    write_json(before, result(step()))
    write_json(after, result(step(voice_to_voice_ms=[700.0 + at for at in range(100)])))
    assert bench("compare", before, after) == FAILED
    assert capsys.readouterr().out.startswith("WORSE")
    assert bench("compare", after, before) == PASSED
    assert bench("compare", before, before) == PASSED


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("compare", "a.json"), "compare takes two files"),
        (("compare", "a.json", "b.json"), r"a\.json: cannot be read"),
        (("baseline", "a.json"), "only compare takes files"),
        (("basline",), "did you mean baseline"),
        (("baseline", "--json", "/"), "is a folder"),
        (("baseline", "--json", "/proc/none/run.json"), r"/proc/none/run\.json: cannot be written: "),
        (("baseline", "--html", "/dev/null/run.html"), r"/dev/null/run\.html: cannot be written: "),
        (("chaos", "--target", "http://127.0.0.1:1"), "leave --target out"),
    ],
)
def test_wrong_usage_is_one_line(arguments: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        bench(*arguments)


@pytest.mark.parametrize("option", ["--scale", "--max-calls"])
def test_no_load_at_all_is_refused(option: str) -> None:
    with pytest.raises(SystemExit):
        bench("baseline", option, "0")


def test_a_run_that_could_not_begin_leaves_its_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json_file, page = tmp_path / "out" / "run.json", tmp_path / "out" / "run.html"
    nobody = "http://127.0.0.1:1"
    assert (
        bench("quick", "--target", nobody, "--side-url", nobody, "--json", json_file, "--html", page) == ENDED
    )
    printed = capsys.readouterr()
    assert "parley bench: no call could be opened at 127.0.0.1:1" in printed.err
    assert '"ended": "no call could be opened at 127.0.0.1:1: ' in json_file.read_text()
    assert "Ended before its time" in page.read_text()


def test_a_disk_that_is_full_does_not_take_the_run_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`/dev/full` can be opened, as a disk can that fills up during the run."""
    page, nobody = tmp_path / "run.html", "http://127.0.0.1:1"
    bench("quick", "--target", nobody, "--side-url", nobody, "--json", "/dev/full", "--html", page)
    printed = capsys.readouterr()
    assert "ended before its time" in printed.out
    assert "parley bench: /dev/full: cannot be written: No space left on device" in printed.err
    assert "Ended before its time" in page.read_text()


def test_whether_a_file_can_be_written_is_seen_before_the_run_and_changes_nothing(tmp_path: Path) -> None:
    there, new = tmp_path / "there.json", tmp_path / "new.json"
    there.write_text("{}")
    bench_command._writable(there)
    bench_command._writable(new)
    assert there.read_text() == "{}"
    assert not new.exists()


def test_the_exit_status_says_what_became_of_the_run() -> None:
    passed, failed = {"outcome": "passed"}, {"outcome": "failed"}
    unknown = {"outcome": "not measured"}
    assert status(result(step(), verdicts=[passed, unknown])) == PASSED
    assert status(result(step(), verdicts=[passed, failed])) == FAILED
    assert status(result(step(bottlenecks=["late"]), verdicts=[passed, failed])) == INVALID
    assert status(result(step(), verdicts=[passed], ended="interrupted")) == ENDED


def test_other_services_than_the_scenarios_can_be_asked_for() -> None:
    parser = argparse.ArgumentParser()
    Bench().add_arguments(parser)
    args = parser.parse_args(["baseline", "--providers", "inprocess"])
    assert bench_command._scenario(args).providers.profile == "inprocess"


def scenario_of(*arguments: str) -> Scenario:
    parser = argparse.ArgumentParser()
    Bench().add_arguments(parser)
    return bench_command._scenario(parser.parse_args(arguments))


def test_simulated_vendors_can_be_given_other_speeds() -> None:
    delay = "openai.first_token=openai.gpt-4o-mini.first_token"
    providers = scenario_of("baseline", "--delay", delay).providers
    assert (providers.profile, providers.delays) == ("fast-vendors", [delay])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("baseline", "--delay", "fast please"), "expected SERVICE.DELAY=PRESET"),
        (("baseline", "--delay", "openai.first_token=nope"), "no profile named 'nope': use one of "),
        (("quick", "--delay", "openai.first_token=none"), "add --providers vendors"),
    ],
)
def test_speeds_that_cannot_be_are_refused(arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        scenario_of(*arguments)
