"""docs/loadtest.md says what is so."""

import argparse
import re
from pathlib import Path

from loadtest.bench_command import Bench
from loadtest.scenarios.criteria import DEFAULTS, KNOWN
from loadtest.scenarios.load import parse_scenario
from loadtest.scenarios.schema import Action

TEXT = (Path(__file__).parents[2] / "docs" / "loadtest.md").read_text()


def test_the_example_scenario_is_right() -> None:
    (example,) = re.findall(r"\n    name: friday-evening\n(?:    .*\n|\n)+", TEXT)
    scenario = parse_scenario(re.sub(r"(?m)^    ", "", example), "loadtest.md")
    assert scenario.limits["recovery_s"] == 30


def test_the_defaults_are_those_of_the_code() -> None:
    rows = dict(re.findall(r"(?m)^\| `(\w+)` \| (?:at least )?([\d.,]+) \|$", TEXT))
    assert {name: float(limit.replace(",", "")) for name, limit in rows.items()} == dict(DEFAULTS)


def test_every_option_event_and_criterion_is_mentioned() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    Bench().add_arguments(parser)
    for action in parser._actions:
        for option in action.option_strings:
            assert option in TEXT
    for event in Action:
        assert f"`{event.value}`" in TEXT
    for name in KNOWN:
        stem = re.sub(
            r"_(p\d\d_ms|growth_per_hour|growth_mb_per_hour|per_call|percent|s|calls|ms)$", "", name
        )
        word = {"rss": "memory", "fds": "open files", "voice_to_voice": "voice to voice"}.get(stem, stem)
        assert name in TEXT or word in TEXT, name
