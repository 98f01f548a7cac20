import math
from typing import Any

import pytest

from loadtest.scenarios.criteria import DEFAULTS, KNOWN, Outcome, growth_per_hour, judge
from loadtest.scenarios.result import EventResult, Point, StepResult
from tests.loadtest.scenarios.runs import point, result, step


def outcome(name: str, limit: float, *steps: StepResult, **changes: Any) -> tuple[Outcome, float | None]:
    (verdict,) = judge(result(*steps, **changes), {name: limit})
    return verdict.outcome, verdict.measured


@pytest.mark.parametrize(
    ("name", "changes", "measured"),
    [
        ("voice_to_voice_p50_ms", {}, 549.0),
        ("voice_to_voice_p95_ms", {}, 594.0),
        ("barge_in_p95_ms", {}, 84.0),
        ("errors_percent", {"unanswered": 1, "lost_calls": 1}, 100 * 2 / 110),
        ("errors_percent", {"refused_calls": 10}, 100 * 10 / 120),
        ("continuity_percent", {"gap_ms": 4_000.0}, 100 * 400 / 404),
        ("frames_dropped_percent", {"frames_lost": 50}, 0.1),
        ("frames_late_percent", {}, 0.01),
        ("first_words_lost_percent", {"first_word_lost_ms": [80.0], "first_words_unknown": 10}, 1.0),
        ("stale_percent", {"stale": 3}, 10.0),
        ("dead_air_percent", {"dead_airs": 5}, 5.0),
        ("live_percent", {"live": 9}, 90.0),
        ("added_p99_ms", {}, 4.0),
        ("cpu_ms_per_call", {}, 2.0),
    ],
)
def test_each_figure_is_what_its_name_says(name: str, changes: dict[str, Any], measured: float) -> None:
    judged, found = outcome(name, 1e9 if not KNOWN[name].at_least else 0, step(**changes))
    assert judged is Outcome.PASSED
    assert found == pytest.approx(measured, abs=0.001)


def test_the_worst_step_counts() -> None:
    slow = step(50, voice_to_voice_ms=[900.0] * 100)
    assert outcome("voice_to_voice_p50_ms", 840, step(), slow) == (Outcome.FAILED, 900.0)
    assert outcome("live_percent", 95, step(live=9), step()) == (Outcome.FAILED, 90.0)


def test_what_a_call_costs_is_told_by_the_step_with_the_most_calls() -> None:
    alone, many = step(1, cpu_ms_per_call=24.0, rss_kb_per_call=1500.0), step(200)
    assert outcome("cpu_ms_per_call", 3.5, alone, many) == (Outcome.PASSED, 2.0)
    assert outcome("rss_kb_per_call", 150, alone, many) == (Outcome.PASSED, 100.0)
    assert outcome("cpu_ms_per_call", 3.5, many, step(400, cpu_ms_per_call=4.0))[0] is Outcome.FAILED


def test_a_limit_is_within_and_more_is_better_where_it_is() -> None:
    assert outcome("voice_to_voice_p50_ms", 549.0, step())[0] is Outcome.PASSED
    assert outcome("capacity_calls", 250, step(), capacity=250)[0] is Outcome.PASSED
    assert outcome("capacity_calls", 250, step(), capacity=249)[0] is Outcome.FAILED


def test_steps_in_which_the_callers_were_the_bottleneck_count_for_nothing() -> None:
    invalid = step(50, voice_to_voice_ms=[9_000.0] * 10, bottlenecks=["late"])
    assert outcome("voice_to_voice_p50_ms", 840, step(), invalid)[0] is Outcome.PASSED
    assert outcome("voice_to_voice_p50_ms", 840, invalid) == (Outcome.UNKNOWN, None)


def test_what_was_not_measured_is_neither_good_nor_bad() -> None:
    assert outcome("keys_p95_ms", 100, step()) == (Outcome.UNKNOWN, None)
    assert outcome("capacity_calls", 100, step()) == (Outcome.UNKNOWN, None)
    assert outcome("rss_growth_mb_per_hour", 1, step()) == (Outcome.UNKNOWN, None)


def test_a_recovery_that_never_came_fails() -> None:
    events = [
        EventResult(5.0, "kill_server", recovery_s=4.0),
        EventResult(30.0, "kill_server", recovery_s=math.inf),
    ]
    assert outcome("recovery_s", 30, step(), events=events)[0] is Outcome.FAILED
    assert outcome("recovery_s", 30, step(), events=events[:1]) == (Outcome.PASSED, 4.0)


def test_growth_is_the_slope_and_outliers_do_not_move_it() -> None:
    steady = [(float(t_s), 80.0 + t_s * 10 / 3_600) for t_s in range(0, 3_600, 10)]
    assert growth_per_hour(steady) == pytest.approx(10.0)
    # One that is looked at: of 360 points every third is.
    steady[99] = (steady[99][0], 900.0)
    assert growth_per_hour(steady) == pytest.approx(10.0, abs=0.1)
    assert math.isnan(growth_per_hour(steady[:20])), "three minutes tell nothing"


def test_memory_that_grows_is_seen_behind_the_warming_up() -> None:
    timeline = [point(float(t_s), rss_mb=min(t_s, 400) + t_s / 3_600) for t_s in range(0, 3_600, 10)]
    judged, found = outcome("rss_growth_mb_per_hour", 2, step(), timeline=timeline)
    assert judged is Outcome.PASSED
    assert found == pytest.approx(1.0, abs=0.01)


def test_the_worst_transport_of_the_worst_step_says_how_well_both_ends_agree() -> None:
    good = step(agreement_ms={"twilio-media": {"p95": 1.0}, "telnyx-media": {"p95": 2.0}})
    worse = step(20, agreement_ms={"twilio-media": {"p95": 6.0}})
    (verdict,) = judge(result(good, worse), {"agreement_p95_ms": 5.0})
    assert (verdict.outcome, verdict.measured) == (Outcome.FAILED, 6.0)
    (unknown,) = judge(result(step()), {"agreement_p95_ms": 5.0})
    assert unknown.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("recoveries", "outcome"),
    [
        ((4.0, math.nan), Outcome.UNKNOWN),
        ((math.nan, 4.0), Outcome.UNKNOWN),
        ((math.nan, math.inf), Outcome.FAILED),
        ((4.0, 0.0), Outcome.PASSED),
    ],
)
def test_an_event_of_which_nothing_is_known_does_not_count_as_recovered(
    recoveries: tuple[float, ...], outcome: Outcome
) -> None:
    events = [EventResult(10.0, "cut_sockets", recovery_s=each) for each in recoveries]
    (verdict,) = judge(result(step(), events=events), {"recovery_s": 30.0})
    assert verdict.outcome is outcome


def test_growth_before_the_server_has_settled_says_nothing() -> None:
    filling = [point(at, objects=min(at, 3_600.0)) for at in range(0, 7_200, 10)]
    scenario = {**result().scenario, "settles_s": 3_600}

    def judged(timeline: list[Point]) -> tuple[Outcome, float | None]:
        return outcome("objects_growth_per_hour", 0, step(), timeline=timeline, scenario=scenario)

    assert judged(filling) == (Outcome.PASSED, 0.0)
    assert judged(filling[:390]) == (Outcome.UNKNOWN, None), "five minutes after that are too few"


def test_a_percentile_of_few_samples_is_said_to_be_the_slowest_of_them() -> None:
    def note(name: str, **changes: Any) -> str:
        (verdict,) = judge(result(step(**changes)), {name: 1e9})
        return verdict.note

    assert note("voice_to_voice_p95_ms", voice_to_voice_ms=[500.0] * 19) == (
        "of 19 samples: too few for a p95, so it is the slowest of them"
    )
    assert note("voice_to_voice_p95_ms", voice_to_voice_ms=[500.0] * 20) == ""
    assert note("voice_to_voice_p99_ms", voice_to_voice_ms=[500.0] * 99).startswith("of 99 samples")
    assert note("added_p95_ms", stages={"added": {"count": 7, "p95": 2.0}}).startswith("of 7 samples")
    assert note("errors_percent") == note("barge_in_p95_ms") == ""


def test_the_note_is_of_the_step_that_counted() -> None:
    few = step(voice_to_voice_ms=[900.0] * 5)
    many = step(voice_to_voice_ms=[500.0] * 50)
    (worst_has_few,) = judge(result(many, few), {"voice_to_voice_p95_ms": 840.0})
    (worst_has_many,) = judge(
        result(many, step(voice_to_voice_ms=[100.0] * 5)), {"voice_to_voice_p95_ms": 840.0}
    )
    assert (worst_has_few.note != "", worst_has_many.note) == (True, "")


def test_apologies_fail_a_run_however_quick_they_are() -> None:
    quick = step(voice_to_voice_ms=[50.0] * 100, wrong_answers=5, right_answers=95)
    assert outcome("wrong_answers_percent", DEFAULTS["wrong_answers_percent"], quick) == (Outcome.FAILED, 5.0)
    assert outcome("wrong_answers_percent", 1, step()) == (Outcome.UNKNOWN, None)


def test_calls_that_nobody_greets_are_errors_even_without_a_turn() -> None:
    mute = step(10, turns=0, not_greeted=10, voice_to_voice_ms=[])
    assert outcome("errors_percent", 1, mute) == (Outcome.FAILED, 100.0)
