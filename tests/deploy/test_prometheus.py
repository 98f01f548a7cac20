"""The alert rules: they parse, they fire when they should, and they ask for metrics that there are."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.metrics.names import BUCKETS_S, DERIVED, METRICS, PROCESS_METRICS, STAGE_NAMES, Kind

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES = FOLDER / "parley.rules.yml"
ALERTS = {
    "critical": {
        "ParleyResponsesVerySlow": ("> 2", "5m"), "ParleyErrors": ("> 0.05", "2m"),
        "ParleyDown": ("== 0", "1m"), "ParleyCpu": ("> 0.9", "3m"), "ParleyMemory": ("> 0.85", "3m"),
    },
    "warning": {
        "ParleyResponsesSlow": ("> 1.5", "10m"), "ParleyBargeInSlow": ("> 0.5", "5m"),
        "ParleyReconnects": ("> 1", "10m"), "ParleyDisk": ("> 0.8", "5m"),
        "ParleyCertificateEnds": ("< 7 * 86400", "10m"),
    },
}  # fmt: skip


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def known_names() -> set[str]:
    """All series names there can be."""
    found = {*PROCESS_METRICS, "up", "ALERTS", *(each.name for each in DERIVED)}
    for metric in METRICS:
        suffixes = ("_bucket", "_count", "_sum") if metric.kind is Kind.HISTOGRAM else ("",)
        found |= {metric.name + suffix for suffix in suffixes}
    return found


def names_in(expression: str) -> set[str]:
    """Series that an expression asks for: what our own names, or the standard ones, begin with."""
    return set(re.findall(r"\b(?:parley[_:]|process_|python_|up\b)[\w:]*", expression))


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_accepts_rules_and_configuration(promtool: str) -> None:
    assert "rules found" in run(promtool, "check", "rules", "--lint-fatal", RULES)
    run(promtool, "check", "config", FOLDER / "prometheus.yml")


def test_the_alerts_fire_when_they_should_and_not_before(promtool: str) -> None:
    assert "SUCCESS" in run(promtool, "test", "rules", FOLDER / "parley.rules.test.yml")


def test_every_alert_has_a_test_in_which_it_fires() -> None:
    tests = yaml.safe_load((FOLDER / "parley.rules.test.yml").read_text())["tests"]
    fires = {
        case["alertname"]
        for test in tests
        for case in test.get("alert_rule_test", ())
        if case.get("exp_alerts")
    }
    assert fires == {rule["alert"] for rule in rules() if "alert" in rule}


@pytest.mark.parametrize("severity", sorted(ALERTS))
def test_limits_and_patience_are_the_agreed_ones(severity: str) -> None:
    by_name = {rule["alert"]: rule for rule in rules() if "alert" in rule}
    for name, (limit, patience) in ALERTS[severity].items():
        rule = by_name[name]
        assert rule["expr"].strip().endswith(limit)
        assert (rule["for"], rule["labels"]["severity"]) == (patience, severity)


def test_the_rules_ask_for_series_that_there_are() -> None:
    known = known_names()
    for rule in rules():
        missing = names_in(rule["expr"]) - known
        assert not missing, f"{rule.get('alert') or rule['record']} asks for {missing}"
        for stage in re.findall(r'stage="(\w+)"', rule["expr"]):
            assert stage in STAGE_NAMES


def test_recorded_series_are_the_named_ones() -> None:
    assert [rule["record"] for rule in rules() if "record" in rule] == [each.name for each in DERIVED]


def test_alert_limits_are_bounds_of_buckets() -> None:
    # Between bounds a percentile is only interpolated.
    assert {0.5, 1.5, 2.0} <= set(BUCKETS_S)
