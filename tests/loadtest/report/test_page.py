import dataclasses
import math
import re

import pytest

from loadtest.report.page import page
from loadtest.scenarios.criteria import DEFAULTS, judge
from loadtest.scenarios.result import EventResult, Result
from tests.loadtest.scenarios.runs import point, result, step


def judged(run: Result) -> Result:
    run.verdicts = [
        dataclasses.asdict(verdict) | {"outcome": verdict.outcome.value} for verdict in judge(run, DEFAULTS)
    ]
    return run


def titles(text: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", text)


def test_the_page_has_every_plot_and_needs_nothing_else() -> None:
    timeline = [point(float(at), errors=at % 5 == 0) for at in range(30)]
    text = page(judged(result(step(1), step(10), step(50), timeline=timeline)))
    for title in (
        "How long callers waited", "Latency against calls", "Where the time went",
        "How soon the agent fell silent",
        "Jitter of the agent&#x27;s audio", "Errors in time", "CPU against calls", "Memory against calls",
    ):  # fmt: skip
        assert title in titles(text)
    assert not re.search(r"""(src|href)=|url\(|@import|<script|https?://""", text)
    assert "prefers-color-scheme: dark" in text


def test_one_load_is_shown_in_time() -> None:
    text = page(result(step(), timeline=[point(float(at)) for at in range(30)]))
    assert {"CPU in time", "Memory in time", "Latency in time"} <= set(titles(text))
    assert "Latency against calls" not in titles(text)


def test_a_turns_wait_for_the_model_is_drawn_once_whatever_the_line() -> None:
    token, sentence = {"llm_first_token": {"p50": 98.0}}, {"llm_first_sentence": {"p50": 140.0}}
    text_line, media = page(result(step(stages=token))), page(result(step(stages=token | sentence)))
    assert "llm first token 98 ms" in text_line
    assert "llm first sentence 140 ms" in media
    assert "llm first token" not in media


@pytest.mark.parametrize(
    ("run", "badge"),
    [
        (judged(result(step())), "passed"),
        (judged(result(step(voice_to_voice_ms=[2_000.0] * 20))), "failed"),
        (
            judged(result(step(bottlenecks=["callers 9.0 ms late (p99)"]))),
            "invalid: the callers were the bottleneck",
        ),
        (judged(result(step(), ended="the server ended with -9")), "ended early"),
        (result(), "nothing measured"),
    ],
)
def test_the_badge_says_what_became_of_the_run(run: Result, badge: str) -> None:
    assert re.findall(r'class="badge \w+">(.*?)<', page(run)) == [badge]


def test_why_it_ended_and_what_is_invalid_is_said() -> None:
    text = page(result(step(bottlenecks=["callers 9.0 ms late (p99)"]), ended="interrupted <by> hand"))
    assert "callers 9.0 ms late (p99)" in text
    assert "interrupted &lt;by&gt; hand" in text


def test_how_well_both_ends_agree_is_a_table() -> None:
    apart = {"count": 30, "p50": 0.3, "p95": 1.2, "max": 3.4, "bias": -0.2}
    text = page(result(step(agreement_ms={"twilio-media": apart})))
    (row,) = re.findall(r"<tr><td>10 calls</td><td>twilio-media</td>(.*?)</tr>", text)
    assert re.findall("<td>(.*?)</td>", row)[:4] == ["30", "0.3", "1.2", "3.4"]
    assert "callers&#x27; measure" in text or "callers' measure" in text


def test_troubles_are_listed_with_their_recovery() -> None:
    events = [
        EventResult(20.0, "kill_server", "ready after 1.2 s", recovery_s=4.0, watched_s=40.0, errors=7),
        EventResult(60.0, "cut_sockets", recovery_s=float("inf")),
    ]
    text = page(result(step(), events=events, timeline=[point(float(at)) for at in range(90)]))
    assert "kill server" in text
    assert ">not in time<" in text
    assert "ready after 1.2 s; 7 errors, 0 answers; well again after 4 s" in text


def test_a_step_without_a_server_to_look_into_is_shown_too() -> None:
    blind = step(
        cpu_ms_per_call=None, core_percent=None, rss_mb=None, rss_kb_per_call=None, stages={}, counters={}
    )
    assert "How long callers waited" in titles(page(result(blind, target="http://192.0.2.1:8080")))


def test_counts_that_are_0_everywhere_take_no_column() -> None:
    text = page(judged(result(step(10), step(20, lost_calls=2, live=18))))
    assert "<th>lost</th>" in text
    assert "<th>refused</th>" not in text
    assert re.search(r"None at any load: [^.]*refused", text)
    assert "<td>20 calls</td><td>18</td>" in text


def test_a_percentile_of_too_few_samples_is_marked_where_it_stands() -> None:
    text = page(judged(result(step(10, voice_to_voice_ms=[500.0] * 7))))
    assert "of 7 samples: too few for a p95, so it is the slowest of them" in text
    assert "<td>500</td><td>500 *</td><td>500 *</td>" in text
    assert "<span>voice to voice p95 *</span>" in text
    assert "<span>barge-in p95</span>" in text
    assert "slowest of them" not in page(judged(result(step(10))))


def test_what_never_came_is_said_so() -> None:
    run = result(step(), events=[EventResult(3.0, "kill_server", recovery_s=math.inf, watched_s=9.0)])
    run.verdicts = [
        dataclasses.asdict(verdict) | {"outcome": verdict.outcome.value}
        for verdict in judge(run, {"recovery_s": 30})
    ]
    assert "<b>never</b>" in page(run)


def test_answers_without_an_account_are_told_with_the_agreement() -> None:
    apart = {"count": 30, "p50": 0.3, "p95": 1.2, "max": 3.0, "bias": -0.2}
    text = page(result(step(agreement_ms={"twilio-media": apart}, unpaired=4)))
    assert "4 more answers, of which the server has no account." in text
