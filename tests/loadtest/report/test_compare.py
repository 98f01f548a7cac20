from typing import Any

import numpy as np
import pytest

from agent.errors import ConfigError
from loadtest.report.compare import Change, compare
from loadtest.report.json_file import as_json
from tests.loadtest.scenarios.runs import result, step


def run(seed: int, slower_ms: float = 0.0, count: int = 400, **changes: Any) -> dict[str, Any]:
    chance = np.random.default_rng(seed)
    heard = list(500 + slower_ms + chance.gamma(4.0, 10.0, count))
    return as_json(result(step(turns=count, voice_to_voice_ms=heard, **changes)))


def changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Change]:
    return {finding.figure: finding.change for finding in compare(before, after).findings}


def test_two_runs_of_one_build_are_the_same() -> None:
    for seed in range(10):
        comparison = compare(run(seed), run(100 + seed))
        assert comparison.worse == []
        assert {finding.change for finding in comparison.findings} <= {Change.SAME, Change.UNKNOWN}


def test_latency_that_got_worse_is_a_regression_and_the_other_way_is_better() -> None:
    slower = changes(run(1), run(2, slower_ms=40))
    assert slower["voice to voice p50, ms"] is Change.WORSE
    assert slower["voice to voice p95, ms"] is Change.WORSE
    assert slower["barge-in p50, ms"] is Change.SAME
    faster = changes(run(1, slower_ms=40), run(2))
    assert faster["voice to voice p50, ms"] is Change.BETTER
    assert faster["voice to voice p95, ms"] is Change.BETTER


def test_a_certain_change_that_nobody_would_notice_is_none() -> None:
    assert (
        changes(run(1, count=5_000), run(2, slower_ms=3, count=5_000))["voice to voice p50, ms"]
        is Change.SAME
    )


def test_few_samples_are_said_to_be_few() -> None:
    found = changes(run(1, count=5), run(2, slower_ms=300, count=5))
    assert found["voice to voice p50, ms"] is Change.UNKNOWN
    *_, last = compare(run(1, count=5), run(2, slower_ms=300, count=5)).lines()
    assert last.startswith("0 worse, 0 better, 3 with too few samples to tell, of ")


def test_errors_are_compared_as_rates() -> None:
    assert changes(run(1), run(2, unanswered=20))["turns without an answer, %"] is Change.WORSE
    assert changes(run(1), run(2, unanswered=1))["turns without an answer, %"] is Change.SAME
    assert "turns without an answer, %" not in changes(run(1), run(2))


def test_cpu_and_memory_count_beyond_what_runs_differ_by() -> None:
    assert changes(run(1), run(2, cpu_ms_per_call=2.1))["CPU ms per call and second"] is Change.SAME
    assert changes(run(1), run(2, cpu_ms_per_call=2.4))["CPU ms per call and second"] is Change.WORSE
    assert changes(run(1), run(2, rss_kb_per_call=70.0))["kB per call"] is Change.BETTER


def test_less_capacity_is_worse() -> None:
    before, after = as_json(result(step(), capacity=300)), as_json(result(step(), capacity=250))
    assert changes(before, after)["capacity in calls"] is Change.WORSE


def test_steps_that_say_nothing_are_left_out_with_a_note() -> None:
    good = as_json(result(step(10), step(20)))
    bad = as_json(result(step(10), step(20, bottlenecks=["late"])))
    comparison = compare(good, bad)
    assert {finding.load for finding in comparison.findings} == {"10 calls"}
    assert comparison.notes == ["20 calls: left out, since the callers were the bottleneck"]


def test_another_machine_is_noted() -> None:
    other = run(1)
    other["machine"]["cores"] = 64
    assert compare(run(1), other).notes == ["not the same machine: cores 2 and 64"]


def test_what_cannot_be_compared_is_said_in_one_line() -> None:
    other = run(1)
    other["scenario"] = {**other["scenario"], "name": "other"}
    with pytest.raises(ConfigError, match="different scenarios: mine and other"):
        compare(run(1), other)
    with pytest.raises(ConfigError, match="no valid load in common"):
        compare(as_json(result(step(10))), as_json(result(step(20))))


def test_the_lines_begin_with_what_got_worse_and_end_with_a_count() -> None:
    lines = list(compare(run(1), run(2, slower_ms=40)).lines())
    assert lines[0].startswith("WORSE")
    assert "10 calls" in lines[0]
    assert "(+7 %)" in lines[0] or "(+8 %)" in lines[0]
    assert lines[-1].startswith("2 worse, 0 better")


def test_a_server_that_answers_nobody_is_worse_though_it_has_no_latency() -> None:
    mute = as_json(result(step(voice_to_voice_ms=[], barge_in_ms=[], jitter_ms=[], turns=0)))
    comparison = compare(run(1), mute)
    assert [(each.figure, each.change) for each in comparison.worse] == [("turns answered", Change.WORSE)]
    assert changes(mute, run(1))["turns answered"] is Change.BETTER


def test_calls_that_are_refused_count_even_if_nobody_could_ask_anything() -> None:
    full = as_json(result(step(voice_to_voice_ms=[], turns=0, refused_calls=10, live=0)))
    found = changes(run(1), full)
    assert found["calls refused, %"] is Change.WORSE
    assert changes(run(1), run(2, lost_calls=8, live=2))["calls lost, %"] is Change.WORSE
    # A night of calls that end and begin anew: one of them is none of ten.
    assert changes(run(1, hang_ups=500), run(2, hang_ups=500, lost_calls=3))["calls lost, %"] is Change.SAME


def test_quick_apologies_are_worse() -> None:
    found = changes(run(1), run(2, wrong_answers=30))
    assert found["replies that were something else, %"] is Change.WORSE


def test_a_run_that_broke_down_is_worse_and_one_that_was_stopped_is_noted() -> None:
    whole = as_json(result(step(10), step(20)))
    died = as_json(result(step(10), ended="the server ended with -9"))
    stopped = as_json(result(step(10), ended="interrupted"))
    comparison = compare(whole, died)
    assert [(each.figure, each.detail) for each in comparison.worse] == [
        ("ran to its end", "the server ended with -9")
    ]
    assert "20 calls: only in the first run" in comparison.notes
    comparison = compare(whole, stopped)
    assert comparison.worse == []
    assert "the second run ended before its time: interrupted" in comparison.notes
    assert compare(died, died).worse == []


def test_a_capacity_that_only_one_run_found_is_noted() -> None:
    found, none = as_json(result(step(), capacity=300)), as_json(result(step()))
    assert compare(found, none).notes == ["a capacity was found in the first run only"]
    assert compare(none, found).notes == ["a capacity was found in the second run only"]


def test_a_counter_that_an_older_build_did_not_have_is_left_out() -> None:
    old = run(1)
    del old["steps"][0]["callers"]["wrong_answers"]
    assert "replies that were something else, %" not in changes(old, run(2, wrong_answers=30))


def test_a_change_below_three_percent_is_none_however_certain_and_large_in_ms() -> None:
    """20 ms of 2,000: more than the least that counts in ms, and still nothing that anybody would notice."""
    before, after = run(1, slower_ms=1_500, count=5_000), run(2, slower_ms=1_520, count=5_000)
    found = changes(before, after)
    assert found["voice to voice p50, ms"] is Change.SAME
    assert found["voice to voice p95, ms"] is Change.SAME
