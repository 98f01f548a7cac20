from typing import Any

import pytest

from loadtest.bulk.figures import Figures, percentiles
from loadtest.bulk.targets import Outcome, Run, Starts, Verdict, judge


def run(kind: str = "media", calls: int = 200, **more: Any) -> Run:
    found = Run(kind, calls, 20.0, strict_ms=percentiles([1.0, 2.0]), response_ms=percentiles([300.0]))
    found.callers = Figures(barge_in_ms=[80.0]).summary() | {"live": calls, "refused": 0}
    found.cpu_ms, found.rss_kb = 1.5, 120.0
    for name, value in more.items():
        setattr(found, name, value)
    return found


def outcomes(verdicts: list[Verdict]) -> dict[str, Outcome]:
    return {verdict.what: verdict.outcome for verdict in verdicts}


def test_a_good_set_of_runs_reaches_every_target() -> None:
    runs = [run(calls=1), run(), run("relay", rss_kb=25.0)]
    verdicts = judge(runs, Starts([400.0, 500.0], [78_000.0, 79_000.0]))
    assert set(outcomes(verdicts).values()) == {Outcome.REACHED}
    assert len(verdicts) == 10


@pytest.mark.parametrize(
    ("worse", "missed"),
    [
        ({"cpu_ms": 2.01}, "CPU per media call and second, 200 calls"),
        ({"rss_kb": 151.0}, "RSS per media call, 200 calls"),
        ({"strict_ms": {"p50": 1.0, "p95": 20.1}}, "added latency, p95, 200 calls"),
    ],
)
def test_a_figure_beyond_its_limit_misses_that_target_only(worse: dict[str, Any], missed: str) -> None:
    found = outcomes(judge([run(calls=1), run(**worse)], None))
    assert [what for what, outcome in found.items() if outcome is Outcome.MISSED] == [missed]


def test_one_call_has_limits_of_its_own() -> None:
    slow = {"p50": 3.1, "p95": 8.1}
    found = outcomes(judge([run(calls=1, strict_ms=slow), run()], None))
    assert found["added latency, p50, 1 call"] is Outcome.MISSED
    assert found["added latency, p95, 1 call"] is Outcome.MISSED
    assert found["added latency, p95, 200 calls"] is Outcome.REACHED


def test_of_several_runs_the_median_counts_and_the_spread_is_shown() -> None:
    (verdict,) = (
        each
        for each in judge([run(calls=1), *(run(cpu_ms=value) for value in (1.0, 9.0, 1.5))], None)
        if each.what.startswith("CPU")
    )
    assert verdict.measured == 1.5
    assert verdict.spread == (1.0, 9.0)
    assert "(1 to 9)" in verdict.line()


def test_a_run_whose_callers_were_late_or_lost_says_nothing() -> None:
    late = run(late_ms=5.1, cpu_ms=0.1)
    assert late.verdict == "INVALID: callers 5.1 ms late (p99)"
    lost = run()
    lost.callers["live"] = 199
    assert "199 of 200" in lost.verdict
    mute = run(response_ms={"count": 0})
    assert "no turn" in mute.verdict
    for invalid in (late, lost, mute):
        found = outcomes(judge([invalid], None))
        assert set(found.values()) == {Outcome.UNKNOWN}
    assert outcomes(judge([late, run()], None))["CPU per media call and second, 200 calls"] is Outcome.REACHED


def test_one_failure_that_a_caller_met_in_one_run_is_one_too_many() -> None:
    bad = run()
    bad.callers["gaps"] = 1
    found = outcomes(judge([run(), bad, run()], None))
    assert found["failures that callers met, most of any run"] is Outcome.MISSED


def test_a_server_that_waited_for_its_core_is_called_noisy_but_counts() -> None:
    noisy = run(waited=0.08)
    assert noisy.verdict == "noisy: waited 8 %"
    assert not noisy.faults
    assert run().verdict == "ok"


def test_both_ends_have_to_agree_on_every_transport() -> None:
    near, far = {"p95": 4.9}, {"p95": 5.1}
    runs = [run(agreement_ms={"twilio-media": near, "telnyx-media": far})]
    found = outcomes(judge(runs, None))
    assert found["both ends' response time apart, p95, twilio-media"] is Outcome.REACHED
    assert found["both ends' response time apart, p95, telnyx-media"] is Outcome.MISSED
