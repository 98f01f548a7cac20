import dataclasses
import io

from rich.console import Console

from loadtest.report.terminal import show
from loadtest.scenarios.criteria import judge
from loadtest.scenarios.result import EventResult, Result
from tests.loadtest.scenarios.runs import result, step


def shown(run: Result) -> str:
    screen = io.StringIO()
    show(run, Console(file=screen, width=140))
    return screen.getvalue()


def test_a_row_for_each_load_and_a_line_for_each_criterion() -> None:
    run = result(step(10), step(20))
    run.verdicts = [
        dataclasses.asdict(verdict) | {"outcome": verdict.outcome.value}
        for verdict in judge(
            run, {"voice_to_voice_p95_ms": 500.0, "continuity_percent": 98.0, "recovery_s": 30.0}
        )
    ]
    text = shown(run)
    assert "10 calls" in text
    assert "20 calls" in text
    lines = {line.split()[1]: line for line in text.splitlines() if "≤" in line or "≥" in line}
    assert "≤ 500" in lines["voice_to_voice_p95_ms"]
    assert "failed" in lines["voice_to_voice_p95_ms"]
    assert "≥ 98" in lines["continuity_percent"]
    assert "not measured" in lines["recovery_s"]


def test_how_well_both_ends_agree_is_told_by_transport() -> None:
    apart = {"count": 30, "p50": 0.3, "p95": 1.2, "max": 3.0, "bias": -0.2}
    text = shown(result(step(agreement_ms={"twilio-media": apart})))
    assert "agree within 0.3 ms (p50), 1.2 ms (p95) over twilio-media, 30 turns" in text


def test_what_went_wrong_is_named_and_nothing_else() -> None:
    text = shown(result(step(unanswered=2, first_word_lost_ms=[120.0]), step(20)))
    assert "10 calls: unanswered 2, first_words_lost 1" in text
    assert "20 calls:" not in text


def test_calls_that_were_not_on_and_answers_without_an_account_are_named() -> None:
    text = shown(result(step(10, live=7, unpaired=3)))
    assert "calls on at its end 7" in text
    assert "answers without an account of the server's 3" in text


def test_a_percentile_of_too_few_samples_is_marked() -> None:
    few = result(step(10, voice_to_voice_ms=[float(at) for at in range(500, 519)]))
    row = next(line for line in shown(few).splitlines() if "10 calls" in line)
    assert "509 │ 518 * │ 518 * │" in row
    assert "slowest of them" in shown(few)
    many = shown(result(step(10, voice_to_voice_ms=[float(at) for at in range(500, 600)])))
    assert "*" not in many


def test_invalid_loads_troubles_capacity_and_the_end_are_told() -> None:
    run = result(
        step(bottlenecks=["callers 9.0 ms late (p99)"]),
        events=[EventResult(20.0, "kill_server", recovery_s=4.0, watched_s=30.0, errors=1, fewest_calls=0)],
        capacity=250, capacity_note="(the callers were the bottleneck beyond)", ended="interrupted",
    )  # fmt: skip
    text = shown(run)
    assert "10 calls: INVALID, callers 9.0 ms late (p99)" in text
    assert "kill_server at 20 s: 1 error, 0 answers; 0 calls at the fewest; well again after 4 s" in text
    assert "capacity: 250 calls (the callers" in text
    assert "ended before its time: interrupted" in text


def test_a_run_without_a_step_has_no_tables() -> None:
    assert shown(result(ended="nobody there")).strip() == "ended before its time: nobody there"
